//! The supervisor, which decides about the life of each worker: pure, (state, event, now) to one queue of effects.
//!
//! # Theory of operation
//! Every slot that is to be filled has at most one worker of each generation that is not on its way out, and the workers
//! that it had before and that are still ending. A worker goes
//!
//! ```text
//! Starting -> Serving -> Draining -> Stopping -> Killed -> (exited)
//! ```
//!
//! and may skip any of them; only its exit ends it. *Starting* lasts until it is ready, and only then do its listeners
//! join their groups. *Draining* has left the groups and finishes what it holds. *Stopping* has been sent the signal
//! to end (one that catches it as soon as nobody is on the way to it any more), *Killed* SIGKILL. Each state but Serving has a deadline after which the next is forced, so nothing hangs. When a
//! worker's first process has exited, whatever else is in its cgroup is killed, and the worker is reaped.
//!
//! Whoever is to go while the fleet serves is replaced first, by `replace`: `leave` has the way out, `roll` a whole generation's, and
//! `operate` what an operator may want. `ready` has what makes a worker ready, `slots` which slots are to be filled, and when each is filled: again
//! and again, paced by [`Backoff`], unless nobody has ever become ready there. Until all slots have been ready once, or have been given up, the
//! fleet is *coming up*; if every slot fails twice before anybody is ready, it ends with what the worker wrote.
//!
//! A worker keeps its seats until it exits, also when it has closed its listeners: its open connections are still
//! counted there, and it has not drained before they are closed.
//!
//! What is to be done goes into the one queue that the engine takes it from, in order; so does a [`Note`](super::note::Note) of every transition,
//! with its cause.

mod adopt;
mod attend;
mod canary;
mod leave;
mod notes;
mod operate;
mod ready;
mod recycle;
mod replace;
mod roll;
mod slots;
mod time;
mod transitions;
mod udp;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

pub use self::{
    adopt::{Adopted, AdoptedSlot, AdoptedWorker},
    slots::SlotState,
};
use self::{roll::Roll, slots::SlotEntry};
use super::{
    backoff::Backoff,
    closing::QUIET,
    command::{Canary, Style},
    effect::{CloseScope, Effect, Failure},
    note::Kind,
    restarts::RestartCauses,
    worker::{Holding, Listener, Sight, State, Worker},
};
use crate::{
    config::ReadyWhen,
    model::{Address, Generation, Instant, Seat, Slot, WorkerId},
    registry::Seats,
};

/// What the fleet is to be, as far as its supervisor is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Number of slots at first.
    pub slots: u32,
    /// When a worker counts as ready.
    pub ready_when: ReadyWhen,
    /// Whether it is also asked.
    pub ready_check: bool,
    /// How long it may take to become ready.
    pub ready_timeout: Duration,
    /// How long it may take to finish, and then how long to end.
    pub drain_timeout: Duration,
    /// How long its idle connections are left alone; none: half of the drain time, and all of it if it ends itself.
    pub drain_idle: Option<Duration>,
    /// The least time between two starts in a slot.
    pub respawn: Duration,
    /// The most time between two starts in a slot.
    pub backoff: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ComingUp,
    Up,
    Ending,
}

/// The supervisor of a fleet.
#[derive(Clone, Debug)]
pub struct Supervisor {
    rules: Rules,
    backoff: Backoff,
    phase: Phase,
    ending_since: Option<Instant>,
    slots: Vec<SlotEntry>,
    workers: BTreeMap<WorkerId, Worker>,
    seats: Seats,
    /// The generation that serves, and the newest that there has been.
    generation: Generation,
    latest: Generation,
    roll: Option<Roll>,
    queued: Option<(Style, Option<Canary>)>,
    next: WorkerId,
    /// Addresses at which workers have become ready that were never seen to accept there.
    unattended: BTreeSet<Address>,
    /// What is to be done, and noted, next.
    effects: VecDeque<Effect>,
    /// Before this, time alone changes nothing.
    due: Instant,
}

/// As soon as anybody looks.
const AT_ONCE: Instant = Instant(0);

impl Supervisor {
    /// A fleet of empty slots, each due at once.
    #[must_use]
    pub fn new(rules: Rules, now: Instant) -> Self {
        let backoff = Backoff::new(rules.respawn, rules.backoff);
        Supervisor {
            rules,
            backoff,
            phase: Phase::ComingUp,
            ending_since: None,
            slots: (0..rules.slots).map(|_| SlotEntry::due(&backoff, now)).collect(),
            workers: BTreeMap::new(),
            seats: Seats::default(),
            generation: Generation(1),
            latest: Generation(1),
            roll: None,
            queued: None,
            next: WorkerId(1),
            unattended: BTreeSet::new(),
            effects: VecDeque::new(),
            due: AT_ONCE,
        }
    }

    /// The workers that have not been reaped, by age.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// One of them.
    #[must_use]
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// How often a slot's worker has been replaced, not counting those that were recycled.
    #[must_use]
    pub fn restarts(&self, slot: Slot) -> u32 {
        let restarts = |entry: &SlotEntry| entry.spawned.saturating_sub(1).saturating_sub(entry.recycled);
        self.slots.get(slot.0 as usize).map_or(0, restarts)
    }

    /// How often a slot's worker has been replaced as it had reached a limit.
    #[must_use]
    pub fn recycled(&self, slot: Slot) -> u32 {
        self.slots.get(slot.0 as usize).map_or(0, |entry| entry.recycled)
    }

    /// How often a slot's worker has been replaced, by cause.
    #[must_use]
    pub fn restart_causes(&self, slot: Slot) -> RestartCauses {
        self.slots.get(slot.0 as usize).map_or_else(RestartCauses::default, |entry| entry.causes)
    }

    /// The generation that serves.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether all slots have been ready once.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Whether all is to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.phase == Phase::Ending
    }

    /// What is to be done next, if anything is.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether anything is to be done.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
