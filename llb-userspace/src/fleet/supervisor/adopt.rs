//! Takes over workers whose master has died.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    AT_ONCE, Address, Effect, Generation, Instant, Kind, Listener, Phase, Seat, Seats, Slot, State, Supervisor, Worker,
    WorkerId,
    roll::Roll,
    slots::{DesiredState, SlotEntry},
};
use crate::{
    config::ReadyWhen,
    fleet::{command::Style, restarts::RestartCauses, takeover::Stage},
};

/// Whatever was written down, there is room for generations to come.
const LAST: u32 = u32::MAX / 2;

/// A fleet that was found.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// The workers, the older ones first.
    pub workers: Vec<AdoptedWorker>,
    /// The slots that there were.
    pub slots: Vec<AdoptedSlot>,
    /// The generation that served.
    pub generation: u32,
    /// The generation that was being started, during a reload.
    pub reloading: Option<u32>,
    /// The addresses at which workers were ready and accepted nothing.
    pub unattended: Vec<Address>,
}

/// A slot that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedSlot {
    /// How often it has been filled.
    pub spawned: u32,
    /// Of those, how many came in the place of one that was recycled; not in the record of an llb that recycles none.
    #[serde(default)]
    pub recycled: u32,
    /// And why each came; not in the record of an llb that does not count that.
    #[serde(default)]
    pub causes: RestartCauses,
    /// Whether anybody has ever been ready there.
    pub was_ready: bool,
    /// Whether it was to be left empty.
    pub drained: bool,
}

/// A worker that was found.
#[derive(Clone, Debug)]
pub struct AdoptedWorker {
    /// The slot that it fills.
    pub slot: Slot,
    /// The generation that it belongs to.
    pub generation: Generation,
    /// How far its life had come.
    pub stage: Stage,
    /// Why it was to be replaced, if it was.
    pub asked_to_leave: Option<String>,
    /// Whether that was as it had reached a limit, and its replacement had not been started.
    pub is_recycled: bool,
    /// When it was spawned.
    pub started_at: Instant,
    /// Its listeners; with a seat those that are in their group.
    pub listeners: Vec<Listener>,
    /// Its UDP sockets; with a seat those that are in their group.
    pub udp: Vec<Listener>,
    /// Every seat that it holds.
    pub seats: Vec<Seat>,
}

impl Supervisor {
    /// The slots, for the next master.
    pub fn slots_to_adopt(&self) -> impl Iterator<Item = AdoptedSlot> {
        self.slots.iter().map(|entry| AdoptedSlot {
            spawned: entry.spawned,
            recycled: entry.recycled,
            causes: entry.causes,
            was_ready: entry.was_ready,
            drained: entry.desired == DesiredState::Drained,
        })
    }

    /// Takes in a fleet, before anything else has happened in this one. `is_used` says of a seat whether somebody may
    /// still be counted there. Returns the workers' ids, in their order.
    ///
    /// What was asked for and not finished is dropped: a reload is rolled back, as the new master may have another
    /// command.
    pub fn adopt(&mut self, found: Adopted, is_used: impl Fn(Seat) -> bool, now: Instant) -> Vec<WorkerId> {
        self.due = AT_ONCE;
        self.unattended.extend(&found.unattended);
        let held: BTreeSet<Seat> = found.workers.iter().flat_map(|worker| &worker.seats).copied().collect();
        self.seats = Seats::held(&held, is_used);
        let generations = found.workers.iter().map(|worker| worker.generation.0);
        self.generation = Generation(found.generation.clamp(1, LAST));
        self.latest = Generation(generations.chain(found.reloading).fold(self.generation.0, u32::max).min(LAST));
        let wanted = self.slots.len();
        self.take_slots(&found, now);
        let ids: Vec<WorkerId> = found.workers.into_iter().map(|worker| self.take_in(worker, now)).collect();
        let was_up = self.workers.values().any(|worker| worker.state == State::Serving);
        if was_up {
            // It is not to end because a worker of it does not come back.
            self.phase = Phase::Up;
        }
        for &id in &ids {
            self.advance(id, now);
        }
        if let Some(generation) = found.reloading.map(Generation) {
            self.roll = Some(Roll { generation, style: Style::AtOnce, trial: None });
            self.roll_back("its master has died", now);
        }
        self.keep_one_each(now);
        if self.slots.len() > wanted
            && let Err(refusal) = self.scale(wanted as u32, now)
        {
            self.note_fleet(Kind::TakenOver, &format!("has more than the {wanted} workers asked for: {refusal}"));
        }
        // Otherwise that comes when the fleet is up, perhaps at once.
        if was_up {
            self.effects.push_back(Effect::Up);
        }
        self.spawn_due(now);
        ids
    }

