//! Who takes connections.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
};

use super::{Balancer, BalancerError, Joined, REMEMBERED, Worker};
use crate::{
    model::{Address, Instant, Seat, WorkerId},
    sys::socket,
    updater::Place,
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
        let joined = worker.map_or(&[][..], |worker| &worker.listeners);
        if joined.iter().any(|joined| joined.cookie == cookie) {
            return Ok(());
        }
        let id = worker.map_or(self.next, |worker| worker.id);
        let is_free_here = |seat: &Seat| !joined.iter().any(|joined| joined.seat == *seat && joined.address == address);
        let own = joined.iter().map(|joined| joined.seat).find(is_free_here);
        let seat = own.or_else(|| self.seats.take()).ok_or(BalancerError::NoSeat { slot })?;
        if let Err(source) = self.updater.join(id, address, seat, listener) {
            if own.is_none() {
                self.seats.release(seat);
            }
            return Err(BalancerError::Join { slot, address, source: Box::new(source) });
        }
        self.next = self.next.max(WorkerId(id.0 + 1));
        let worker = self.workers.entry(slot).or_insert_with(|| Worker { id, listeners: Vec::new() });
        worker.listeners.push(Joined { cookie, address, seat });
        self.left.retain(|left| *left != cookie);
        self.arrange();
        Ok(())
    }

    /// Has the kernel choose none of the slot's listeners any more, and forgets what its worker has reported. Connections that
    /// wait in their queues stay there until they are accepted, or the listener is closed.
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if a map refuses it.
    pub fn leave(&mut self, slot: u32, now: Instant) -> Result<(), BalancerError> {
        let Some(worker) = self.workers.remove(&slot) else { return Ok(()) };
        worker.seats().into_iter().for_each(|seat| self.seats.release(seat));
        self.updater.reap(worker.id);
        self.arrange();
        for joined in worker.listeners {
            self.left.push_back(joined.cookie);
            if self.left.len() > REMEMBERED
                && let Some(oldest) = self.left.pop_front()
            {
                self.updater.forget(oldest, now);
            }
            self.updater.leave(joined.cookie)?;
        }
        Ok(())
    }

    fn arrange(&mut self) {
        let places = |worker: &Worker| {
            let worker_id = worker.id;
            worker.seats().into_iter().map(move |seat| Place { seat, worker: worker_id, joined: true })
        };
        self.updater.arrange(self.workers.values().flat_map(places));
    }

    /// The active workers are these, by slot, and no others: joins the listeners that are new, and leaves those that are gone.
    /// An empty slot is never chosen. A worker that is replaced brings a listener of its own, or takes the old one over; then
    /// say [`leave`](Self::leave) in between if what the old one reported is not to count.
    ///
    /// # Errors
    /// [`BalancerError`] of the first listener that cannot be joined; the others are.
    pub fn set_active<W: ActiveWorker>(&mut self, slots: &[Option<W>], now: Instant) -> Result<(), BalancerError> {
        let mut failed = Ok(());
        let active = |slot: u32| slots.get(slot as usize).and_then(Option::as_ref);
        for slot in self.workers.keys().copied().collect::<Vec<_>>() {
            let current: BTreeSet<u64> = active(slot).map(cookies).unwrap_or_default();
            let is_gone = |joined: &Joined| !current.contains(&joined.cookie);
            if self.workers[&slot].listeners.iter().any(is_gone) {
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
    let address = socket::local_addr(listener).map_err(failed)?.ok_or(BalancerError::NotTcp { slot })?;
    if !socket::is_listening(listener).map_err(failed)? {
        return Err(BalancerError::NotListening { slot, address: Address(address) });
    }
    if !socket::has_reuseport(listener).map_err(failed)? {
        return Err(BalancerError::NotShared { slot, address: Address(address) });
    }
    Ok((socket::cookie(listener).map_err(failed)?, Address(address)))
}

fn cookies(worker: &impl ActiveWorker) -> BTreeSet<u64> {
    worker.listeners().into_iter().filter_map(|listener| socket::cookie(listener).ok()).collect()
}
