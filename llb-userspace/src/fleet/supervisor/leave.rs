//! How workers go: drained, then told by signals. `replace` has how they are replaced before.

use std::time::Duration;

use super::{
    AT_ONCE, CloseScope, Effect, Holding, Instant, Kind, Phase, QUIET, Rules, Sight, State, Supervisor, Worker,
    WorkerId,
};

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
/// that time, so that their clients do not all come back at once. In the second half those that pause at all, and in
/// the last quarter those that hold neither a request nor an answer, as the signal would be worse.
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

impl Supervisor {
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
            // The fleet's end does not wait for clients that may come back.
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
