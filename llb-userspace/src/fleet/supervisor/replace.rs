//! How workers are replaced while the fleet serves: the replacement comes first, and the worker goes when that is ready.

use super::{AT_ONCE, Instant, Phase, Slot, State, Supervisor, WorkerId, slots::TRIES};
use crate::fleet::restarts::RestartCause;

impl Supervisor {
    /// Replaces a worker. `at_once` leaves the slot's backoff aside, as an operator may.
    pub fn replace(&mut self, id: WorkerId, cause: &str, at_once: bool, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.asked_to_leave.get_or_insert_with(|| cause.to_owned());
            let slot = worker.slot;
            self.order_replacement(id, now);
            if at_once && let Some(entry) = self.entry(slot) {
                entry.spawn_at = entry.spawn_at.map(|_| now);
            }
            self.spawn_due(now);
        }
    }

    /// Replaces a worker that hangs. If what it holds keeps its replacement from starting, it goes first.
    pub fn replace_hung(&mut self, id: WorkerId, cause: &str, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.hangs = true;
        }
        self.replace(id, cause, true, now);
    }

    /// A replacement has ended before it was ready, and not for the first time: one that hangs makes room for the next.
    pub(super) fn make_way(&mut self, slot: Slot, failures: u32, now: Instant) {
        for id in self.in_slot(slot) {
            if failures >= TRIES && self.workers[&id].hangs {
                self.dismiss(id, "it hangs, and its replacement does not become ready beside it", now);
            }
        }
    }

    /// Replaces a worker that has closed its listeners by itself, before it has ended.
    pub(super) fn replace_deserted(&mut self, id: WorkerId, now: Instant) {
        self.replace_by_design(id, "it has closed its listeners", now);
    }

    /// Replaces a worker for no fault of it. If it has served for a while, that is no failure, and the backoff of its slot stays.
    pub(super) fn replace_by_design(&mut self, id: WorkerId, cause: &str, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.asked_to_leave.is_none()) else {
            return;
        };
        let (slot, served) = (worker.slot, now >= worker.started_at.after(self.rules.respawn));
        // What another's life has ordered comes at that one's backoff.
        let served = served && self.entry(slot).is_some_and(|entry| entry.spawn_at.is_none());
        let interval = self.entry(slot).map(|entry| entry.interval);
        self.replace(id, cause, served, now);
        if let Some((entry, interval)) = self.entry(slot).zip(interval).filter(|_| served) {
            entry.interval = interval;
        }
    }

    /// Orders the replacement of a worker that is to leave. One that is not ready yet gets it when it is.
    pub(super) fn order_replacement(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let serves = worker.state == State::Serving && self.phase != Phase::Ending;
        let Some(cause) = worker.asked_to_leave.clone().filter(|_| serves && !worker.leaving) else { return };
        worker.leaving = true;
        let why = if worker.hangs { RestartCause::Hung } else { RestartCause::Left };
        let (slot, life) = (worker.slot, Self::life_of(worker, now));
        if self.workers.values().any(|other| other.slot == slot && other.is_current() && other.state == State::Serving)
        {
            // A reload has brought one already.
            self.retire(id, &cause, now);
        } else if !self.has_current(slot)
            && self.slots.get(slot.0 as usize).is_some_and(|entry| entry.spawn_at.is_none())
        {
            self.schedule(slot, life);
            if let Some(entry) = self.entry(slot) {
                entry.why.get_or_insert(why);
            }
        }
    }

    /// A worker of this slot serves: those that it replaces may go.
    pub(super) fn retire_leaving(&mut self, slot: Slot, now: Instant) {
        for id in self.ids() {
            let worker = &self.workers[&id];
            if worker.slot == slot && worker.leaving {
                let cause = worker.asked_to_leave.clone().unwrap_or_default();
                self.retire(id, &cause, now);
            }
        }
    }
}
