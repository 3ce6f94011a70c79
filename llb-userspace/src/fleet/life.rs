//! The lives of workers: pure, (state, event, now) to effects.
//!
//! # Theory of operation
//! Every slot holds at most one worker that is not on its way out, and the workers that it had before and that are
//! still ending. A worker goes
//!
//! ```text
//! Starting -> Serving -> Draining -> Stopping -> Killed -> (exited)
//! ```
//!
//! and may skip any of them; only its exit ends it. *Starting* lasts until it is ready, and only then do its listeners
//! join their groups. *Draining* has left the groups and finishes what it holds. *Stopping* has been sent SIGTERM,
//! *Killed* SIGKILL. Each state but Serving has a deadline after which the next is forced, so nothing hangs. When a
//! worker's first process has exited, whatever else is in its cgroup is killed, and the worker is buried.
//!
//! Until all slots have been ready once the fleet is *coming up*: a slot that fails twice ends it, with what the
//! worker wrote the second time. After that a slot is filled again for ever, paced by [`Pace`].
//!
//! A worker keeps its seats until it exits, also when it has closed its listeners: its open connections are still
//! counted there, and it has not drained before they are answered.

mod adopt;

use std::{collections::BTreeMap, time::Duration};

pub use adopt::Adopted;

use super::{
    effect::{Effect, Failure},
    pace::{Interval, Life, Pace},
    seats::Seats,
    worker::{Listener, State, Worker},
};
use crate::{
    config::ReadyWhen,
    model::{Address, Generation, Instant, Seat, Slot, WorkerId},
};

/// What the fleet is to be, as far as its lives are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Number of slots.
    pub slots: u32,
    /// When a worker counts as ready.
    pub ready_when: ReadyWhen,
    /// How long it may take to become ready.
    pub ready_timeout: Duration,
    /// How long it may take to end.
    pub drain_timeout: Duration,
    /// The least time between two starts in a slot.
    pub respawn: Duration,
    /// The most time between two starts in a slot.
    pub backoff: Duration,
}

#[derive(Clone, Debug)]
struct SlotState {
    interval: Interval,
    spawn_at: Option<Instant>,
    /// Workers in a row that ended before they were ready.
    failures: u32,
    spawned: u32,
    was_ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ComingUp,
    Up,
    Ending,
}

/// Failures of one slot that end a fleet that is coming up: the second time shows what the worker writes.
const TRIES: u32 = 2;

/// How long a worker has at least between being told to finish up and SIGTERM, which ends most programs at once: time
/// to hear it, to close what it keeps alive, and to exit by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that come together are one wish to end: timeout(1) signals its child, and then the group that it is in.
/// Nobody presses Ctrl-C twice that fast.
const ONE_WISH: Duration = Duration::from_millis(200);

/// The lives of a fleet.
#[derive(Clone, Debug)]
pub struct Lives {
    rules: Rules,
    pace: Pace,
    phase: Phase,
    ending_since: Option<Instant>,
    slots: Vec<SlotState>,
    workers: BTreeMap<WorkerId, Worker>,
    seats: Seats,
    next: WorkerId,
    /// Before this, time alone changes nothing.
    due: Instant,
}

/// As soon as anybody looks.
const AT_ONCE: Instant = Instant(0);

impl Lives {
    /// A fleet of empty slots, each due at once.
    #[must_use]
    pub fn new(rules: Rules, now: Instant) -> Self {
        let pace = Pace::new(rules.respawn, rules.backoff);
        let slot =
            || SlotState { interval: pace.first(), spawn_at: Some(now), failures: 0, spawned: 0, was_ready: false };
        Lives {
            rules,
            pace,
            phase: Phase::ComingUp,
            ending_since: None,
            slots: (0..rules.slots).map(|_| slot()).collect(),
            workers: BTreeMap::new(),
            seats: Seats::default(),
            next: WorkerId(1),
            due: AT_ONCE,
        }
    }