    /// The slots are those that were asked for, and those in which somebody lives.
    fn take_slots(&mut self, found: &Adopted, now: Instant) {
        let lived_in = found.workers.iter().map(|worker| worker.slot.0 as usize + 1).max().unwrap_or(0);
        while self.slots.len() < lived_in {
            self.slots.push(SlotEntry::due(&self.backoff, now));
        }
        for (entry, found) in self.slots.iter_mut().zip(&found.slots) {
            (entry.spawned, entry.recycled, entry.was_ready) = (found.spawned, found.recycled, found.was_ready);
            entry.causes = found.causes;
            if found.drained {
                (entry.desired, entry.spawn_at) = (DesiredState::Drained, None);
            }
        }
    }

    fn take_in(&mut self, found: AdoptedWorker, now: Instant) -> WorkerId {
        let id = self.next;
        self.next = WorkerId(id.0 + 1);
        let (drain_timeout, drain_idle) = (self.rules.drain_timeout, self.rules.drain_idle());
        let state = match found.stage {
            Stage::Starting | Stage::Stopping => State::Starting { deadline: now.after(self.rules.ready_timeout) },
            Stage::Serving => State::Serving,
            Stage::Draining => {
                State::Draining { earliest: now, relaxed: now.after(drain_idle), deadline: now.after(drain_timeout) }
            }
        };
        let mut worker = Worker::new(id, found.slot, found.generation, state, found.started_at);
        worker.is_spawned = true;
        worker.was_ready = found.stage != Stage::Starting;
        worker.said_ready = worker.was_ready;
        (worker.listeners, worker.udp, worker.held) = (found.listeners, found.udp, found.seats);
        // The replacement has been ordered, and is there or has to be ordered again.
        worker.leaving = found.asked_to_leave.is_some() && worker.state == State::Serving;
        worker.asked_to_leave = found.asked_to_leave;
        worker.is_recycled = found.is_recycled;
        let is_current = worker.is_current();
        self.workers.insert(id, worker);
        self.note_worker(Kind::TakenOver, id, "its master has died");
        if found.stage == Stage::Stopping {
            self.terminate(id, "it was to end", now);
        } else if found.stage == Stage::Starting && self.rules.ready_when == ReadyWhen::Ready {
            // Its channel is gone: what it has not said it cannot say any more.
            self.terminate(id, "it cannot say any more that it is ready", now);
        } else if is_current && let Some(entry) = self.entry(found.slot) {
            (entry.spawn_at, entry.was_ready) = (None, entry.was_ready || found.stage == Stage::Serving);
        }
        let worker = &self.workers[&id];
        let sockets: Vec<u64> = worker.listeners.iter().chain(&worker.udp).map(|socket| socket.cookie).collect();
        sockets.into_iter().for_each(|cookie| self.watch(id, cookie));
        id
    }

    /// A slot has one worker that is not on its way out: the youngest that serves, or else the youngest.
    fn keep_one_each(&mut self, now: Instant) {
        for slot in (0..).map(Slot).take(self.slots.len()) {
            let current = |worker: &&Worker| worker.slot == slot && worker.is_current();
            let current: Vec<WorkerId> = self.workers.values().filter(current).map(|worker| worker.id).collect();
            let serving = current.iter().rfind(|id| self.workers[id].state == State::Serving).copied();
            let Some(kept) = serving.or(current.last().copied()) else { continue };
            for id in current.into_iter().filter(|id| *id != kept) {
                self.dismiss(id, "another one fills its slot", now);
            }
            if serving.is_some() {
                self.retire_leaving(slot, now);
            }
        }
    }
}
