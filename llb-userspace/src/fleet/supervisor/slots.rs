//! The slots: which are to be filled, and when.

use std::collections::BTreeSet;

use super::{Effect, Generation, Instant, Kind, Phase, Slot, State, Supervisor, Worker, WorkerId};
use crate::fleet::{
    backoff::{Backoff, Interval, Life},
    effect::{Failure, NewWorker},
    restarts::{RestartCause, RestartCauses},
};

/// Failures in each slot that end a fleet of which nobody has ever been ready: the second time shows what the worker
/// writes.
pub(super) const TRIES: u32 = 2;

/// Failures after which a slot is given up in which nobody has ever been ready, while others serve: one more than might
/// be the bad moment of a busy machine.
pub(super) const TRIES_FOR_GOOD: u32 = 3;

/// Whether a slot is to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DesiredState {
    Filled,
    /// Left empty, as was asked for.
    Drained,
    /// Left empty, as nobody has become ready there.
    Failed,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// It has a worker.
    Filled,
    /// It gets one at this time, or when the last one has ended.
    Waiting {
        /// When; none: as soon as the last one has ended.
        until: Option<Instant>,
    },
    /// Left empty, as was asked for.
    Drained,
    /// Left empty, as nobody has become ready there.
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct SlotEntry {
    pub desired: DesiredState,
    pub interval: Interval,
    pub spawn_at: Option<Instant>,
    /// Workers in a row that ended before they were ready.
    pub failures: u32,
    pub spawned: u32,
    /// Of those, how many came in the place of one that was recycled.
    pub recycled: u32,
    /// Why the next worker comes, if not as the last one has ended.
    pub why: Option<RestartCause>,
    pub causes: RestartCauses,
    pub was_ready: bool,
}

impl SlotEntry {
    pub(super) fn due(backoff: &Backoff, at: Instant) -> Self {
        SlotEntry {
            desired: DesiredState::Filled,
            interval: backoff.first(),
            spawn_at: Some(at),
            failures: 0,
            spawned: 0,
            recycled: 0,
            why: None,
            causes: RestartCauses::default(),
            was_ready: false,
        }
    }
}

