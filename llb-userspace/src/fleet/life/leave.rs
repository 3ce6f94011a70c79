//! How workers go: replaced first where they can be, then drained, then told by signals.

use std::time::Duration;

use super::{AT_ONCE, Effect, Holding, Instant, Kind, Lives, Phase, Slot, State, Whom, WorkerId};

/// How long a worker has at least between being told to finish up and SIGTERM, which ends most programs at once: time
/// to hear it, to close what it keeps alive, and to exit by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that come together are one wish to end: timeout(1) signals its child, and then the group that it is in.
/// Nobody presses Ctrl-C twice that fast.
const ONE_WISH: Duration = Duration::from_millis(200);

/// After this long without a byte either way a connection is idle. An answer that comes in parts pauses for less.
const QUIET: Duration = Duration::from_millis(300);

/// After this long one without a request is, when time is short: its client thinks, or waits for the next click.
const BRIEF: Duration = Duration::from_millis(5);

/// Whose connections are closed: the shorter the time that is left, the more. In the last quarter of the drain time
/// whoever pauses at all, in its last eighth everybody, as SIGTERM would be worse.
fn whom(relaxed: Instant, deadline: Instant, now: Instant) -> Whom {
    let half = deadline.since(relaxed);
    match deadline.since(now) {
        left if left > half / 2 => Whom::Idle(QUIET),
        left if left > half / 4 => Whom::Idle(BRIEF),
        _ => Whom::All,
    }
}

