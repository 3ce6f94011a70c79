//! What is known of the workers' sockets beside the supervisor: where they were found, and what we have done to them ourselves.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::OwnedFd,
};

use super::{Core, Running};
use crate::{
    fleet::{Listener, find},
    kernel::{Event, EventKind},
    model::{Seat, WorkerId},
    registry::Registry,
};

/// What is known of sockets, by cookie.
#[derive(Default)]
pub(in crate::engine) struct Sockets {
    /// Where each listener was found: to find it again without a search.
    locations: HashMap<u64, find::Location>,
    /// Events that are still to come of what llb has done itself.
    own: HashMap<u64, Vec<EventKind>>,
    /// Listeners that are out of their groups as their worker hangs.
    aside: BTreeSet<u64>,
    /// The datagrams that a seat had been given when its worker got it.
    datagrams_before: BTreeMap<(WorkerId, Seat), u64>,
}

impl Sockets {
    /// Notes where a listener was found.
    pub(super) fn found(&mut self, cookie: u64, location: find::Location) {
        self.locations.insert(cookie, location);
    }

    /// A listener is gone.
    pub(super) fn forget(&mut self, cookie: u64) {
        self.locations.remove(&cookie);
        self.own.remove(&cookie);
    }

    /// What was known of listeners that are closed is not so any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        self.aside.retain(|cookie| is_there(*cookie));
        self.locations.retain(|cookie, _| is_there(*cookie));
    }

    /// A worker is no more.
    pub(in crate::engine) fn reap(&mut self, id: WorkerId) {
        self.datagrams_before.retain(|(worker, _), _| *worker != id);
    }

    /// We are about to close it, and to listen once more: an event of each will come.
    pub(in crate::engine) fn reopens(&mut self, cookie: u64) {
        self.own.entry(cookie).or_default().extend([EventKind::Close, EventKind::Listen]);
    }

    /// Whether this is the event of something that llb has done itself, and not the worker. Each comes once.
    pub(in crate::engine) fn takes(&mut self, event: &Event) -> bool {
        let Some(expected) = self.own.get_mut(&event.cookie) else { return false };
        let Some(at) = expected.iter().position(|kind| *kind == event.kind) else { return false };
        expected.remove(at);
        if expected.is_empty() {
            self.own.remove(&event.cookie);
        }
        true
    }

    /// Listeners leave their groups as their worker hangs.
    pub(in crate::engine) fn set_aside(&mut self, cookies: impl Iterator<Item = u64>) {
        self.aside.extend(cookies);
    }

    /// Listeners that were set aside are to join again.
    pub(in crate::engine) fn take_back(&mut self, cookies: &[u64]) {
        self.aside.retain(|cookie| !cookies.contains(cookie));
    }

    /// Whether a listener is out of its group because its worker hangs.
    pub(in crate::engine) fn is_aside(&self, cookie: u64) -> bool {
        self.aside.contains(&cookie)
    }

    /// The datagrams that a seat had been given when this worker got it.
    pub(in crate::engine) fn datagrams_before(&self, worker: WorkerId, seat: Seat) -> u64 {
        self.datagrams_before.get(&(worker, seat)).copied().unwrap_or(0)
    }
}

impl Core {
    pub(in crate::engine) fn owner_of(&self, cookie: u64) -> Option<WorkerId> {
        let holds = |listener: &Listener| listener.cookie == cookie;
        self.supervisor.workers().find(|worker| worker.listeners.iter().any(holds)).map(|worker| worker.id)
    }

    /// A copy of a worker's listener; it keeps that open.
    pub(in crate::engine) fn copy_of(&mut self, cookie: u64) -> Option<OwnedFd> {
        self.owner_of(cookie).and_then(|id| self.copy(id, cookie))
    }

    /// A copy of a listener; none if its worker has closed it.
    pub(in crate::engine) fn copy(&mut self, id: WorkerId, cookie: u64) -> Option<OwnedFd> {
        let Running { pid, end, cgroup, .. } = self.running.get(&id)?;
        if let Some(copy) = self.sockets.locations.get(&cookie).and_then(|location| location.copy_by(*pid, &end.first))
        {
            return Some(copy);
        }
        let processes = cgroup.processes().ok()?;
        let (socket, location) = find::listener(&processes, cookie).ok()?;
        self.sockets.found(cookie, location);
        Some(socket)
    }

    /// Workers have got seats: what was counted there before is not their own.
    pub(super) fn begin_flows(&mut self, registry: &Registry) {
        for (seat, holder) in registry.holders() {
            let steering = self.updater.steering();
            let before = self.sockets.datagrams_before.entry((holder.worker, seat));
            before.or_insert_with(|| steering.datagrams(seat).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Address;

    fn event(cookie: u64, kind: EventKind) -> Event {
        Event { kind, cookie, cgroup: 1, address: Address(([127, 0, 0, 1], 80).into()) }
    }

    #[test]
    fn what_llb_does_itself_is_told_once_and_taken_once() {
        let mut sockets = Sockets::default();
        assert!(!sockets.takes(&event(1, EventKind::Close)), "it is the worker's");
        sockets.reopens(1);
        assert!(!sockets.takes(&event(2, EventKind::Close)), "it is another socket's");
        assert!(sockets.takes(&event(1, EventKind::Close)));
        assert!(!sockets.takes(&event(1, EventKind::Close)), "the second one is the worker's");
        assert!(sockets.takes(&event(1, EventKind::Listen)));
        assert!(!sockets.takes(&event(1, EventKind::Listen)));
    }

    #[test]
    fn whoever_is_set_aside_stays_so_until_taken_back_or_closed() {
        let mut sockets = Sockets::default();
        sockets.set_aside([1, 2, 3].into_iter());
        sockets.take_back(&[1]);
        sockets.keep(|cookie| cookie != 2);
        assert_eq!([1, 2, 3].map(|cookie| sockets.is_aside(cookie)), [false, false, true]);
    }

    #[test]
    fn a_reaped_worker_leaves_nothing_behind_at_its_seat() {
        let mut sockets = Sockets::default();
        sockets.datagrams_before.insert((WorkerId(1), Seat(0)), 5);
        sockets.datagrams_before.insert((WorkerId(2), Seat(0)), 7);
        sockets.reap(WorkerId(1));
        assert_eq!([1, 2].map(|id| sockets.datagrams_before(WorkerId(id), Seat(0))), [0, 7]);
    }
}
