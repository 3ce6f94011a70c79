//! How workers go: replaced first where they can be, then drained, then told by signals.

use std::time::Duration;

use super::{
    AT_ONCE, CloseScope, Effect, Holding, Instant, Kind, Lives, Phase, QUIET, Rules, Sight, Slot, State, Worker,
    WorkerId, slots::TRIES,
};
use crate::fleet::restarts::RestartCause;

/// How long a worker has at least between being told to finish up and SIGTERM, which ends most programs at once: time
/// to hear it, to close what it keeps alive, and to exit by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that come together are one wish to end: timeout(1) signals its child, and then the group that it is in.
/// Nobody presses Ctrl-C twice that fast.
const ONE_WISH: Duration = Duration::from_millis(200);

/// After this long without a request a connection is idle when time is short: its client thinks, or waits for the next
/// click.
const BRIEFLY_IDLE: Duration = Duration::from_millis(5);

/// Which connections are closed between `relaxed` and `deadline`: more and more of them in the first three quarters of
/// that time, so that their clients do not all come back at once. In the second half whoever pauses at all, and in
/// the last quarter whoever holds neither a request nor an answer, as the signal would be worse.
pub(super) fn scope(relaxed: Instant, deadline: Instant, now: Instant) -> CloseScope {
    let (time, left) = (deadline.since(relaxed).max(1), deadline.since(now));
    let spent = time.saturating_sub(left);
    let pause = match left {
        left if left > time / 2 => QUIET,
        left if left > time / 4 => BRIEFLY_IDLE,
        _ => Duration::ZERO,
    };
    let permille = u128::from(spent) * 4_000 / (u128::from(time) * 3);
    CloseScope { pause, permille: permille.min(1_000) as u16 }
}

impl Rules {
    /// How long idle connections of a worker that drains are left alone.
    pub(super) fn drain_idle(&self) -> Duration {
        self.drain_idle.unwrap_or(self.drain_timeout / 2).min(self.drain_timeout)
    }
}

impl Lives {
    /// Replaces a worker: the replacement comes first, and only when that is ready does it go. `at_once` leaves the slot's
    /// backoff aside, as an operator may.
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
    pub(super) fn succeed(&mut self, id: WorkerId, now: Instant) {
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

    /// Ends a worker that is not wanted any more, in the way that fits where it stands.
    pub(super) fn dismiss(&mut self, id: WorkerId, cause: &str, now: Instant) {
        match self.workers.get(&id).map(|worker| worker.state) {
            Some(State::Starting { .. }) => self.terminate(id, cause, now),
            Some(State::Serving) => self.retire(id, cause, now),
            Some(State::Draining { .. } | State::Stopping { .. } | State::Killed) | None => {}
        }
    }

    /// Takes a worker that serves out of its groups, and lets it finish.
    pub(super) fn retire(&mut self, id: WorkerId, cause: &str, now: Instant) {
        let (drain_timeout, drain_idle) = (self.rules.drain_timeout, self.rules.drain_idle());
        let ending = self.phase == Phase::Ending;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.state != State::Serving {
            return;
        }
        for listener in worker.listeners.iter().chain(&worker.udp) {
            self.effects.push_back(Effect::Withdraw { cookie: listener.cookie });
        }
        worker.state = State::Draining {
            earliest: now.after(if ending { Duration::ZERO } else { GRACE.min(drain_timeout) }),
            relaxed: now.after(drain_idle),
            deadline: now.after(drain_timeout),
        };
        self.effects.push_back(Effect::TellToFinish(id));
        self.note_worker(Kind::Draining, id, cause);
    }

    /// What time does to one on its way out.
    pub(super) fn drain(&mut self, id: WorkerId, sight: Sight, now: Instant) {
        let ending = self.phase == Phase::Ending;
        let keeps_flows = self.keeps_flows(id, sight, now);
        let Some(worker) = self.workers.get(&id) else { return };
        let State::Draining { earliest, relaxed, deadline } = worker.state else { return };
        if keeps_flows && now < deadline {
            if now >= relaxed {
                self.effects.push_back(Effect::CloseIdle { id, scope: scope(relaxed, deadline, now) });
            }
            return;
        }
        let enough = match sight.holds {
            Holding::Nothing => Some("it holds no connection any more"),
            // Whoever closes last closes for all: the fleet's end does not wait for clients who may come back.
            Holding::Idle if ending => Some("all its connections are idle"),
            Holding::Idle | Holding::Streams | Holding::Requests => None,
        };
        if now >= deadline {
            self.terminate(id, "its time to finish is over", now);
        } else if let Some(cause) = enough
            && now >= earliest
        {
            self.terminate(id, cause, now);
        } else if sight.ends_itself && (sight.settled || now >= relaxed) {
            // Its authors know best what it owes to each client. llb closes nothing as long as it is in time.
            let relaxed = match self.rules.drain_idle {
                _ if ending => now.after(GRACE).min(deadline),
                Some(_) => relaxed,
                None => deadline,
            };
            let deadline = deadline.after(self.rules.drain_timeout);
            self.signal_end(id, State::Stopping { relaxed, deadline }, "it ends itself in order");
        } else if ending && now < relaxed {
            self.effects.push_back(Effect::CloseIdle { id, scope: CloseScope { pause: QUIET, permille: 1_000 } });
        } else if now >= relaxed {
            self.effects.push_back(Effect::CloseIdle { id, scope: scope(relaxed, deadline, now) });
        }
    }

    pub(super) fn terminate(&mut self, id: WorkerId, cause: &str, now: Instant) {
        let deadline = now.after(self.rules.drain_timeout);
        self.signal_end(id, State::Stopping { relaxed: deadline, deadline }, cause);
    }

    fn signal_end(&mut self, id: WorkerId, stopping: State, cause: &str) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if matches!(worker.state, State::Stopping { .. } | State::Killed) {
            return;
        }
        worker.state = stopping;
        self.effects.push_back(Effect::Terminate(id));
        self.note_worker(Kind::Stopping, id, cause);
    }

    pub(super) fn kill(&mut self, id: WorkerId, cause: &str) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = State::Killed;
            self.effects.push_back(Effect::Kill(id));
            self.note_worker(Kind::Killed, id, cause);
        }
    }

    /// Everything is to end. Asked once more, and not in the same breath, it ends at once.
    pub fn stop(&mut self, now: Instant) {
        self.due = AT_ONCE;
        match self.ending_since {
            None => self.end("asked for", now),
            Some(since) if now >= since.after(ONE_WISH) => {
                for id in self.ids() {
                    self.kill(id, "asked for once more");
                }
            }
            Some(_) => {}
        }
    }

    pub(super) fn end(&mut self, cause: &str, now: Instant) {
        self.phase = Phase::Ending;
        self.ending_since = Some(now);
        self.note_fleet(Kind::Ending, cause);
        for id in self.ids() {
            self.dismiss(id, "the fleet ends", now);
            // One that ends itself already has less time for connections that are idle.
            if let Some(Worker { state: State::Stopping { relaxed, .. }, .. }) = self.workers.get_mut(&id) {
                *relaxed = now.after(GRACE).min(*relaxed);
            }
        }
        if self.workers.is_empty() {
            self.go_down();
        }
    }

    pub(super) fn go_down(&mut self) {
        self.note_fleet(Kind::Down, "the last worker is gone");
        self.effects.push_back(Effect::Down);
    }
}
