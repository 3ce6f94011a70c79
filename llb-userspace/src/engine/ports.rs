//! What is said of workers' ports that llb cannot share as they are meant.

use std::collections::BTreeSet;

use llb_common::{abi::MAX_SEATS, outcome::Stage};

use super::Engine;
use crate::{
    fleet::{State, Worker},
    kernel::KernelError,
    model::{Instant, Seat},
    observe::stderr,
    sys::clock,
};

impl Engine {
    /// Says which ports several workers have bound and none listens on: a lock, most likely, that each of them now holds.
    pub(super) fn say_what_is_only_bound(&mut self, now: Instant) {
        let lives = &self.lives;
        let is_starting = |id| lives.worker(id).is_some_and(|worker| matches!(worker.state, State::Starting { .. }));
        for (address, ids) in self.bound.step(now, is_starting) {
            let mut slots: Vec<u32> = ids.into_iter().map(|id| self.slot(id).0).collect();
            slots.sort_unstable();
            let (port, slots) = (address.0.port(), listed(&slots));
            self.warn(format!(
                "port {port} is bound in slots {slots} and none listens on it; if only one worker may have it, name the \
                 ports that are to be shared with -p, or except this one with --own-port {port}"
            ));
        }
    }

    /// Has the kernel refuse to workers what other fleets listen on: the last that joined would get all connections.
    pub(super) fn look_for_other_fleets(&mut self) -> Result<(), KernelError> {
        // Another's ports are in nobody's way where they cannot be seen.
        if self.others.look(self.cgroup.path(), clock::now()) {
            self.updater.steering_mut().set_taken(&self.others.ports())?;
        }
        Ok(())
    }

    /// Attaches the selector to every group again if connections have come past it.
    pub(super) fn attach_anew_if_bypassed(&mut self, now: Instant) {
        if !self.bypass.is_due(now) || !self.updater.steering().keeps_books() {
            return;
        }
        let Ok(counters) = self.updater.steering().counters() else { return };
        let books = self.updater.steering().books();
        let opened = (0..MAX_SEATS as u32).map(|seat| books.seat(Seat(seat)).opened).sum();
        // Those that moved are opened once more where they have gone.
        if !self.bypass.step(opened, counters.total(Stage::Select) + counters.total(Stage::Migrate), now) {
            return;
        }
        let joined = |worker: &Worker| {
            let id = worker.id;
            let listeners = worker.listeners.clone().into_iter().filter(|listener| listener.seat.is_some());
            listeners.map(move |listener| (id, listener))
        };
        let listeners: Vec<_> = self.lives.workers().flat_map(joined).collect();
        let mut anew = BTreeSet::new();
        for (id, listener) in listeners {
            let Some(socket) = self.copy(id, listener.cookie) else { continue };
            match self.updater.steering().attach_anew(listener.address, &socket) {
                Ok(()) => drop(anew.insert(listener.address.to_string())),
                Err(error) => tracing::error!(%error, "cannot attach the selector anew"),
            }
        }
        let addresses: Vec<String> = anew.into_iter().collect();
        self.warn(format!(
            "connections came to workers past llb's selector: a worker has attached a reuseport program of its own; llb's is \
             attached again ({}); have the program leave SO_ATTACH_REUSEPORT_* alone",
            addresses.join(", ")
        ));
    }

    /// Says it on standard error and among the events.
    pub(super) fn warn(&mut self, cause: String) {
        stderr::line(&format!("llb: {cause}"));
        self.lives.warn(cause);
    }
}

fn listed(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(", ")
}