    /// The workers that have not been buried, by age.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// One of them.
    #[must_use]
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// How often a slot's worker has been replaced.
    #[must_use]
    pub fn restarts(&self, slot: Slot) -> u32 {
        self.slots.get(slot.0 as usize).map_or(0, |slot| slot.spawned.saturating_sub(1))
    }

    /// How often each slot has been filled.
    #[must_use]
    pub fn spawned(&self) -> BTreeMap<u32, u32> {
        (0..).zip(&self.slots).map(|(index, slot)| (index, slot.spawned)).collect()
    }

    /// Time passes. `drained` tells whether a seat has neither requests nor charges left. Costs next to nothing while
    /// nothing is due: a fleet that serves is asked a hundred times a second.
    pub fn tick(&mut self, now: Instant, drained: impl Fn(Seat) -> bool) -> Vec<Effect> {
        if now < self.due {
            return Vec::new();
        }
        self.seats.free(now, &drained);
        let mut effects = Vec::new();
        self.seat_the_standing(&mut effects);
        for id in self.ids() {
            let Some(worker) = self.workers.get(&id) else { continue };
            match worker.state {
                State::Starting { deadline } if now >= deadline => {
                    if self.phase == Phase::ComingUp {
                        effects.push(Effect::Fail(Failure::NotReady { id }));
                        self.end(now, &mut effects);
                        return effects;
                    }
                    self.terminate(id, now, &mut effects);
                }
                State::Draining { earliest, deadline } => {
                    let is_drained = || worker.seats().all(&drained);
                    if now >= deadline || (now >= earliest && is_drained()) {
                        self.terminate(id, now, &mut effects);
                    }
                }
                State::Stopping { deadline } if now >= deadline => self.kill(id, &mut effects),
                State::Starting { .. } | State::Serving | State::Stopping { .. } | State::Killed => {}
            }
        }
        self.spawn_due(now, &mut effects);
        self.due = self.next_due();
        effects
    }

