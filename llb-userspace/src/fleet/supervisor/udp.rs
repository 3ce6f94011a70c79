//! UDP sockets of workers. There is nothing to accept at one: a worker without listeners is ready when it waits at one of its
//! sockets. One that drains keeps its flows until they are idle or its time is nearly over; then they go to others, and it
//! answers what it has been given before it is told to end.

use std::time::Duration;

use super::{AT_ONCE, Effect, Instant, Kind, Listener, Phase, Sight, State, Supervisor, Worker, WorkerId};
use crate::{config::ReadyWhen, model::Address};

/// Flows that are not idle go to others so long before a worker's time to finish is over.
const PART_BEFORE: Duration = Duration::from_secs(1);

/// From then on a worker has so long to answer what has been given to it.
const FLUSH: Duration = Duration::from_millis(500);

impl Supervisor {
    /// A UDP socket of the worker has bound.
    pub fn receives(&mut self, id: WorkerId, cookie: u64, address: Address, now: Instant) {
        self.due = AT_ONCE;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.deserted_at = None;
        if worker.udp.iter().any(|socket| socket.cookie == cookie) {
            return;
        }
        worker.udp.push(Listener::new(cookie, address));
        let starts = matches!(worker.state, State::Starting { .. });
        if starts && matches!(self.rules.ready_when, ReadyWhen::Accepting | ReadyWhen::Listening) {
            self.effects.push_back(Effect::Watch { id, cookie });
        }
        self.note_worker(Kind::Listening, id, &format!("udp {address}"));
        self.advance(id, now);
    }

    /// A socket has been closed, if it is a UDP one. A worker without any other is on its way to its end.
    pub fn releases(&mut self, cookie: u64, now: Instant) {
        let holds = |worker: &&mut Worker| worker.udp.iter().any(|socket| socket.cookie == cookie);
        let Some(worker) = self.workers.values_mut().find(holds) else { return };
        self.due = AT_ONCE;
        worker.udp.retain(|socket| socket.cookie != cookie);
        if worker.state == State::Serving && worker.listeners.is_empty() && worker.udp.is_empty() {
            worker.deserted_at = Some(now);
        }
        self.effects.push_back(Effect::Withdraw { cookie });
    }

    /// Whether a worker that drains is to be left alone for the sake of its flows.
    pub(super) fn keeps_flows(&mut self, id: WorkerId, sight: Sight, now: Instant) -> bool {
        let ending = self.phase == Phase::Ending;
        let drain_timeout = self.rules.drain_timeout;
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        let State::Draining { earliest, deadline, .. } = worker.state else { return false };
        // When the fleet ends there is nobody to go to.
        if worker.udp.is_empty() || ending {
            return false;
        }
        let Some(parted) = worker.parted_at else {
            let before = u64::try_from(PART_BEFORE.min(drain_timeout / 2).as_nanos()).unwrap_or(u64::MAX);
            let part_at = Instant(deadline.0.saturating_sub(before));
            if now >= earliest.min(part_at) && (!sight.has_flows || now >= part_at) {
                worker.parted_at = Some(now);
                self.effects.extend(worker.udp.iter().map(|socket| Effect::Withdraw { cookie: socket.cookie }));
            }
            return true;
        };
        now < parted.after(FLUSH.min(drain_timeout / 4))
    }
}
