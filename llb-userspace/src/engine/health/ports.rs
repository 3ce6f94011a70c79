//! What is said of workers' ports that llb cannot share as they are meant.

use std::collections::BTreeSet;

use llb_common::{abi::MAX_SEATS, outcome::Stage};

use crate::{
    engine::core::Core,
    fleet::{Bound, Bypass, State, Worker},
    kernel::{Event, EventKind},
    model::{Instant, Seat, WorkerId},
};

/// What is seen of the workers' ports.
#[derive(Default)]
pub(in crate::engine) struct Ports {
    /// What workers have bound and do not listen on.
    bound: Bound,
    /// Whether connections come past the selector.
    bypass: Bypass,
}

impl Ports {
    /// A worker's socket did something; `is_refused` if it is to bind what another fleet holds.
    pub(in crate::engine) fn on_socket_event(
        &mut self,
        event: &Event,
        id: Option<WorkerId>,
        is_refused: bool,
        now: Instant,
    ) {
        match (event.kind, id) {
            (EventKind::Listen, Some(_)) => self.bound.listens(event.address),
            (EventKind::Bind, Some(id)) if !is_refused => self.bound.binds(event.cookie, id, event.address, now),
            (EventKind::Release, _) => self.bound.releases(event.cookie),
            _ => {}
        }
    }

    /// Says which ports several workers have bound and none listens on: a lock, most likely, that each of them now holds.
    pub(in crate::engine) fn warn_of_bound_ports(&mut self, core: &mut Core, now: Instant) {
        let is_starting =
            |id| core.supervisor.worker(id).is_some_and(|worker| matches!(worker.state, State::Starting { .. }));
        for (address, ids) in self.bound.step(now, is_starting) {
            let mut slots: Vec<u32> = ids.into_iter().map(|id| core.slot(id).0).collect();
            slots.sort_unstable();
            let (port, slots) = (address.0.port(), listed(&slots));
            core.warn(format!(
                "port {port} is bound in slots {slots} and none listens on it; if only one worker may have it, name the \
                 ports that are to be shared with -p, or except this one with --own-port {port}"
            ));
        }
    }

    /// Attaches the selector to every group again if connections have come past it.
    pub(in crate::engine) fn attach_anew_if_bypassed(&mut self, core: &mut Core, now: Instant) {
        if !self.bypass.is_due(now) || !core.updater.steering().keeps_books() {
            return;
        }
        let Ok(counters) = core.updater.steering().counters() else { return };
        let books = core.updater.steering().books();
        let opened = (0..MAX_SEATS as u32).map(|seat| books.seat(Seat(seat)).opened).sum();
        if !self.bypass.step(opened, counters.total(Stage::Select), counters.total(Stage::Migrate), now) {
            return;
        }
        let joined = |worker: &Worker| {
            let id = worker.id;
            let listeners = worker.listeners.clone().into_iter().filter(|listener| listener.seat.is_some());
            listeners.map(move |listener| (id, listener))
        };
        let listeners: Vec<_> = core.supervisor.workers().flat_map(joined).collect();
        let mut anew = BTreeSet::new();
        for (id, listener) in listeners {
            let Some(socket) = core.copy(id, listener.cookie) else { continue };
            match core.updater.steering().attach_anew(listener.address, &socket) {
                Ok(()) => drop(anew.insert(listener.address.to_string())),
                Err(error) => tracing::error!(%error, "cannot attach the selector anew"),
            }
        }
        let addresses: Vec<String> = anew.into_iter().collect();
        core.warn(format!(
            "connections came to workers past llb's selector: a worker has attached a reuseport program of its own; llb's is \
             attached again ({}); have the program leave SO_ATTACH_REUSEPORT_* alone",
            addresses.join(", ")
        ));
    }
}

fn listed(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(", ")
}
