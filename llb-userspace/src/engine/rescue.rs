//! Helps those who wait for a worker that hangs: what [`hang`](crate::fleet::hang) decides is done here.

mod migrate;
mod quiet;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use llb_common::{abi::MAX_SEATS, select};

use migrate::Copied;

use super::Engine;
use crate::{
    fleet::{
        Kind, State, Worker, find,
        hang::{self, Health, Step, Watch},
        quiet::{Arrivals, Keepers},
    },
    kernel::{Event, EventKind},
    model::{Instant, Seat, WorkerId},
    sys::{activity::Activity, clock},
};

/// Seats whose queues are looked at in one tick, some ten microseconds each.
const LOOKS: usize = 8;

/// A look that takes longer, as one does at a worker that does not stand still, is the last of its tick: the loop has others
/// to serve.
const SLOW_LOOK_NS: u64 = 2_000_000;

/// What is known of workers that are slow or hang.
#[derive(Default)]
pub(super) struct Rescue {
    watches: BTreeMap<Seat, Watch>,
    /// Where each listener was found, by cookie: to find it again without a search.
    places: HashMap<u64, find::Place>,
    /// Events that the kernel still has to tell of what we have done ourselves, by the listener's cookie.
    own: HashMap<u64, Vec<EventKind>>,
    /// The seat that was looked at last: the others come first.
    looked: Option<Seat>,
    /// Listeners that are out of their groups as their worker hangs.
    aside: BTreeSet<u64>,
    /// Connections that may not have been accepted.
    arrivals: Arrivals,
    /// Workers that stand still for a connection that is kept.
    keepers: Keepers,
}

impl Rescue {
    /// Notes where a listener was found.
    pub(super) fn found(&mut self, cookie: u64, place: find::Place) {
        self.places.insert(cookie, place);
    }

    /// A listener is gone.
    pub(super) fn forget(&mut self, cookie: u64) {
        self.places.remove(&cookie);
        self.own.remove(&cookie);
    }

    /// Whether the event tells of what we have done, which is no wish of the worker's. Each does so once.
    pub(super) fn takes(&mut self, event: &Event) -> bool {
        let Some(expected) = self.own.get_mut(&event.cookie) else { return false };
        let Some(at) = expected.iter().position(|kind| *kind == event.kind) else { return false };
        expected.remove(at);
        if expected.is_empty() {
            self.own.remove(&event.cookie);
        }
        true
    }

    /// A worker is no more.
    pub(super) fn reap(&mut self, worker: WorkerId) {
        self.keepers.forget(worker);
    }

    /// Whether a listener is out of its group because its worker hangs.
    pub(super) fn is_aside(&self, cookie: u64) -> bool {
        self.aside.contains(&cookie)
    }

    /// What was known of listeners that are closed is not so any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        self.aside.retain(|cookie| is_there(*cookie));
        self.places.retain(|cookie, _| is_there(*cookie));
    }

    /// Whether one of these seats hangs.
    pub(super) fn any_hung(&self, mut seats: impl Iterator<Item = Seat>) -> bool {
        seats.any(|seat| self.watches.get(&seat).is_some_and(|watch| watch.health() == Health::Hung))
    }
}

impl Engine {
    /// Checks the seats that are silent. The books of the others say that nothing is to be done, and those have been
    /// read for the publication just now.
    pub(super) fn check_suspects(&mut self, now: Instant) {
        if !self.updater.steering().keeps_books() {
            return;
        }
        self.watch_arrivals(now);
        let mut looks = LOOKS;
        let silent = self.silent(now);
        let takers = if silent.is_empty() { Vec::new() } else { self.takers() };
        for seat in silent {
            let Some(id) = takers[seat.0 as usize % MAX_SEATS] else {
                // It drains, or has exited: another matter.
                self.rescue.watches.remove(&seat);
                continue;
            };
            let books = self.updater.steering().books().seat(seat);
            let watch = self.rescue.watches.entry(seat).or_insert_with(|| Watch::new(&books, now));
            match watch.step(&books, now) {
                Step::Look if looks > 0 => {
                    looks -= 1;
                    self.rescue.looked = Some(seat);
                    let began = clock::now();
                    self.look(id, seat, now);
                    if clock::now().since(began) > SLOW_LOOK_NS {
                        looks = 0;
                    }
                }
                Step::Recover => self.recover(id, seat, now),
                Step::Tell => self.tell(id, seat, now),
                Step::Look | Step::Wait | Step::Rescue | Step::Try => {}
            }
            self.replace_hung(id, seat, now);
        }
        self.look_at_the_quiet(now);
        self.enter_notes();
    }

    /// Whose the seats are that may be given connections, by seat. Every silent one is asked for with every tick.
    fn takers(&self) -> Vec<Option<WorkerId>> {
        let mut takers = vec![None; MAX_SEATS];
        for worker in self.lives.workers().filter(|worker| worker.state == State::Serving) {
            for seat in worker.listeners.iter().filter_map(|listener| listener.seat) {
                takers[seat.0 as usize % MAX_SEATS] = Some(worker.id);
            }
        }
        takers
    }

