//! Gives the connections that wait for a seat to others.

use std::{io, os::fd::OwnedFd, time::Duration};

use llb_common::{
    policy::Policy,
    select::{self, Load, expected_ns},
    track::outstanding_at,
};

use super::ms;
use crate::{
    engine::Engine,
    fleet::{
        Kind, Listener, find,
        hang::{HUNG_AFTER, Health, Watch},
    },
    kernel::{EventKind, Member},
    model::{Instant, Seat, WorkerId},
    sys::socket,
};

/// How long what has been moved counts as load where it has gone to. By then it is answered, or is moved once more.
const HELD_FOR: Duration = Duration::from_secs(1);

/// A listener of a seat, and our copy of it, to be closed soon.
pub(super) struct Copied {
    listener: Listener,
    socket: OwnedFd,
    /// How many wait in its queue.
    pub(super) waiting: u32,
}

impl Copied {
    /// The listener's inode.
    pub(super) fn inode(&self) -> Option<u64> {
        socket::inode(&self.socket).ok()
    }
}

impl Engine {
    /// Whether what waits for a worker that hangs is moved.
    pub(super) fn rescues(&self) -> bool {
        self.config.hanging.rescue && chooses_by_load(self.config.policy)
    }

    /// Copies of the seat's listeners.
    pub(super) fn copies(&mut self, id: WorkerId, seat: Seat) -> Vec<Copied> {
        let Some(worker) = self.lives.worker(id) else { return Vec::new() };
        let listeners: Vec<Listener> = worker.listeners.iter().filter(|l| l.seat == Some(seat)).copied().collect();
        let copy = |listener: Listener| {
            let socket = self.copy(id, listener.cookie)?;
            let waiting = socket::accept_queue(&socket).ok()?.length;
            Some(Copied { listener, socket, waiting })
        };
        listeners.into_iter().filter_map(copy).collect()
    }

    /// A copy of a listener; none if its worker has closed it.
    pub(in crate::engine) fn copy(&mut self, id: WorkerId, cookie: u64) -> Option<OwnedFd> {
        if let Some(copy) = self.rescue.places.get(&cookie).and_then(find::Place::copy) {
            return Some(copy);
        }
        let processes = self.running.get(&id)?.cgroup.processes().ok()?;
        let (socket, place) = find::listener(&processes, cookie).ok()?;
        self.rescue.found(cookie, place);
        Some(socket)
    }

    /// Moves what waits for the seat to others, if one of them is clearly better off: first it leaves their groups, so
    /// that nothing comes back.
    pub(super) fn rescue(&mut self, id: WorkerId, seat: Seat, copies: Vec<Copied>, now: Instant) {
        let silent_ns = self.rescue.watches.get(&seat).map_or(0, |watch| watch.silent_ns(now));
        // What a client waits for may be in the memory of this worker alone: not for one long request is it sent elsewhere.
        let is_hung = self.rescue.watches.get(&seat).is_some_and(|watch| watch.is_silent_for(HUNG_AFTER, now));
        let rescues = self.rescues() && (is_hung || !self.updater.steering().remembers_clients());
        let helped = |copied: &Copied| {
            let mut others =
                self.updater.steering().members(copied.listener.address).iter().filter(|other| other.seat != seat);
            copied.waiting > 0 && others.any(|other| self.is_better_off(other, silent_ns, now))
        };
        let (listeners, sockets): (Vec<Listener>, Vec<OwnedFd>) = copies
            .into_iter()
            .filter(|copied| rescues && helped(copied))
            .map(|copied| (copied.listener, copied.socket))
            .unzip();
        if listeners.is_empty() {
            return;
        }
        self.rescue.aside.extend(listeners.iter().map(|listener| listener.cookie));
        self.reconcile(now);
        // Another's program, which a worker may have attached, would move nothing: the kernel would reset what waits.
        for (listener, socket) in listeners.iter().zip(&sockets) {
            if let Err(error) = self.updater.steering().attach_anew(listener.address, socket) {
                tracing::error!(%error, "cannot attach the selector anew");
            }
        }
        let is_expecting = outstanding_at(&self.updater.steering().books().seat(seat), now.0) > 0;
        let Some(watch) = self.rescue.watches.get_mut(&seat) else { return };
        watch.left(now);
        if watch.expects(is_expecting, now) {
            self.publish_anew(now);
            return;
        }
        let before = self.charges(&listeners);
        let emptied = self.empty(id, &sockets);
        let Some(watch) = self.rescue.watches.get_mut(&seat) else { return };
        match emptied {
            Ok(Some(emptied)) => {
                let moved = self.emptied(id, &listeners, emptied);
                self.reconcile(now);
                self.received(&before, now);
                if let Some(running) = self.running.get_mut(&id) {
                    running.rescued += u64::from(moved);
                }
                self.keep_rescued(id, moved);
                tracing::debug!(slot = %self.slot(id), moved, silent_ms = ms(silent_ns), "rescued");
                if let Some(watch) = self.rescue.watches.get_mut(&seat) {
                    watch.migrated(moved);
                    // What waits behind a long request is moved several times a second. That is balance, and no event.
                    if watch.health() == Health::Hung {
                        self.note_rescued(id, moved);
                    }
                }
            }
            Ok(None) => {
                watch.resists(now);
                tracing::debug!(slot = %self.slot(id), "does not stand still, so those who wait for it must wait");
            }
            Err(error) => {
                watch.resists(now);
                tracing::error!(slot = %self.slot(id), "cannot rescue the connections that wait: {error:#}");
            }
        }
        self.publish_anew(now);
    }

