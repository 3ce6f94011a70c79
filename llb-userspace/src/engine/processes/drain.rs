//! What draining workers still hold: by the books as long as these suffice, and otherwise by a look at their
//! connections, on a thread of its own, as there may be thousands.

use std::{os::fd::BorrowedFd, sync::PoisonError, time::Duration};

use nix::unistd::Pid;

use super::Processes;
use crate::{
    engine::{
        core::{Core, Running},
        inbox::Message,
    },
    fleet::{
        Holding, Sight, State, Worker, cgroup,
        closing::{DrainLook, Subject},
    },
    model::{Instant, Seat, WorkerId},
    updater::Updater,
};

/// Between two looks at a worker's connections.
const EVERY: Duration = Duration::from_millis(50);

/// The same while connections are closed, whose pauses may be short, or while a worker is waited for to be settled.
const SOON: Duration = Duration::from_millis(10);

/// How long a connection may be on its way that was given to a worker before it left its groups.
const ARRIVED_WITHIN: Duration = Duration::from_millis(50);

/// What is seen of a worker that drains.
pub(in crate::engine) fn sight(worker: &Worker, running: Option<&Running>, updater: &Updater, now: Instant) -> Sight {
    let drain = running.map(|running| &running.drain);
    let look = drain.and_then(|drain| drain.seen);
    let long_enough = drain.and_then(|drain| drain.begun).is_some_and(|begun| now >= begun.after(ARRIVED_WITHIN));
    let nobody_comes = worker.seats().all(|seat| updater.is_settled(seat, now));
    Sight {
        holds: holds(worker, look.map(|look| look.holds), updater, now),
        settled: long_enough && nobody_comes && look.is_some_and(|look| look.settled),
        ends_itself: look.is_some_and(|look| look.ends_itself),
        has_flows: false,
    }
}

/// What a worker's clients still have with it.
fn holds(worker: &Worker, seen: Option<Holding>, updater: &Updater, now: Instant) -> Holding {
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

impl Processes {
    /// Looks at the connections of the draining workers for which the books do not suffice.
    pub(in crate::engine) fn look_at_draining(&self, core: &mut Core, now: Instant) {
        // One that ends itself is looked at again if its time becomes short.
        let closes = |id| core.running.get(&id).is_some_and(|running| running.drain.scope.is_some());
        let draining = |worker: &&Worker| match worker.state {
            State::Draining { .. } => true,
            State::Stopping { .. } => closes(worker.id),
            State::Starting { .. } | State::Serving | State::Killed => false,
        };
        let ids: Vec<WorkerId> = core.supervisor.workers().filter(draining).map(|worker| worker.id).collect();
        let (signal, looked_at) = (core.stop_signal(), ids.len());
        for id in ids {
            let Some(worker) = core.supervisor.worker(id) else { continue };
            let certain = by_books(worker, &core.updater, now) == Holding::Nothing;
            let ask = !(core.updater.steering().keeps_books() && certain);
            let mut ports: Vec<u16> = worker.listeners.iter().map(|listener| listener.address.0.port()).collect();
            ports.extend(core.updater.steering().groups().map(|(address, _)| address.0.port()));
            let Some(running) = core.running.get_mut(&id) else { continue };
            let drain = &mut running.drain;
            if !ask || (drain.begun.is_some() && drain.next.is_none_or(|next| now < next)) {
                continue;
            }
            (drain.begun, drain.next) = (drain.begun.or(Some(now)), None);
            let (cgroup, outside): (_, Vec<Pid>) = (running.cgroup.path().to_owned(), running.end.outside().collect());
            let chosen = core.config.stop_signal.is_some();
            let (scope, watch) = (drain.scope, drain.watch.clone());
            let (connections, filter, inbox) = (self.connections.clone(), self.filter.clone(), core.inbox.clone());
            let look = tokio::task::spawn_blocking(move || {
                let mut pids = cgroup::processes(&cgroup).unwrap_or_default();
                pids.extend(outside);
                let subject = Subject { pids, ports, signal, chosen, looked_at };
                let at_rest = |socket: BorrowedFd<'_>| connections.as_ref()?.is_at_rest(socket);
                watch.lock().unwrap_or_else(PoisonError::into_inner).look(&subject, at_rest, filter.as_deref(), scope)
            });
            tokio::task::spawn_local(async move {
                let look = match look.await {
                    Ok(Ok(look)) => Some(look),
                    Ok(Err(error)) => {
                        tracing::debug!(worker = %id, %error, "cannot look at a worker's connections");
                        None
                    }
                    Err(_) => None,
                };
                // A closed inbox is the end of the engine.
                let _ = inbox.send(Message::Looked { id, look }).await;
            });
        }
    }
}

/// What was seen of the connections of a worker that drains.
pub(in crate::engine) fn looked(core: &mut Core, id: WorkerId, look: Option<DrainLook>, now: Instant) {
    if let Some(running) = core.running.get_mut(&id) {
        let drain = &mut running.drain;
        drain.seen = look.or(drain.seen);
        let soon = drain.scope.is_some() || drain.seen.is_some_and(|look| look.ends_itself);
        drain.next = Some(now.after(if soon { SOON } else { EVERY }));
    }
}
