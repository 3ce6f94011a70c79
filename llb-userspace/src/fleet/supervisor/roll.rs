//! A reload: a new generation of workers takes the place of the old one.
//!
//! The new workers start beside the old ones and join as soon as they are ready. *At once*: when every slot has a new
//! one that serves, all old ones go. *Rolling*: an old one goes when the new one of its slot serves, and there are never
//! more workers than slots and the surge together. A fleet of more workers than half the seats is always reloaded like that, with
//! as many at a time as there are free seats. Without a surge, an old one goes first, when all others serve: of what it
//! holds there may be only one. A new worker that exits twice before it is ready, or is not ready in
//! time, ends the reload: the new ones whose elder still serves go, and the old ones have never stopped serving. One
//! more reload that is asked for meanwhile comes after it: the code may have changed since the first workers started.

use std::collections::{BTreeMap, BTreeSet};

use llb_common::abi::MAX_SEATS;

use super::{
    Generation, Instant, Kind, Phase, Slot, State, Supervisor, Worker, WorkerId,
    slots::{DesiredState, SlotEntry},
};
use crate::fleet::{
    backoff::Life,
    command::{Canary, Granted, Refusal, Style},
    restarts::RestartCause,
};

/// How many workers are replaced at a time where there are no seats beside those of the old ones: a sixteenth of them. Until an
/// old one has finished, the new one of its slot is not chosen.
const BATCH: usize = 16;

/// A reload that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roll {
    pub generation: Generation,
    pub style: Style,
    /// Whether the new code is on trial, in a few slots.
    pub trial: Option<CanaryTrial>,
}

/// New code that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CanaryTrial {
    pub canary: Canary,
    /// Since when all of its workers have served.
    pub since: Option<Instant>,
}

impl Supervisor {
    /// The generation that is being started, during a reload.
    #[must_use]
    pub fn reloading(&self) -> Option<Generation> {
        self.roll.as_ref().map(|roll| roll.generation)
    }

    pub(super) fn reload(&mut self, style: Style, canary: Option<Canary>, now: Instant) -> Result<Granted, Refusal> {
        let wanted = self.slots.iter().filter(|entry| entry.desired == DesiredState::Filled).count();
        if canary.is_some_and(|canary| canary.slots == 0 || canary.slots as usize >= wanted) {
            return Err(Refusal::BadCanary { most: wanted.saturating_sub(1) });
        }
        if let Some(roll) = &self.roll {
            self.queued = Some((style, canary));
            return Ok(Granted::Queued(Generation(roll.generation.0 + 1)));
        }
        let free = self.seats.count_free();
        let style = match style {
            // Never will there be a seat for each of them beside the old ones.
            Style::AtOnce if 2 * wanted > MAX_SEATS => Style::Rolling { max_surge: free.max(BATCH) as u32 },
            style => style,
        };
        let needed = match style {
            Style::AtOnce => wanted,
            // The new ones take the seats of the old ones.
            Style::Rolling { .. } if wanted == MAX_SEATS => 0,
            Style::Rolling { .. } => 1,
        };
        if free < needed {
            return Err(Refusal::NoSeats { free, needed });
        }
        self.latest = Generation(self.latest.0 + 1);
        let trial = canary.map(|canary| CanaryTrial { canary, since: None });
        self.roll = Some(Roll { generation: self.latest, style, trial });
        for entry in &mut self.slots {
            entry.failures = 0;
        }
        let cause: String = match style {
            Style::AtOnce => "asked for, all at once".into(),
            Style::Rolling { max_surge } => format!("asked for, slot by slot, {max_surge} at a time"),
        };
        let first = canary.map_or_else(String::new, |canary| format!(", {} slots first", canary.slots));
        self.note(Kind::Reloading, None, None, self.latest, cause + &first);
        self.roll_on(now);
        Ok(Granted::Reloading(self.latest))
    }

    /// Takes the reload as far as it goes just now. Looks at each worker once, and not once for each slot: it is asked after each step of
    /// each of hundreds.
    pub(super) fn roll_on(&mut self, now: Instant) {
        let Some(roll) = self.roll else { return };
        let (newest, mut room) = (self.newest(), self.room(roll));
        for index in 0..self.slots.len() {
            let (slot, entry) = (Slot(index as u32), &self.slots[index]);
            let is_begun = entry.spawn_at.is_some() || newest.get(&slot).is_some_and(|g| *g >= roll.generation);
            if entry.desired == DesiredState::Filled && !is_begun && room > 0 && self.may_begin(roll, slot) {
                room -= 1;
                let entry = &mut self.slots[index];
                (entry.spawn_at, entry.why) = (Some(now), Some(RestartCause::Reloaded));
            }
        }
        self.begin_to_watch(now);
        let Some(roll) = self.roll else { return };
        self.make_room(roll, now);
        self.spawn_due(now);
        let serves_anew = |worker: &&Worker| worker.generation >= roll.generation && worker.state == State::Serving;
        let anew: BTreeSet<Slot> = self.workers.values().filter(serves_anew).map(|worker| worker.slot).collect();
        let mut filled = (0..).map(Slot).zip(&self.slots).filter(|(_, entry)| entry.desired == DesiredState::Filled);
        if self.roll == Some(roll) && filled.all(|(slot, _)| anew.contains(&slot)) {
            self.finish_roll(roll, now);
        }
    }

