//! Who takes connections.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
};

use llb_common::names;

use super::{Balancer, BalancerError, REMEMBERED, Worker};
use crate::{
    kernel::KernelError,
    model::{Address, Instant, Seat, Slot, WorkerId},
    registry::{Socket, State},
    sys::socket,
};

/// A worker that takes connections, by what it listens on: a socket, or several on different addresses.
///
/// ```
/// use std::{net::TcpListener, os::fd::{AsFd, BorrowedFd}};
/// use llb::balancer::ActiveWorker;
///
/// struct Worker {
///     http: TcpListener,
///     https: TcpListener,
/// }
///
/// impl ActiveWorker for Worker {
///     fn listeners(&self) -> Vec<BorrowedFd<'_>> {
///         vec![self.http.as_fd(), self.https.as_fd()]
///     }
/// }
/// # fn main() -> std::io::Result<()> {
/// let listen = || TcpListener::bind("127.0.0.1:0");
/// assert_eq!(Worker { http: listen()?, https: listen()? }.listeners().len(), 2);
/// assert_eq!(listen()?.listeners().len(), 1);
/// # Ok(()) }
/// ```
pub trait ActiveWorker {
    /// Its listening sockets.
    fn listeners(&self) -> Vec<BorrowedFd<'_>>;
}

impl<T: AsFd> ActiveWorker for T {
    fn listeners(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.as_fd()]
    }
}

impl Balancer {
    /// Has the kernel choose the listener from now on, as one of the worker of `slot`. The socket stays the caller's. A
    /// listener that has joined already stays where it is.
    ///
    /// # Errors
    /// [`BalancerError`], naming the slot and the address; nothing has changed then.
    pub fn join(&mut self, slot: u32, listener: impl AsFd) -> Result<(), BalancerError> {
        let listener = listener.as_fd();
        let (cookie, address) = examine(slot, listener)?;
        let worker = self.workers.get(&slot);
        let joined = worker.map_or(&[][..], |worker| &worker.cookies);
        if joined.contains(&cookie) {
            return Ok(());
        }
        let before = self.registry.socket(cookie).copied();
        let id = worker.map_or(self.next, |worker| worker.id);
        let joined: Vec<Socket> = joined.iter().filter_map(|cookie| self.registry.socket(*cookie)).copied().collect();
        let is_free_here = |seat: &Seat| !joined.iter().any(|one| one.seat == Some(*seat) && one.address == address);
        let own = joined.iter().filter_map(|one| one.seat).find(is_free_here);
        let seat = own.or_else(|| self.seats.take()).ok_or(BalancerError::NoSeat { slot })?;
        self.registry.hold(seat, id, Slot(slot));
        self.registry.enter(Socket { cookie, address, udp: false, worker: id, seat: Some(seat), state: State::Joined });
        if let Err(source) = self.reconcile(Some((cookie, listener))) {
            match before {
                Some(before) => self.registry.enter(before),
                None => self.registry.remove(cookie),
            }
            if own.is_none() {
                self.registry.release(seat);
                self.seats.release(seat);
            }
            // What it was is as good as done, or is tried again.
            let _ = self.reconcile(None);
            return Err(BalancerError::Join { slot, address: address.canonical(), source: source.into() });
        }
        self.next = self.next.max(WorkerId(id.0 + 1));
        self.workers.entry(slot).or_insert_with(|| Worker { id, cookies: Vec::new() }).cookies.push(cookie);
        self.left.retain(|left| *left != cookie);
        Ok(())
    }

