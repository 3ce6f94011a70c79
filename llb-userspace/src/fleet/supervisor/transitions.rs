//! What happens to a worker: its sockets, its reports, its end.

use super::{AT_ONCE, Effect, Failure, Instant, Kind, Listener, Phase, State, Supervisor, Worker, WorkerId};
use crate::{config::ReadyWhen, model::Address};

impl Supervisor {
    /// The worker is about to bind an address.
    pub fn binds(&mut self, id: WorkerId, address: Address) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.bound = Some(address);
        }
    }

    /// The worker listens.
    pub fn listens(&mut self, id: WorkerId, cookie: u64, address: Address, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            // A socket that listens once more, after shutdown(2), is still in its group.
            worker.deserted_at = None;
            if worker.listeners.iter().all(|listener| listener.cookie != cookie) {
                worker.listeners.push(Listener::new(cookie, address));
                self.note_worker(Kind::Listening, id, &address.to_string());
            }
            self.watch(id, cookie);
            self.advance(id, now);
        }
    }

    /// The worker accepts connections at one of its listeners.
    pub fn accepts(&mut self, id: WorkerId, cookie: u64, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.listeners.iter().chain(&worker.udp).any(|listener| listener.cookie == cookie)
        {
            worker.accepts.insert(cookie);
            if worker.udp.iter().all(|socket| socket.cookie != cookie) {
                worker.accepts_since.get_or_insert(now);
            }
            let at = worker.listeners.iter().find(|listener| listener.cookie == cookie);
            self.unattended.retain(|address| at.is_none_or(|listener| listener.address != *address));
            self.advance(id, now);
        }
    }

    /// Has it seen when the worker accepts connections at a listener, if it is ready by that.
    pub(super) fn watch(&mut self, id: WorkerId, cookie: u64) {
        let starts = |worker: &Worker| matches!(worker.state, State::Starting { .. });
        if self.rules.ready_when == ReadyWhen::Accepting && self.workers.get(&id).is_some_and(starts) {
            self.effects.push_back(Effect::Watch { id, cookie });
        }
    }

    /// The worker would be ready, but has to be asked; at what it listens on, so not before it does.
    pub(super) fn ask(&mut self, id: WorkerId) {
        if let Some(worker) =
            self.workers.get_mut(&id).filter(|worker| !worker.listeners.is_empty() && !worker.is_asked)
        {
            worker.is_asked = true;
            self.effects.push_back(Effect::Check(id));
        }
    }

    /// The worker was asked whether it is ready, and is: what it was asked, and answers.
    pub fn answers(&mut self, id: WorkerId, answer: &str, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.answer = Some(answer.to_owned());
            self.advance(id, now);
        }
    }

    /// A listener has closed.
    pub fn closes(&mut self, cookie: u64) {
        self.due = AT_ONCE;
        for worker in self.workers.values_mut() {
            if let Some(at) = worker.listeners.iter().position(|listener| listener.cookie == cookie) {
                worker.listeners.swap_remove(at);
                self.effects.push_back(Effect::Withdraw { cookie });
                return;
            }
        }
    }

    /// The kernel says that a listener has closed. A worker that has none left is on its way to its end.
    pub fn listener_closes(&mut self, cookie: u64, now: Instant) {
        let holds = |worker: &&mut Worker| worker.listeners.iter().any(|listener| listener.cookie == cookie);
        if let Some(worker) = self.workers.values_mut().find(holds)
            && worker.state == State::Serving
            && worker.listeners.len() == 1
        {
            worker.deserted_at = Some(now);
        }
        self.closes(cookie);
    }

    /// The worker has written something that llb understands.
    pub fn speaks(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.spoke = true;
        }
    }

    /// The worker has written what is its program's own.
    pub fn writes(&mut self, id: WorkerId, message: &str) {
        self.note_worker(Kind::Message, id, message);
    }

    /// The worker says that it is ready.
    pub fn says_ready(&mut self, id: WorkerId, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.said_ready = true;
            self.advance(id, now);
        }
    }

    /// The worker asks to be replaced.
    pub fn asks_to_leave(&mut self, id: WorkerId, now: Instant) {
        if self.workers.get(&id).is_some_and(|worker| worker.asked_to_leave.is_none()) {
            self.note_worker(Kind::Disconnect, id, "it asks to be replaced");
        }
        self.replace(id, "it has asked to be replaced", false, now);
    }

    /// The report channel has closed. One that never spoke may close it freely; for one that did it is a request to
    /// be replaced.
    pub fn hangs_up(&mut self, id: WorkerId, now: Instant) {
        if self.workers.get(&id).is_some_and(|worker| worker.spoke) {
            self.asks_to_leave(id, now);
        }
    }

    /// The worker that was to be spawned has a process.
    pub fn spawned(&mut self, id: WorkerId) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.is_spawned = true;
        }
    }

    /// The worker that was to be spawned could not be.
    pub fn spawn_failed(&mut self, id: WorkerId, now: Instant) {
        if self.workers.contains_key(&id) {
            self.note_worker(Kind::SpawnFailed, id, "see the log");
            // What cannot be started now cannot be started the next time either; but a fleet that is up stays up.
            if self.phase == Phase::ComingUp {
                self.effects.push_back(Effect::Fail(Failure::Spawn { id }));
                self.end("a worker cannot be started", now);
            }
        }
        self.exited(id, now);
    }

    /// The worker is about to be heard to have exited with code 0. If it had served, that was its own design, as that of
    /// programs which end after so many requests, and no failure.
    pub fn ends_well(&mut self, id: WorkerId, has_answered: bool, now: Instant) {
        let respawn = self.rules.respawn;
        if let Some(worker) = self.workers.get_mut(&id) {
            let served = has_answered || now >= worker.started_at.after(respawn);
            worker.is_done = worker.was_ready && served && !worker.late;
        }
    }

    /// The worker's first process has exited.
    pub fn exited(&mut self, id: WorkerId, now: Instant) {
        self.due = AT_ONCE;
        self.note_worker(Kind::Exited, id, "");
        let Some(worker) = self.workers.remove(&id) else { return };
        for Listener { cookie, .. } in worker.listeners.iter().chain(&worker.udp).copied() {
            self.effects.push_back(Effect::Withdraw { cookie });
        }
        for seat in worker.seats() {
            self.seats.release(seat);
        }
        self.effects.push_back(Effect::Reap(id));
        if self.phase == Phase::Ending {
            if self.workers.is_empty() {
                self.go_down();
            }
            return;
        }
        // One that was ended while it started, as it was not wanted any more, has not failed.
        if matches!(worker.state, State::Starting { .. }) || worker.late {
            self.failed(&worker, now);
        }
        self.exits_on_trial(&worker, now);
        self.fill(&worker, now);
        self.note_if_emptied(worker.slot);
        self.spawn_due(now);
        self.roll_on(now);
    }
}
