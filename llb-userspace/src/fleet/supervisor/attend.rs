//! Whether a worker accepts connections wherever it has to.
//!
//! A program may listen on a port and never accept there, and serve on another. One that is still loading its code looks the
//! same, if a thread of it serves something else already. The difference is whether the workers that serve accept
//! there. Where nobody serves yet, only time does; then no connection may be waiting there, as it would be lost.

use std::time::Duration;

use super::{AT_ONCE, Instant, State, Supervisor, Worker, WorkerId};
use crate::model::Address;

/// After this part of the time in which it has to be ready, counted from when it was first seen to accept anywhere, a first
/// worker need not accept elsewhere: long for a program that loads its code, and short for whoever waits for a fleet.
const PATIENCE: u32 = 4;

impl Supervisor {
    /// Why a worker counts as ready by where it accepts connections; none if it does not.
    pub(super) fn attends(&self, worker: &Worker, now: Instant) -> Option<String> {
        if worker.accepts_everywhere() {
            return Some("it listens and waits for connections".into());
        }
        let since = worker.accepts_since?;
        let is_patient = now >= since.after(self.patience());
        let need_not = |cookie, address| {
            let is_empty = worker.queues.get(&cookie) == Some(&false);
            is_empty && (self.unattended.contains(&address) || (is_patient && !self.is_attended(worker.id, address)))
        };
        let without = || worker.without_accept();
        let may_serve = without().all(|(cookie, address)| need_not(cookie, address));
        let names: Vec<String> = without().map(|(_, address)| address.to_string()).collect();
        may_serve.then(|| {
            format!("it waits for connections, and for none at {}, where nobody waits for it either", names.join(", "))
        })
    }

    /// When time alone makes a worker ready that accepts connections somewhere.
    pub(super) fn patient_at(&self, worker: &Worker) -> Option<Instant> {
        worker.accepts_since.map(|since| since.after(self.patience()))
    }

    fn patience(&self) -> Duration {
        self.rules.ready_timeout / PATIENCE
    }

    /// Whether another worker that serves is to be taken to accept at an address where it listens.
    fn is_attended(&self, but: WorkerId, address: Address) -> bool {
        let listens = |worker: &Worker| worker.listeners.iter().any(|listener| listener.address == address);
        let serves = |worker: &&Worker| worker.id != but && worker.state == State::Serving;
        self.workers.values().filter(serves).any(listens)
    }

    /// It is ready: where it does not accept, others need not.
    pub(super) fn note_unattended(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            self.unattended.extend(worker.without_accept().map(|(_, address)| address));
        }
    }

    /// A worker that is not ready does not accept at one of its listeners, and whether connections wait there.
    pub fn queues(&mut self, id: WorkerId, cookie: u64, waiting: bool, now: Instant) {
        self.due = AT_ONCE;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.queues.insert(cookie, waiting);
            self.advance(id, now);
        }
    }

    /// The addresses at which workers are ready and accept nothing, for the next master.
    pub fn unattended(&self) -> impl Iterator<Item = Address> {
        self.unattended.iter().copied()
    }
}
