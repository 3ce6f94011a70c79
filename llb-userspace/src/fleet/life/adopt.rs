//! Goes on with the lives of workers whose master has died.

use std::collections::BTreeMap;

use super::{
    super::{
        effect::Effect,
        seats::Seats,
        takeover::Stage,
        worker::{Listener, State, Worker},
    },
    Lives, Phase,
};
use crate::{
    config::ReadyWhen,
    model::{Generation, Instant, Seat, Slot, WorkerId},
};

/// A worker that was found.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The slot that it fills.
    pub slot: Slot,
    /// The generation that it belongs to.
    pub generation: Generation,
    /// How far its life had come.
    pub stage: Stage,
    /// When it was spawned.
    pub started_at: Instant,
    /// Its listeners; with a seat those that are in their group.
    pub listeners: Vec<Listener>,
    /// Every seat that it holds.
    pub seats: Vec<Seat>,
}

impl Lives {
    /// Adds the workers that were found, the older ones first, to a fleet in which nobody lives yet. `spawned` says how often
    /// each slot has been filled, `is_used` of a seat whether somebody may still be counted there. Returns the workers' ids,
    /// in the same order.
    pub fn adopt(
        &mut self,
        found: Vec<Adopted>,
        spawned: &BTreeMap<u32, u32>,
        is_used: impl Fn(Seat) -> bool,
        now: Instant,
    ) -> (Vec<WorkerId>, Vec<Effect>) {
        let held = found.iter().flat_map(|worker| &worker.seats).copied().collect();
        self.seats = Seats::held(&held, is_used);
        // It was up already, and is not to end because a worker of it does not come back.
        self.phase = Phase::Up;
        for (slot, state) in self.slots.iter_mut().enumerate() {
            state.spawned = spawned.get(&(slot as u32)).copied().unwrap_or_default();
        }
        let mut effects = vec![Effect::Up];
        let ids: Vec<WorkerId> = found.into_iter().map(|worker| self.take_in(worker, now, &mut effects)).collect();
        for &id in &ids {
            self.advance(id, now, &mut effects);
        }
        (ids, effects)
    }

    fn take_in(&mut self, found: Adopted, now: Instant, effects: &mut Vec<Effect>) -> WorkerId {
        let id = self.next;
        self.next = WorkerId(id.0 + 1);
        let Adopted { slot, generation, stage, started_at, listeners, seats } = found;
        // Its channel is gone: what it has not said it cannot say any more.
        let cannot_become_ready = self.rules.ready_when == ReadyWhen::Ready;
        let state = match stage {
            Stage::Starting if cannot_become_ready => State::Stopping { deadline: now.after(self.rules.drain_timeout) },
            Stage::Starting => State::Starting { deadline: now.after(self.rules.ready_timeout) },
            Stage::Serving => State::Serving,
            Stage::Draining => State::Draining { earliest: now, deadline: now.after(self.rules.drain_timeout) },
            Stage::Stopping => State::Stopping { deadline: now.after(self.rules.drain_timeout) },
        };
        if matches!(state, State::Stopping { .. }) {
            effects.push(Effect::Terminate(id));
        }
        let was_ready = stage != Stage::Starting;
        let worker = Worker {
            id,
            slot,
            generation,
            state,
            started_at,
            listeners,
            bound: None,
            captured: false,
            held: seats,
            said_ready: was_ready,
            spoke: false,
            was_ready,
            asked_to_leave: false,
            leaving: false,
        };
        if worker.is_current() && let Some(slot) = self.slots.get_mut(slot.0 as usize) {
            (slot.spawn_at, slot.was_ready) = (None, was_ready);
        }
        self.workers.insert(id, worker);
        id
    }
}
