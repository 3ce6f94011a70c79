//! Who sits where, made from what the supervisor knows of the workers; and the maps brought there.

use super::Core;
use crate::{
    fleet::{State, Worker, find},
    model::{Instant, Slot},
    observe::status::PendingStatus,
    registry::{Object, Registry, Socket, is_udp},
    updater::{Failure, Reconciled},
};

impl Core {
    /// Who sits where.
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let is_aside = |cookie| self.sockets.is_aside(cookie);
        self.supervisor.workers().for_each(|worker| worker.enter(&mut registry, is_aside));
        registry
    }

    /// Brings the maps to what the registry says; what fails is tried again.
    pub(in crate::engine) fn reconcile(&mut self, now: Instant) {
        let registry = self.registry();
        self.sockets.keep(|cookie| registry.socket(cookie).is_some());
        self.begin_flows(&registry);
        if self.updater.steering().remembers_clients() {
            // Clients are at home with the new worker of their slot before the old one leaves: a moment without either moves them.
            self.settle_clients();
            let with_the_old = registry.clone().keeping(|cookie| self.updater.is_member(cookie));
            self.bring(&with_the_old, now);
            self.settle_clients();
        }
        self.bring(&registry, now);
        self.settle_clients();
    }

    fn bring(&mut self, registry: &Registry, now: Instant) {
        let Core { updater, running, sockets, .. } = self;
        let find = |socket: &Socket| {
            let running = running.get(&socket.worker).ok_or("its worker is gone")?;
            let (copy, place) = find::listener(&running.cgroup.processes()?, socket.cookie)?;
            sockets.found(socket.cookie, place);
            Ok(copy)
        };
        let Reconciled { entered, failed, forgotten } = updater.reconcile(registry, find, now);
        for Socket { address, seat, worker, .. } in entered.iter().filter_map(|cookie| registry.socket(*cookie)) {
            let seat = seat.map(|seat| seat.0);
            tracing::info!(slot = %self.slot(*worker), %address, seat, "joined");
        }
        failed.into_iter().for_each(|failure| self.log_failure(registry, failure));
        forgotten.into_iter().for_each(|cookie| self.sockets.forget(cookie));
    }

    /// Tells once of what could not be done.
    fn log_failure(&self, registry: &Registry, failure: Failure) {
        let Failure { cookie, attempts, error, .. } = failure;
        let error = anyhow::Error::from_boxed(error);
        match cookie.and_then(|cookie| registry.socket(cookie)) {
            _ if attempts > 1 => {}
            Some(Socket { address, worker, .. }) => tracing::warn!(
                slot = %self.slot(*worker), %address,
                "not steered so far, left to the kernel's hash and tried again: {error:#}"
            ),
            None => tracing::error!("the kernel's maps are not as they should be, tried again: {error:#}"),
        }
    }

    /// Tells the updater who sits where, where nothing else has changed in the maps.
    pub(in crate::engine) fn arrange(&mut self) {
        let registry = self.registry();
        self.updater.arrange(&registry);
    }

    /// Publishes after a change of the workers.
    pub(in crate::engine) fn republish(&mut self, now: Instant) {
        self.settle_clients();
        self.updater.publish(now);
    }

    /// Whether a worker is ready and chosen, as far as it has anything to be chosen by.
    pub(in crate::engine) fn serves(&self, worker: &Worker) -> bool {
        worker.state == State::Serving && !self.waits_to_join(worker)
    }

    /// Whether a worker is ready and listens, and none of its listeners could enter its group so far.
    pub(in crate::engine) fn waits_to_join(&self, worker: &Worker) -> bool {
        let is_out = |cookie: u64| !self.updater.is_member(cookie) && !self.sockets.is_aside(cookie);
        worker.state == State::Serving
            && !worker.listeners.is_empty()
            && worker.listeners.iter().all(|listener| is_out(listener.cookie))
    }

    /// What is not so yet in the kernel's maps.
    pub(in crate::engine) fn pending_status(&self) -> Vec<PendingStatus> {
        let registry = self.registry();
        let named = |object: Object| match object {
            Object::Group(key) if is_udp(&key) => format!("group of udp {}", key.0),
            Object::Group(key) => format!("group of {}", key.0),
            Object::Socket(cookie) => match registry.socket(cookie) {
                Some(Socket { address, worker, .. }) => {
                    let Slot(slot) = self.slot(*worker);
                    format!("socket of slot {slot} at {address}")
                }
                None => format!("socket {cookie}, which is gone"),
            },
        };
        let status = |(object, failed): (Object, &crate::registry::Failed)| PendingStatus {
            object: named(object),
            error: failed.error.clone(),
            attempts: failed.attempts,
        };
        self.updater.pending().map(status).collect()
    }
}
