//! Does what the supervisor demands.

use super::{Engine, processes::not_ready};
use crate::{
    fleet::{Effect, Failure, Kind, Note},
    model::Instant,
    report::say,
    sys::clock,
};

impl Engine {
    /// Does what there is to be done, and what that makes to be done, as far as this turn may go on; the rest comes with the next.
    pub(super) fn perform(&mut self, now: Instant) {
        let (mut acts, mut changes, mut is_reconciled, mut is_reaped) = (false, false, false, false);
        let mut is_up = false;
        while let Some(effect) = self.core.supervisor.next_effect() {
            // A worker may say what changes nothing as often as it likes, and what is repeated while it drains changes no life.
            acts |= !matches!(effect, Effect::Note(_));
            changes |= !matches!(effect, Effect::Note(_) | Effect::CloseIdle { .. });
            match effect {
                Effect::Note(note) => {
                    if let Some(note) = self.processes.ordered.keep(note) {
                        self.enter(note);
                    }
                }
                Effect::Spawn(worker) => self.processes.ordered.add(worker),
                Effect::Watch { id, cookie } => self.processes.watch(&mut self.core, id, cookie),
                Effect::Check(id) => self.processes.check(&mut self.core, id),
                // All that has changed so far is in the registry already.
                Effect::Seat { .. } | Effect::Withdraw { .. } if is_reconciled => {}
                Effect::Seat { .. } | Effect::Withdraw { .. } => {
                    is_reconciled = true;
                    self.core.reconcile(now);
                }
                Effect::TellToFinish(id) => {
                    if let Some(running) = self.core.running.get(&id) {
                        running.say(say::DISCONNECT);
                    }
                    self.processes.look_outside(&self.core, id);
                }
                Effect::CloseIdle { id, scope } => {
                    if let Some(running) = self.core.running.get_mut(&id) {
                        running.drain.scope = Some(scope);
                    }
                }
                Effect::Terminate(id) => self.processes.terminate(&mut self.core, id, now),
                Effect::Kill(id) => self.processes.kill(&self.core, id),
                Effect::Reap(id) => {
                    is_reaped = true;
                    self.processes.reap(&mut self.core, id);
                    self.health.rescue.reap(id);
                }
                Effect::GiveUp { id, slot } => self.processes.give_up(id, slot),
                Effect::Up => is_up = true,
                Effect::Fail(failure) => self.fail(failure),
                Effect::Down => self.down = true,
            }
            if self.reports.turns.is_long(clock::now()) {
                break;
            }
        }
        if !acts {
            return;
        }
        self.core.is_changed |= changes;
        if is_reaped && !is_reconciled {
            self.core.arrange();
        }
        self.core.republish(now);
        if is_reconciled && self.waiting.has_deserted_address() {
            // Who waits goes to a worker that has joined at once: it may be asked to go before the next tick.
            self.waiting.tend_standby(&mut self.core, now);
        }
        if is_up {
            // Who hears of it may kill this master: what the next one is to know is written first.
            self.reports.keep_record(&mut self.core, self.lock.path());
            self.reports.announce(&self.core);
        }
        self.reports.is_outdated = true;
    }

    /// Starts workers that are to be started, one and as many more as this turn may, and does what follows from that.
    pub(super) fn start_workers(&mut self, now: Instant) {
        while self.processes.may_start(&self.core) {
            if let Some(note) = self.processes.spawn_next(&mut self.core, now) {
                self.enter(note);
            }
            // One that could not be started has ended, and its slot's life goes on.
            self.perform(now);
            if self.reports.turns.is_long(clock::now()) {
                break;
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        let error = match failure {
            Failure::NotReady { id } => Some(not_ready(&self.core, id)),
            Failure::Exited { id } => self.processes.exit_failure(id),
            Failure::Spawn { id } => self.processes.spawn_failure(id),
        };
        self.failure = self.failure.take().or(error);
    }

    /// Enters what has come to pass among the events, with the pid of its worker.
    fn enter(&mut self, note: Note) {
        // One that has exited may have been reaped since.
        let record = note.slot.and_then(|slot| self.processes.exit_records.get(&slot));
        let record = record.filter(|record| Some(record.id) == note.id);
        let pid = note.id.and_then(|id| self.core.running.get(&id)).map(|running| running.pid);
        let pid = pid.or(record.map(|record| record.pid)).map(|pid| pid.as_raw().unsigned_abs());
        let cause = match (note.kind, record) {
            (Kind::Exited, Some(record)) => record.how(),
            _ => note.cause,
        };
        self.reports.enter(Note { cause, ..note }, pid);
    }
}
