//! Helps those who wait for a worker that hangs: what [`hang`](crate::fleet::hang) decides is done here.

mod keepers;
mod migrate;

use std::collections::BTreeMap;

use llb_common::{abi::MAX_SEATS, select};

use migrate::{note_rescued, rescues};

use crate::{
    engine::core::{Copied, Core},
    fleet::{
        Kind, State, Worker,
        hang::{self, SeatHealth, SeatWatch, Step},
        quiet::{Arrivals, Keepers},
    },
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
pub(in crate::engine) struct Rescue {
    watches: BTreeMap<Seat, SeatWatch>,
    /// The seat that was looked at last: the others come first.
    looked: Option<Seat>,
    /// Connections that may not have been accepted.
    arrivals: Arrivals,
    /// Workers that stand still for a connection that is kept.
    keepers: Keepers,
}

impl Rescue {
    /// A worker is no more.
    pub(in crate::engine) fn reap(&mut self, worker: WorkerId) {
        self.keepers.forget(worker);
    }

    /// Whether one of these seats hangs.
    pub(in crate::engine) fn any_hung(&self, mut seats: impl Iterator<Item = Seat>) -> bool {
        seats.any(|seat| self.watches.get(&seat).is_some_and(|watch| watch.health() == SeatHealth::Hung))
    }
}

impl Rescue {
    /// Checks the seats that are silent. The books of the others say that nothing is to be done, and those have been
    /// read for the publication just now.
    pub(in crate::engine) fn check_suspects(&mut self, core: &mut Core, now: Instant) {
        if !core.updater.steering().keeps_books() {
            return;
        }
        self.watch_arrivals(core, now);
        let mut looks = LOOKS;
        let silent = self.silent(core, now);
        let takers = if silent.is_empty() { Vec::new() } else { takers(core) };
        let watched = silent.len();
        for seat in silent {
            let Some(id) = takers[seat.0 as usize % MAX_SEATS] else {
                // It drains, or has exited: another matter.
                self.watches.remove(&seat);
                continue;
            };
            let books = core.updater.steering().books().seat(seat);
            let watch = self.watches.entry(seat).or_insert_with(|| SeatWatch::new(&books, now));
            let step = watch.step(&books, now);
            let is_worth_it = watch.is_worth_a_look(&books, watched, now);
            match step {
                Step::Look if looks > 0 && is_worth_it => {
                    looks -= 1;
                    self.looked = Some(seat);
                    let began = clock::now();
                    self.look(core, id, seat, now);
                    if clock::now().since(began) > SLOW_LOOK_NS {
                        looks = 0;
                    }
                }
                Step::Recover => self.answers(core, id, seat, now),
                Step::Tell => self.warn_of_hang(core, id, seat, now),
                Step::Look | Step::Wait | Step::Rescue | Step::Try => {}
            }
            self.replace_hung(core, id, seat, now);
        }
        self.find_keepers(core, now);
    }

    /// The seats that are silent or watched, in turn.
    fn silent(&self, core: &Core, now: Instant) -> Vec<Seat> {
        let updater = &core.updater;
        let is_silent = |seat: Seat| {
            let load = updater.steering().books().load(seat);
            hang::is_silent(&load, updater.cost_ns(seat, &load), now)
        };
        let busy = updater.views().iter().filter(|view| view.joined && view.in_flight > 0).map(|view| view.seat);
        let fresh = busy.filter(|seat| !self.watches.contains_key(seat) && is_silent(*seat));
        let mut seats: Vec<Seat> = self.watches.keys().copied().chain(fresh).collect();
        let next = self.looked.and_then(|looked| seats.iter().position(|seat| *seat > looked)).unwrap_or(0);
        seats.rotate_left(next);
        seats
    }

    /// Looks at how many wait in the seat's queues.
    fn look(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        // Before the look: what begins from here on it may not have read yet.
        let books = core.updater.steering().books().seat(seat);
        let copies = core.copies(id, seat);
        let waiting = copies.iter().map(|copied| copied.waiting).sum();
        let watched = self.watches.len();
        let is_searched = |watch: &mut SeatWatch| watch.is_searched(watched, now);
        let searches = waiting == 0 && self.watches.get_mut(&seat).is_some_and(is_searched);
        if searches && Self::lives_by_evidence(core, id, &copies) {
            core.updater.steering().books().alive(seat, books.begun, now);
            self.recover(core, id, seat, now);
            return;
        }
        let Some(watch) = self.watches.get_mut(&seat) else { return };
        match watch.looked(waiting, &books, now) {
            Step::Rescue => self.rescue(core, id, seat, copies, now),
            Step::Try => {
                tracing::debug!(slot = %core.slot(id), %seat, "tries whether it still hangs");
                self.rejoin_groups(core, id, seat, now);
            }
            Step::Wait | Step::Look | Step::Tell | Step::Recover => {}
        }
    }

    /// Whether the worker of these listeners, with nobody in their queues, is seen to wait for more: it has read all that it
    /// was given. Of one that cannot be seen into, that it has accepted all must do: it is tried again, and what it
    /// then does not accept is given to others.
    fn lives_by_evidence(core: &Core, id: WorkerId, copies: &[Copied]) -> bool {
        match core.activity_of(id, copies) {
            Some(Activity::Waits) => true,
            Some(Activity::Unknown) | None => rescues(core) && !copies.is_empty(),
            Some(Activity::Runs | Activity::Blocked) => false,
        }
    }

    /// The worker has answered. What has been moved to it may wait still, behind a request that takes long and was moved as well.
    fn answers(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        let is_receiving = self.watches.get(&seat).is_some_and(SeatWatch::is_receiving);
        self.recover(core, id, seat, now);
        if is_receiving {
            let books = core.updater.steering().books().seat(seat);
            let cost_ns = core.updater.cost_ns(seat, &books);
            self.watches.insert(seat, SeatWatch::receiving(&books, cost_ns, now));
        }
    }

    /// The worker has answered, or nobody waits for it any more.
    fn recover(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        let Some(watch) = self.watches.remove(&seat) else { return };
        if watch.health() == SeatHealth::Hung {
            core.supervisor.note_worker(
                Kind::Recovered,
                id,
                &format!("it answers, after {} ms", ms(watch.silent_ns(now))),
            );
        }
        self.rejoin_groups(core, id, seat, now);
    }

    /// Puts the seat's listeners into their groups, if they have left.
    fn rejoin_groups(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        let Some(worker) = core.supervisor.worker(id) else { return };
        let of_seat = worker.listeners.iter().filter(|listener| listener.seat == Some(seat));
        let returning: Vec<u64> =
            of_seat.map(|listener| listener.cookie).filter(|it| core.sockets.is_aside(*it)).collect();
        if returning.is_empty() {
            return;
        }
        core.sockets.take_back(&returning);
        core.reconcile(now);
        core.republish(now);
    }

    /// Tells of a worker that hangs.
    fn warn_of_hang(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        let Some(watch) = self.watches.get(&seat) else { return };
        let (silent_ms, waiting, moved) = (ms(watch.silent_ns(now)), watch.waiting(), watch.moved());
        let in_flight = select::in_flight(&core.updater.steering().books().seat(seat));
        tracing::warn!(slot = %core.slot(id), in_flight, waiting, silent_ms, "a worker hangs");
        let cause = format!("{in_flight} requests in flight, no answer for {silent_ms} ms, {waiting} waiting");
        core.supervisor.note_worker(Kind::Hung, id, &cause);
        note_rescued(core, id, moved);
    }

    /// Replaces a worker that has been silent for too long; the replacement comes first.
    fn replace_hung(&mut self, core: &mut Core, id: WorkerId, seat: Seat, now: Instant) {
        let (Some(timeout), Some(watch)) = (core.config.hanging.timeout, self.watches.get(&seat)) else {
            return;
        };
        let is_replaced = core.supervisor.worker(id).is_none_or(Worker::is_leaving);
        let has_requests = watch.is_out() || select::given(&core.updater.steering().books().seat(seat)) > 0;
        if has_requests && !is_replaced && watch.is_silent_for(timeout, now) {
            let silent_ms = ms(watch.silent_ns(now));
            tracing::warn!(slot = %core.slot(id), silent_ms, "replaces a worker that hangs");
            core.supervisor.replace_hung(id, &format!("hung: no answer for {silent_ms} ms"), now);
        }
    }
}

/// Whose the seats are that may be given connections, by seat. Every silent one is asked for with every tick.
fn takers(core: &Core) -> Vec<Option<WorkerId>> {
    let mut takers = vec![None; MAX_SEATS];
    for worker in core.supervisor.workers().filter(|worker| worker.state == State::Serving) {
        for seat in worker.listeners.iter().filter_map(|listener| listener.seat) {
            takers[seat.0 as usize % MAX_SEATS] = Some(worker.id);
        }
    }
    takers
}

/// Whole milliseconds.
fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}