    /// Tells that connections have been moved from a worker that hangs.
    pub(super) fn note_rescued(&mut self, id: WorkerId, moved: u32) {
        if moved > 0 {
            let cause = format!("{moved} connections that waited for it were given to others");
            self.lives.note_worker(Kind::Rescued, id, &cause);
        }
    }

    fn empty(&self, id: WorkerId, sockets: &[OwnedFd]) -> anyhow::Result<Option<Vec<io::Result<u32>>>> {
        let Some(running) = self.running.get(&id) else { return Ok(None) };
        Ok(running.cgroup.freezer()?.empty(sockets)?)
    }

    /// What came of it; how many connections have moved.
    fn emptied(&mut self, id: WorkerId, listeners: &[Listener], emptied: Vec<io::Result<u32>>) -> u32 {
        let mut moved = 0;
        for (Listener { cookie, address, .. }, emptied) in listeners.iter().zip(emptied) {
            match emptied {
                Ok(0) => {}
                Ok(count) => {
                    moved += count;
                    self.rescue.own.entry(*cookie).or_default().extend([EventKind::Close, EventKind::Listen]);
                    self.updater.listens_anew(*cookie);
                }
                // The event of its close, if it has come so far, is the worker's loss.
                Err(error) => tracing::error!(slot = %self.slot(id), %address, %error, "a listener was lost"),
            }
        }
        moved
    }

    /// Whether a member of a group would answer in less than half the time that another has been silent. One that is
    /// suspected itself is not asked.
    fn is_better_off(&self, member: &Member, silent_ns: u64, now: Instant) -> bool {
        if self.rescue.watches.get(&member.seat).is_some_and(Watch::is_suspected) {
            return false;
        }
        let books = self.updater.steering().books().load(member.seat);
        let requests = select::given(&books) + outstanding_at(&books, now.0);
        let load = Load { requests, ..Load::of(&books, self.updater.table().cost_ns[member.seat.0 as usize]) };
        requests == 0 || expected_ns(load, now.0) <= silent_ns / 2
    }

    /// How often each member of the listeners' groups has been chosen.
    fn charges(&self, listeners: &[Listener]) -> Vec<(Member, u64)> {
        let books = self.updater.steering().books();
        let members = listeners.iter().flat_map(|listener| self.updater.steering().members(listener.address));
        members.map(|member| (*member, books.load(member.seat).charged)).collect()
    }

    /// Sees to those to whom connections may have moved.
    fn received(&mut self, before: &[(Member, u64)], now: Instant) {
        for (Member { seat, cookie }, charged) in before {
            let books = self.updater.steering().books().seat(*seat);
            if books.charged == *charged {
                continue;
            }
            self.updater.steering().books().hold(*seat, now.after(HELD_FOR));
            let cost_ns = self.updater.cost_ns(*seat, &books);
            self.rescue.watches.entry(*seat).or_insert_with(|| Watch::receiving(&books, cost_ns, now));
            let owner = self.lives.workers().find(|worker| worker.takes(*seat)).map(|worker| worker.id);
            // One that has closed its listener since has passed them on.
            if let Some(id) = owner
                && let Some(copy) = self.copy(id, *cookie)
                && let Err(error) = socket::wake(copy)
            {
                tracing::warn!(slot = %self.slot(id), %error, "cannot wake a worker for connections that it was given");
            }
        }
    }
}

/// The other policies are there to compare with, and move nothing.
fn chooses_by_load(policy: Policy) -> bool {
    match policy {
        Policy::LeastLatency | Policy::LeastInflight => true,
        Policy::Argmin | Policy::RoundRobin | Policy::Hash => false,
    }
}