    /// The seats that are silent or watched, in turn.
    fn silent(&self, now: Instant) -> Vec<Seat> {
        let Engine { rescue, updater, .. } = self;
        let is_silent = |seat: Seat| {
            let load = updater.steering().books().load(seat);
            hang::is_silent(&load, updater.cost_ns(seat, &load), now)
        };
        let busy = updater.views().iter().filter(|view| view.joined && view.in_flight > 0).map(|view| view.seat);
        let fresh = busy.filter(|seat| !rescue.watches.contains_key(seat) && is_silent(*seat));
        let mut seats: Vec<Seat> = rescue.watches.keys().copied().chain(fresh).collect();
        let next = rescue.looked.and_then(|looked| seats.iter().position(|seat| *seat > looked)).unwrap_or(0);
        seats.rotate_left(next);
        seats
    }

    /// Looks who waits in the seat's queues.
    fn look(&mut self, id: WorkerId, seat: Seat, now: Instant) {
        // Before the look: what begins from here on it may not have read yet.
        let books = self.updater.steering().books().seat(seat);
        let copies = self.copies(id, seat);
        let waiting = copies.iter().map(|copied| copied.waiting).sum();
        let watched = self.rescue.watches.len();
        let is_searched = |watch: &mut Watch| watch.is_searched(watched, now);
        let searches = waiting == 0 && self.rescue.watches.get_mut(&seat).is_some_and(is_searched);
        if searches && self.lives_by_evidence(id, &copies) {
            self.updater.steering().books().alive(seat, books.begun, now);
            self.recover(id, seat, now);
            return;
        }
        let Some(watch) = self.rescue.watches.get_mut(&seat) else { return };
        match watch.looked(waiting, &books, now) {
            Step::Rescue => self.rescue(id, seat, copies, now),
            Step::Try => {
                tracing::debug!(slot = %self.slot(id), %seat, "tries whether it still hangs");
                self.take_in_again(id, seat, now);
            }
            Step::Wait | Step::Look | Step::Tell | Step::Recover => {}
        }
    }

    /// Whether the worker of these listeners, with nobody in their queues, is seen to wait for more: it has read all that it
    /// was given. Of one that cannot be seen into, that it has accepted all must do: it is tried again, and what it
    /// then does not accept is given to others.
    fn lives_by_evidence(&self, id: WorkerId, copies: &[Copied]) -> bool {
        match self.activity(id, copies) {
            Activity::Waits => true,
            Activity::Unknown => self.rescues() && !copies.is_empty(),
            Activity::Runs | Activity::Blocked => false,
        }
    }

    /// The worker has answered, or nobody waits for it any more.
    fn recover(&mut self, id: WorkerId, seat: Seat, now: Instant) {
        let Some(watch) = self.rescue.watches.remove(&seat) else { return };
        if watch.health() == Health::Hung {
            self.lives.note_worker(Kind::Recovered, id, &format!("it answers, after {} ms", ms(watch.silent_ns(now))));
        }
        self.take_in_again(id, seat, now);
    }

    /// Puts the seat's listeners into their groups, if they have left.
    fn take_in_again(&mut self, id: WorkerId, seat: Seat, now: Instant) {
        let Some(worker) = self.lives.worker(id) else { return };
        let of_seat = worker.listeners.iter().filter(|listener| listener.seat == Some(seat));
        let returning: Vec<u64> =
            of_seat.map(|listener| listener.cookie).filter(|it| self.rescue.is_aside(*it)).collect();
        if returning.is_empty() {
            return;
        }
        for cookie in returning {
            self.rescue.aside.remove(&cookie);
        }
        self.reconcile(now);
        self.publish_anew(now);
    }

    /// Tells of a worker that hangs.
    fn tell(&mut self, id: WorkerId, seat: Seat, now: Instant) {
        let Some(watch) = self.rescue.watches.get(&seat) else { return };
        let (silent_ms, waiting, moved) = (ms(watch.silent_ns(now)), watch.waiting(), watch.moved());
        let in_flight = select::in_flight(&self.updater.steering().books().seat(seat));
        tracing::warn!(slot = %self.slot(id), in_flight, waiting, silent_ms, "a worker hangs");
        let cause = format!("{in_flight} requests in flight, no answer for {silent_ms} ms, {waiting} waiting");
        self.lives.note_worker(Kind::Hung, id, &cause);
        self.note_rescued(id, moved);
    }

    /// Replaces a worker that has been silent for too long; the replacement comes first.
    fn replace_hung(&mut self, id: WorkerId, seat: Seat, now: Instant) {
        let (Some(timeout), Some(watch)) = (self.config.hanging.timeout, self.rescue.watches.get(&seat)) else {
            return;
        };
        let is_replaced = self.lives.worker(id).is_none_or(Worker::is_leaving);
        let has_requests = watch.is_out() || select::given(&self.updater.steering().books().seat(seat)) > 0;
        if has_requests && !is_replaced && watch.is_silent_for(timeout, now) {
            let silent_ms = ms(watch.silent_ns(now));
            tracing::warn!(slot = %self.slot(id), silent_ms, "replaces a worker that hangs");
            let effects = self.lives.replace_hung(id, &format!("hung: no answer for {silent_ms} ms"), now);
            self.perform(effects, now);
        }
    }
}

/// Whole milliseconds.
fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}