    /// The worker is about to bind an address.
    pub fn binds(&mut self, id: WorkerId, address: Address) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.bound = Some(address);
        }
    }

    /// The worker listens.
    pub fn listens(&mut self, id: WorkerId, cookie: u64, address: Address, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        if let Some(worker) = self.workers.get_mut(&id) {
            // A socket that listens once more, after shutdown(2), is still in its group.
            if worker.listeners.iter().all(|listener| listener.cookie != cookie) {
                worker.listeners.push(Listener { cookie, address, seat: None });
            }
            self.advance(id, now, &mut effects);
        }
        effects
    }

    /// A listener has closed, or could not be joined.
    pub fn closes(&mut self, cookie: u64) -> Vec<Effect> {
        self.due = AT_ONCE;
        for worker in self.workers.values_mut() {
            if let Some(at) = worker.listeners.iter().position(|listener| listener.cookie == cookie) {
                worker.listeners.swap_remove(at);
                return vec![Effect::Leave { cookie }, Effect::Forget { cookie }];
            }
        }
        Vec::new()
    }

    /// The worker has written something that llb understands.
    pub fn speaks(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.spoke = true;
        }
    }

    /// The worker says that it is ready.
    pub fn says_ready(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.said_ready = true;
            self.advance(id, now, &mut effects);
        }
        effects
    }

    /// The worker asks to be replaced. Its replacement comes first, and only when that is ready does it go.
    pub fn asks_to_leave(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.asked_to_leave = true;
            self.order_replacement(id, now);
            self.spawn_due(now, &mut effects);
        }
        effects
    }

    /// The report channel has closed. One that never spoke may close it freely; for one that did it is a request to
    /// be replaced.
    pub fn hangs_up(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        if self.workers.get(&id).is_some_and(|worker| worker.spoke) { self.asks_to_leave(id, now) } else { Vec::new() }
    }

    /// The worker that was to be spawned could not be.
    pub fn spawn_failed(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        // What cannot be started now cannot be started the next time either; but a fleet that is up stays up.
        if self.phase == Phase::ComingUp && self.workers.contains_key(&id) {
            effects.push(Effect::Fail(Failure::Spawn { id }));
            self.end(now, &mut effects);
        }
        effects.extend(self.exited(id, now));
        effects
    }

    /// The worker's first process has exited.
    pub fn exited(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        let Some(worker) = self.workers.remove(&id) else { return effects };
        for Listener { cookie, .. } in worker.listeners.iter().copied() {
            effects.extend([Effect::Leave { cookie }, Effect::Forget { cookie }]);
        }
        for seat in worker.seats() {
            self.seats.release(seat);
        }
        effects.push(Effect::Bury(id));
        if self.phase == Phase::Ending {
            if self.workers.is_empty() {
                effects.push(Effect::Down);
            }
            return effects;
        }
        if !worker.was_ready {
            let failures = &mut self.slots[worker.slot.0 as usize].failures;
            *failures = failures.saturating_add(1);
            if self.phase == Phase::ComingUp && *failures >= TRIES {
                effects.push(Effect::Fail(Failure::Exited { id }));
                self.end(now, &mut effects);
                return effects;
            }
        }
        let is_filled = self.slots[worker.slot.0 as usize].spawn_at.is_some() || self.has_current(worker.slot);
        if !is_filled {
            self.schedule(worker.slot, worker.started_at, now, worker.was_ready);
            self.spawn_due(now, &mut effects);
        }
        effects
    }

    /// Everything is to end. Asked once more, and not in the same breath, it ends at once.
    pub fn stop(&mut self, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        match self.ending_since {
            None => self.end(now, &mut effects),
            Some(since) if now >= since.after(ONE_WISH) => {
                for id in self.ids() {
                    self.kill(id, &mut effects);
                }
            }
            Some(_) => {}
        }
        effects
    }

    /// Whether all slots have been ready once.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// When time alone may next change something.
    fn next_due(&self) -> Instant {
        let waits_for_seat = |worker: &Worker| worker.listeners.iter().any(|listener| listener.seat.is_none());
        let workers = self.workers.values().filter_map(|worker| match worker.state {
            State::Starting { deadline } | State::Stopping { deadline } => Some(deadline),
            // The books of their seats tell, and those change at any time.
            State::Draining { .. } => Some(AT_ONCE),
            State::Serving if waits_for_seat(worker) => Some(AT_ONCE),
            State::Serving | State::Killed => None,
        });
        let seats = self.seats.any_rests().then_some(AT_ONCE);
        let slots = self.slots.iter().filter_map(|slot| slot.spawn_at);
        workers.chain(seats).chain(slots).min().unwrap_or(Instant(u64::MAX))
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }

    fn has_current(&self, slot: Slot) -> bool {
        self.workers.values().any(|worker| worker.slot == slot && worker.is_current())
    }

    /// Makes a starting worker ready if it is, and joins the listeners of a ready one.
    fn advance(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let starting = matches!(worker.state, State::Starting { .. });
        let ready = match self.rules.ready_when {
            ReadyWhen::Listening => !worker.listeners.is_empty(),
            ReadyWhen::Ready => worker.said_ready && !worker.listeners.is_empty(),
        };
        if !ready || !(starting || worker.state == State::Serving) {
            return;
        }
        worker.state = State::Serving;
        worker.was_ready = true;
        join(worker, &mut self.seats, effects);
        if starting {
            let slot = worker.slot;
            let state = &mut self.slots[slot.0 as usize];
            (state.was_ready, state.failures) = (true, 0);
            self.retire_leaving(slot, now, effects);
            self.come_up(effects);
            self.order_replacement(id, now);
            self.spawn_due(now, effects);
        }
    }

    /// Gives a seat to the listeners that found none free when they joined.
    fn seat_the_standing(&mut self, effects: &mut Vec<Effect>) {
        for worker in self.workers.values_mut().filter(|worker| worker.state == State::Serving) {
            join(worker, &mut self.seats, effects);
        }
    }

    /// Orders the replacement of a worker that has asked for it.
    fn order_replacement(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let serves = worker.state == State::Serving && self.phase != Phase::Ending;
        if worker.asked_to_leave && serves && !worker.leaving {
            worker.leaving = true;
            let (slot, started_at) = (worker.slot, worker.started_at);
            self.schedule(slot, started_at, now, true);
        }
    }

    /// A worker of this slot is ready: those that it replaces may go.
    fn retire_leaving(&mut self, slot: Slot, now: Instant, effects: &mut Vec<Effect>) {
        for worker in self.workers.values_mut().filter(|worker| worker.slot == slot && worker.leaving) {
            if worker.state != State::Serving {
                continue;
            }
            for listener in &worker.listeners {
                effects.push(Effect::Leave { cookie: listener.cookie });
            }
            worker.state =
                State::Draining { earliest: now.after(GRACE), deadline: now.after(self.rules.drain_timeout) };
            effects.push(Effect::TellToFinish(worker.id));
        }
    }

    fn come_up(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::ComingUp && self.slots.iter().all(|slot| slot.was_ready) {
            self.phase = Phase::Up;
            effects.push(Effect::Up);
        }
    }

    fn schedule(&mut self, slot: Slot, started_at: Instant, now: Instant, was_ready: bool) {
        let state = &mut self.slots[slot.0 as usize];
        let next = self.pace.after(state.interval, Life { started: started_at, ended: now, was_ready });
        (state.spawn_at, state.interval) = (Some(next.start), next.interval);
    }

    fn spawn_due(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Ending {
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.spawn_at.is_none_or(|at| now < at) {
                continue;
            }
            slot.spawn_at = None;
            slot.spawned = slot.spawned.saturating_add(1);
            let (id, slot_id, generation) = (self.next, Slot(index as u32), Generation(1));
            self.next = WorkerId(id.0 + 1);
            let capture = self.phase == Phase::ComingUp && slot.failures > 0;
            let worker = Worker {
                id,
                slot: slot_id,
                generation,
                state: State::Starting { deadline: now.after(self.rules.ready_timeout) },
                started_at: now,
                listeners: Vec::new(),
                bound: None,
                captured: capture,
                held: Vec::new(),
                said_ready: false,
                spoke: false,
                was_ready: false,
                asked_to_leave: false,
                leaving: false,
            };
            self.workers.insert(id, worker);
            effects.push(Effect::Spawn { id, slot: slot_id, generation, capture });
        }
    }

    fn end(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ending;
        self.ending_since = Some(now);
        for id in self.ids() {
            self.terminate(id, now, effects);
        }
        if self.workers.is_empty() {
            effects.push(Effect::Down);
        }
    }

    fn terminate(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if matches!(worker.state, State::Stopping { .. } | State::Killed) {
            return;
        }
        worker.state = State::Stopping { deadline: now.after(self.rules.drain_timeout) };
        effects.push(Effect::Terminate(id));
    }

    fn kill(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = State::Killed;
            effects.push(Effect::Kill(id));
        }
    }
}

/// Gives each listener that has none a seat: the worker's own first one, and another where the worker has several
/// listeners on one address, as a program that sets `SO_REUSEPORT` itself may.
fn join(worker: &mut Worker, seats: &mut Seats, effects: &mut Vec<Effect>) {
    for index in 0..worker.listeners.len() {
        let listener = worker.listeners[index];
        if listener.seat.is_some() {
            continue;
        }
        let free_here = worker.seats().find(|seat| {
            !worker.listeners.iter().any(|other| other.address == listener.address && other.seat == Some(*seat))
        });
        let seat = free_here.or_else(|| seats.take().inspect(|seat| worker.held.push(*seat)));
        // Without a free seat the listener stays with the kernel's hash until there is one.
        let Some(seat) = seat else { continue };
        worker.listeners[index].seat = Some(seat);
        effects.push(Effect::Join { id: worker.id, cookie: listener.cookie, address: listener.address, seat });
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