    /// Has the kernel choose none of the slot's listeners any more, and forgets what its worker has reported. Connections that
    /// wait in their queues stay there until they are accepted, or the listener is closed.
    ///
    /// ```no_run
    /// # use llb::{balancer::{Balancer, BalancerError}, now};
    /// # fn example(balancer: &mut Balancer) -> Result<(), BalancerError> {
    /// balancer.leave(3, now())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if a map refuses it; [`update`](Self::update) tries it again.
    pub fn leave(&mut self, slot: u32, now: Instant) -> Result<(), BalancerError> {
        self.now = now;
        let Some(Worker { id, cookies }) = self.workers.remove(&slot) else { return Ok(()) };
        for seat in self.seats_of(id) {
            self.registry.release(seat);
            self.seats.release(seat);
        }
        self.updater.reap(id);
        for cookie in cookies {
            self.registry.withdraw(cookie);
            self.left.push_back(cookie);
            if self.left.len() > REMEMBERED
                && let Some(oldest) = self.left.pop_front()
            {
                self.registry.remove(oldest);
            }
        }
        self.reconcile(None).map_err(BalancerError::kernel)
    }

    /// Brings the maps to what the registry says; `joins` is the listener that is to be found, of one that joins.
    pub(super) fn reconcile(&mut self, joins: Option<(u64, BorrowedFd<'_>)>) -> Result<(), KernelError> {
        let find = |socket: &Socket| match joins {
            Some((cookie, listener)) if cookie == socket.cookie => Ok(listener.try_clone_to_owned()?),
            _ => Err("it is the caller's, who has to give it once more".into()),
        };
        let reconciled = self.updater.reconcile(&self.registry, find, self.now);
        if joins.is_some_and(|(cookie, _)| self.updater.is_member(cookie)) {
            return Ok(());
        }
        let refused = |source| KernelError::Map { map: names::GROUPS, source };
        match reconciled.failed.into_iter().next().map(|failure| failure.error.downcast::<KernelError>()) {
            Some(Ok(error)) => Err(*error),
            Some(Err(other)) => Err(refused(other)),
            None if joins.is_some() => Err(refused("it is tried again in a moment".into())),
            None => Ok(()),
        }
    }

    /// The seats of a worker.
    pub(super) fn seats_of(&self, id: WorkerId) -> Vec<Seat> {
        self.registry.holders().filter(|(_, holder)| holder.worker == id).map(|(seat, _)| seat).collect()
    }

    /// The active workers are these, by slot, and no others: joins the listeners that are new, and leaves those that are gone.
    /// An empty slot is never chosen. A worker that is replaced brings a listener of its own, or takes the old one over; then
    /// say [`leave`](Self::leave) in between if what the old one reported is not to count.
    ///
    /// # Errors
    /// [`BalancerError`] of the first listener that cannot be joined; the others are.
    pub fn set_active<W: ActiveWorker>(&mut self, slots: &[Option<W>], now: Instant) -> Result<(), BalancerError> {
        self.now = now;
        let mut failed = Ok(());
        let active = |slot: u32| slots.get(slot as usize).and_then(Option::as_ref);
        for slot in self.workers.keys().copied().collect::<Vec<_>>() {
            let current: BTreeSet<u64> = active(slot).map(cookies).unwrap_or_default();
            if self.workers[&slot].cookies.iter().any(|cookie| !current.contains(cookie)) {
                failed = failed.and(self.leave(slot, now));
            }
        }
        for (slot, worker) in (0..).zip(slots) {
            for listener in worker.iter().flat_map(ActiveWorker::listeners) {
                failed = failed.and(self.join(slot, listener));
            }
        }
        failed
    }
}

/// The socket's cookie and address, if it can be joined.
fn examine(slot: u32, listener: BorrowedFd<'_>) -> Result<(u64, Address), BalancerError> {
    let failed = |source| BalancerError::NoSocket { slot, source };
    let local = Address(socket::local_addr(listener).map_err(failed)?.ok_or(BalancerError::NotTcp { slot })?);
    let address = local.canonical();
    if !socket::is_listening(listener).map_err(failed)? {
        return Err(BalancerError::NotListening { slot, address });
    }
    if !socket::has_reuseport(listener).map_err(failed)? {
        return Err(BalancerError::NotShared { slot, address });
    }
    Ok((socket::cookie(listener).map_err(failed)?, local))
}

fn cookies(worker: &impl ActiveWorker) -> BTreeSet<u64> {
    worker.listeners().into_iter().filter_map(|listener| socket::cookie(listener).ok()).collect()
}