    /// Slot by slot, an old worker goes when the new one of its slot serves.
    pub(super) fn retire_elders(&mut self, id: WorkerId, now: Instant) {
        // Those beside new code on trial stay until it has passed.
        let Some(Roll { generation, style: Style::Rolling { .. }, trial: None }) = self.roll else { return };
        let worker = &self.workers[&id];
        if worker.generation == generation {
            for elder in self.in_slot(worker.slot) {
                if self.workers[&elder].generation < generation {
                    self.dismiss(elder, "a newer one of its slot serves", now);
                }
            }
        }
    }

    fn finish_roll(&mut self, roll: Roll, now: Instant) {
        self.roll = None;
        self.generation = roll.generation;
        for id in self.ids() {
            if self.workers[&id].generation < roll.generation {
                self.dismiss(id, "a newer generation serves", now);
            }
        }
        // New code may do what the old could not.
        for entry in self.slots.iter_mut().filter(|entry| entry.desired == DesiredState::Failed) {
            *entry = SlotEntry { spawned: entry.spawned, causes: entry.causes, ..SlotEntry::due(&self.backoff, now) };
        }
        self.spawn_due(now);
        self.note(Kind::Reloaded, None, None, roll.generation, "every slot has a new worker that serves".into());
        self.roll_next(now);
    }

    /// Gives the reload up.
    pub(super) fn roll_back(&mut self, cause: &str, now: Instant) {
        let Some(roll) = self.roll.take() else { return };
        for id in self.ids() {
            let worker = &self.workers[&id];
            if worker.generation != roll.generation {
                continue;
            }
            let elder_serves = self.in_slot(worker.slot).iter().any(|other| {
                let other = &self.workers[other];
                other.generation < roll.generation && other.state == State::Serving && !other.leaving
            });
            if elder_serves || matches!(worker.state, State::Starting { .. }) {
                self.dismiss(id, "the reload is rolled back", now);
            } else if worker.state == State::Serving {
                // It stays, and an elder that has not become ready meanwhile need not.
                self.generation = roll.generation;
                for elder in self.in_slot(worker.slot).into_iter().filter(|elder| *elder != id) {
                    if matches!(self.workers[&elder].state, State::Starting { .. }) {
                        self.dismiss(elder, "a newer one of its slot serves", now);
                    }
                }
            }
        }
        for index in 0..self.slots.len() {
            let slot = Slot(index as u32);
            if self.has_current(slot) {
                (self.slots[index].spawn_at, self.slots[index].why) = (None, None);
            } else if self.slots[index].desired == DesiredState::Filled {
                self.schedule(slot, Life { started: now, ended: now, was_ready: false });
            }
        }
        self.note(Kind::RolledBack, None, None, roll.generation, cause.into());
        self.roll_next(now);
    }

    fn roll_next(&mut self, now: Instant) {
        if let Some((style, canary)) = self.queued.take()
            && self.phase == Phase::Up
            && let Err(refusal) = self.reload(style, canary, now)
        {
            self.latest = Generation(self.latest.0 + 1);
            self.note(Kind::RolledBack, None, None, self.latest, refusal.to_string());
        }
    }

    /// Without a surge the next old worker goes before its new one comes, once all others serve.
    fn make_room(&mut self, roll: Roll, now: Instant) {
        let all_serve = self.workers.values().all(|worker| worker.state == State::Serving);
        let none_comes = self.slots.iter().all(|entry| entry.spawn_at.is_none());
        if roll.trial.is_some() || roll.style != (Style::Rolling { max_surge: 0 }) || !all_serve || !none_comes {
            return;
        }
        let is_elder = |worker: &&Worker| worker.generation < roll.generation;
        if let Some(elder) = self.workers.values().filter(is_elder).min_by_key(|worker| worker.slot).map(|w| w.id) {
            self.dismiss(elder, "a newer one takes its place", now);
        }
    }

    /// How many more workers may be started now.
    fn room(&self, roll: Roll) -> usize {
        let Roll { style: Style::Rolling { max_surge }, trial: None, .. } = roll else { return usize::MAX };
        let wanted = self.slots.iter().filter(|entry| entry.desired == DesiredState::Filled).count();
        let coming = self.slots.iter().filter(|entry| entry.spawn_at.is_some()).count();
        (wanted + max_surge as usize).saturating_sub(self.workers.len() + coming)
    }

    /// The newest generation of each slot that has a worker which is not on its way out.
    fn newest(&self) -> BTreeMap<Slot, Generation> {
        let mut newest = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| worker.is_current()) {
            let known = newest.entry(worker.slot).or_insert(worker.generation);
            *known = worker.generation.max(*known);
        }
        newest
    }
}