impl Supervisor {
    /// Where each slot stands.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, SlotState)> {
        let current = self.workers.values().filter(|worker| worker.is_current());
        let current: BTreeSet<Slot> = current.map(|worker| worker.slot).collect();
        (0..).map(Slot).zip(&self.slots).map(move |(slot, entry)| {
            let state = match entry.desired {
                DesiredState::Drained => SlotState::Drained,
                DesiredState::Failed => SlotState::Failed,
                DesiredState::Filled if current.contains(&slot) => SlotState::Filled,
                DesiredState::Filled => SlotState::Waiting { until: entry.spawn_at },
            };
            (slot, state)
        })
    }

    /// How many there are.
    pub fn slot_count(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn entry(&mut self, slot: Slot) -> Option<&mut SlotEntry> {
        self.slots.get_mut(slot.0 as usize)
    }

    /// The workers of a slot, those on their way out too.
    pub(super) fn in_slot(&self, slot: Slot) -> Vec<WorkerId> {
        self.workers.values().filter(|worker| worker.slot == slot).map(|worker| worker.id).collect()
    }

    /// Whether a slot has a worker that is not on its way out.
    pub(super) fn has_current(&self, slot: Slot) -> bool {
        self.workers.values().any(|worker| worker.slot == slot && worker.is_current())
    }

    /// The slot's next worker comes as fast as the lives before it allow.
    pub(super) fn schedule(&mut self, slot: Slot, life: Life) {
        let backoff = self.backoff;
        let Some(entry) = self.entry(slot) else { return };
        let next = backoff.after(entry.interval, life);
        (entry.spawn_at, entry.interval) = (Some(next.start), next.interval);
    }

    pub(super) fn spawn_due(&mut self, now: Instant) {
        if self.phase == Phase::Ending {
            return;
        }
        for index in 0..self.slots.len() {
            if self.slots[index].spawn_at.is_none_or(|at| now < at) {
                continue;
            }
            let recycles = self.replaces_recycled(Slot(index as u32));
            let entry = &mut self.slots[index];
            entry.spawn_at = None;
            let cause = match entry.spawned {
                0 => "a new slot",
                _ if recycles => "in place of one that is recycled",
                _ => "its turn",
            };
            let why = entry.why.take().unwrap_or(RestartCause::Exited);
            match entry.spawned {
                0 => {}
                _ if recycles => entry.causes.count(RestartCause::Recycled),
                _ => entry.causes.count(why),
            }
            entry.spawned = entry.spawned.saturating_add(1);
            entry.recycled = entry.recycled.saturating_add(u32::from(recycles));
            // What a worker writes is quoted if it fails once more.
            let capture = entry.failures > 0 && !entry.was_ready;
            let (id, slot, generation) = (self.next, Slot(index as u32), self.generation_to_spawn());
            self.next = WorkerId(id.0 + 1);
            let deadline = now.after(self.rules.ready_timeout);
            self.workers.insert(id, Worker::new(id, slot, generation, State::Starting { deadline }, now));
            self.effects.push_back(Effect::Spawn(NewWorker { id, slot, generation, capture }));
            self.note_worker(Kind::Spawned, id, cause);
        }
    }

    /// A worker has ended before it was ready.
    pub(super) fn failed(&mut self, worker: &Worker, now: Instant) {
        let Some(entry) = self.entry(worker.slot) else { return };
        entry.failures = entry.failures.saturating_add(1);
        let (failures, never) = (entry.failures, !entry.was_ready);
        self.make_way(worker.slot, failures, now);
        if self.roll.as_ref().is_some_and(|roll| roll.generation == worker.generation) {
            if failures >= TRIES {
                self.roll_back("a new worker has exited again and again before it was ready", now);
            }
            return;
        }
        let nobody_ever = self.slots.iter().all(|entry| !entry.was_ready);
        if nobody_ever && self.slots.iter().all(|entry| entry.failures >= TRIES) {
            self.effects.push_back(Effect::Fail(Failure::Exited { id: worker.id }));
            self.end("no worker becomes ready", now);
        } else if never && failures >= TRIES_FOR_GOOD && !self.has_current(worker.slot) {
            self.give_up(worker, now);
        }
    }

    fn give_up(&mut self, worker: &Worker, now: Instant) {
        let (slot, generation) = (worker.slot, worker.generation);
        if let Some(entry) = self.entry(slot) {
            (entry.desired, entry.spawn_at) = (DesiredState::Failed, None);
        }
        let cause = format!("none of its first {TRIES_FOR_GOOD} workers has become ready");
        self.note(Kind::Failed, None, Some(slot), generation, cause);
        self.effects.push_back(Effect::GiveUp { id: worker.id, slot });
        if self.slots.iter().all(|entry| entry.desired != DesiredState::Filled) && self.workers.is_empty() {
            self.effects.push_back(Effect::Fail(Failure::Exited { id: worker.id }));
            self.end("no slot is left", now);
        }
        self.come_up();
    }

    /// Has the slot of a worker that has exited filled again, if nobody fills it.
    pub(super) fn fill(&mut self, worker: &Worker, now: Instant) {
        let slot = worker.slot;
        let wants = self
            .slots
            .get(slot.0 as usize)
            .is_some_and(|entry| entry.desired == DesiredState::Filled && entry.spawn_at.is_none());
        // During a reload an elder that serves does not stand for the new one that has just exited.
        let was_new = self.roll.is_some_and(|roll| worker.generation >= roll.generation && worker.is_current());
        if wants && (was_new || !self.has_current(slot)) {
            match self.entry(slot) {
                Some(entry) if worker.is_done => {
                    (entry.spawn_at, entry.why) = (Some(now), Some(RestartCause::Left));
                }
                _ => self.schedule(slot, Self::life_of(worker, now)),
            }
        }
    }

    /// Whether all that can be up is.
    pub(super) fn come_up(&mut self) {
        let settled = |entry: &SlotEntry| entry.was_ready || entry.desired == DesiredState::Failed;
        let serves = self.workers.values().any(|worker| worker.state == State::Serving);
        if self.phase == Phase::ComingUp && serves && self.slots.iter().all(settled) {
            self.phase = Phase::Up;
            self.note_fleet(Kind::Up, "every slot has been ready once, or has failed for good");
            self.effects.push_back(Effect::Up);
        }
    }

    /// What a worker has lived.
    pub(super) fn life_of(worker: &Worker, ended: Instant) -> Life {
        Life { started: worker.started_at, ended, was_ready: worker.was_ready }
    }

    /// The generation of a worker that is spawned now.
    fn generation_to_spawn(&self) -> Generation {
        self.roll.as_ref().map_or(self.generation, |roll| roll.generation)
    }
}