impl Lives {
    /// Replaces a worker: the replacement comes first, and only when that is ready does it go. `at_once` leaves the slot's
    /// pace aside, as an operator may.
    pub fn replace(&mut self, id: WorkerId, cause: &str, at_once: bool, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.asked_to_leave.get_or_insert_with(|| cause.to_owned());
            let slot = worker.slot;
            self.order_replacement(id, now, &mut effects);
            if at_once && let Some(place) = self.place(slot) {
                place.spawn_at = place.spawn_at.map(|_| now);
            }
            self.spawn_due(now, &mut effects);
        }
        effects
    }

    /// Replaces a worker that has closed its listeners by itself, before it has ended. If it has served for a while, that
    /// is no failure, and the pace of its slot stays.
    pub(super) fn succeed(&mut self, id: WorkerId, now: Instant) -> Vec<Effect> {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.asked_to_leave.is_none()) else {
            return Vec::new();
        };
        let (slot, served) = (worker.slot, now >= worker.started_at.after(self.rules.respawn));
        // What another's life has ordered comes at that one's pace.
        let served = served && self.place(slot).is_some_and(|place| place.spawn_at.is_none());
        let interval = self.place(slot).map(|place| place.interval);
        let effects = self.replace(id, "it has closed its listeners", served, now);
        if let Some((place, interval)) = self.place(slot).zip(interval).filter(|_| served) {
            place.interval = interval;
        }
        effects
    }

    /// Orders the replacement of a worker that is to leave. One that is not ready yet gets it when it is.
    pub(super) fn order_replacement(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let serves = worker.state == State::Serving && self.phase != Phase::Ending;
        let Some(cause) = worker.asked_to_leave.clone().filter(|_| serves && !worker.leaving) else { return };
        worker.leaving = true;
        let (slot, life) = (worker.slot, Self::life_of(worker, now));
        if self.workers.values().any(|other| other.slot == slot && other.is_current() && other.state == State::Serving)
        {
            // A reload has brought one already.
            self.retire(id, &cause, now, effects);
        } else if !self.has_current(slot) && self.places.get(slot.0 as usize).is_some_and(|p| p.spawn_at.is_none()) {
            self.schedule(slot, life);
        }
    }

    /// A worker of this slot serves: those that it replaces may go.
    pub(super) fn retire_leaving(&mut self, slot: Slot, now: Instant, effects: &mut Vec<Effect>) {
        for id in self.ids() {
            let worker = &self.workers[&id];
            if worker.slot == slot && worker.leaving {
                let cause = worker.asked_to_leave.clone().unwrap_or_default();
                self.retire(id, &cause, now, effects);
            }
        }
    }

    /// Ends a worker that is not wanted any more, in the way that fits where it stands.
    pub(super) fn dismiss(&mut self, id: WorkerId, cause: &str, now: Instant, effects: &mut Vec<Effect>) {
        match self.workers.get(&id).map(|worker| worker.state) {
            Some(State::Starting { .. }) => self.terminate(id, cause, now, effects),
            Some(State::Serving) => self.retire(id, cause, now, effects),
            Some(State::Draining { .. } | State::Stopping { .. } | State::Killed) | None => {}
        }
    }

    /// Takes a worker that serves out of its groups, and lets it finish.
    pub(super) fn retire(&mut self, id: WorkerId, cause: &str, now: Instant, effects: &mut Vec<Effect>) {
        let drain_timeout = self.rules.drain_timeout;
        let ending = self.phase == Phase::Ending;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.state != State::Serving {
            return;
        }
        for listener in &worker.listeners {
            effects.push(Effect::Leave { cookie: listener.cookie });
        }
        worker.state = State::Draining {
            earliest: now.after(if ending { Duration::ZERO } else { GRACE.min(drain_timeout) }),
            relaxed: now.after(drain_timeout / 2),
            deadline: now.after(drain_timeout),
        };
        effects.push(Effect::TellToFinish(id));
        self.note_worker(Kind::Draining, id, cause);
    }

    /// What time does to one on its way out.
    pub(super) fn drain(&mut self, id: WorkerId, holds: Holding, now: Instant, effects: &mut Vec<Effect>) {
        let ending = self.phase == Phase::Ending;
        let Some(worker) = self.workers.get(&id) else { return };
        let State::Draining { earliest, relaxed, deadline } = worker.state else { return };
        let enough = match holds {
            Holding::Nothing => Some("it holds no connection any more"),
            // Whoever closes last closes for all: the fleet's end does not wait for clients who may come back.
            Holding::Idle if ending => Some("all its connections are idle"),
            Holding::Streams if ending && now >= relaxed => Some("no request is in flight"),
            Holding::Idle | Holding::Streams | Holding::Requests => None,
        };
        if now >= deadline {
            self.terminate(id, "its time to finish is over", now, effects);
        } else if let Some(cause) = enough
            && now >= earliest
        {
            self.terminate(id, cause, now, effects);
        } else if ending || now >= relaxed {
            effects.push(Effect::SeeOut { id, whom: whom(relaxed, deadline, now) });
        }
    }

    pub(super) fn terminate(&mut self, id: WorkerId, cause: &str, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if matches!(worker.state, State::Stopping { .. } | State::Killed) {
            return;
        }
        worker.state = State::Stopping { deadline: now.after(self.rules.drain_timeout) };
        effects.push(Effect::Terminate(id));
        self.note_worker(Kind::Stopping, id, cause);
    }

    pub(super) fn kill(&mut self, id: WorkerId, cause: &str, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = State::Killed;
            effects.push(Effect::Kill(id));
            self.note_worker(Kind::Killed, id, cause);
        }
    }

    /// Everything is to end. Asked once more, and not in the same breath, it ends at once.
    pub fn stop(&mut self, now: Instant) -> Vec<Effect> {
        self.due = AT_ONCE;
        let mut effects = Vec::new();
        match self.ending_since {
            None => self.end("asked for", now, &mut effects),
            Some(since) if now >= since.after(ONE_WISH) => {
                for id in self.ids() {
                    self.kill(id, "asked for once more", &mut effects);
                }
            }
            Some(_) => {}
        }
        effects
    }

    pub(super) fn end(&mut self, cause: &str, now: Instant, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ending;
        self.ending_since = Some(now);
        self.note_fleet(Kind::Ending, cause);
        for id in self.ids() {
            self.dismiss(id, "the fleet ends", now, effects);
        }
        if self.workers.is_empty() {
            self.go_down(effects);
        }
    }

    pub(super) fn go_down(&mut self, effects: &mut Vec<Effect>) {
        self.note_fleet(Kind::Down, "the last worker is gone");
        effects.push(Effect::Down);
    }
}
