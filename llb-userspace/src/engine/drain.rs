//! What workers still hold that are no longer chosen: by the books as long as they tell, and otherwise by a look at their
//! connections, on a thread of its own, as there may be thousands.

use std::{os::fd::BorrowedFd, time::Duration};

use super::{Engine, messages::Message, worker::Running};
use crate::{
    fleet::{Holding, State, Whom, Worker, usher},
    model::{Instant, Seat, WorkerId},
    updater::Updater,
};

/// Between two looks at a worker's connections.
const EVERY: Duration = Duration::from_millis(50);

/// What is known of a worker that drains.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    /// When to look next; none while a look is under way.
    next: Option<Instant>,
    begun: bool,
    /// Whose connections are to be closed.
    pub see_out: Option<Whom>,
    seen: Option<Holding>,
}

/// What a worker's clients still have with it.
pub(super) fn holds(worker: &Worker, running: Option<&Running>, updater: &Updater, now: Instant) -> Holding {
    let seen = running.and_then(|running| running.drain.seen);
    if !updater.steering().keeps_books() {
        return seen.unwrap_or(Holding::Requests);
    }
    match by_books(worker, updater, now) {
        Holding::Streams => seen.filter(|seen| *seen != Holding::Nothing).unwrap_or(Holding::Streams),
        certain => certain,
    }
}

/// The same by the books alone, which do not know whether an answer has come to its end.
fn by_books(worker: &Worker, updater: &Updater, now: Instant) -> Holding {
    let seats: Vec<Seat> = worker.seats().collect();
    if !seats.iter().all(|seat| updater.is_drained(*seat, now)) {
        return Holding::Requests;
    }
    match updater.open(worker.id, &seats) {
        0 => Holding::Nothing,
        _ => Holding::Streams,
    }
}

impl Engine {
    /// Looks at the connections of the workers that drain and of which the books do not tell enough.
    pub(super) fn look_round(&mut self, now: Instant) {
        let draining = |worker: &&Worker| matches!(worker.state, State::Draining { .. });
        let ids: Vec<WorkerId> = self.lives.workers().filter(draining).map(|worker| worker.id).collect();
        for id in ids {
            let Some(worker) = self.lives.worker(id) else { continue };
            let certain = by_books(worker, &self.updater, now) == Holding::Nothing;
            let ask = !(self.updater.steering().keeps_books() && certain);
            let mut ports: Vec<u16> = worker.listeners.iter().map(|listener| listener.address.0.port()).collect();
            ports.extend(self.updater.steering().groups().map(|(address, _)| address.0.port()));
            let Some(running) = self.running.get_mut(&id) else { continue };
            let drain = &mut running.drain;
            if !ask || (drain.begun && drain.next.is_none_or(|next| now < next)) {
                continue;
            }
            (drain.begun, drain.next) = (true, None);
            let pids = running.cgroup.processes().unwrap_or_default();
            let (see_out, connections, inbox) = (drain.see_out, self.connections.clone(), self.inbox.clone());
            let look = tokio::task::spawn_blocking(move || {
                let at_rest = |socket: BorrowedFd<'_>| connections.as_ref()?.is_at_rest(socket);
                usher::look(&pids, &ports, at_rest, see_out)
            });
            tokio::task::spawn_local(async move {
                let holds = match look.await {
                    Ok(Ok(holds)) => Some(holds),
                    Ok(Err(error)) => {
                        tracing::debug!(worker = %id, %error, "cannot look at a worker's connections");
                        None
                    }
                    Err(_) => None,
                };
                // A closed inbox is the end of the engine.
                let _ = inbox.send(Message::Looked { id, holds }).await;
            });
        }
    }

    pub(super) fn looked(&mut self, id: WorkerId, holds: Option<Holding>, now: Instant) {
        if let Some(running) = self.running.get_mut(&id) {
            let drain = &mut running.drain;
            (drain.next, drain.seen) = (Some(now.after(EVERY)), holds.or(drain.seen));
        }
    }
}
