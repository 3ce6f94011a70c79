//! Least-latency steering in a master of your own: for a server that makes its own workers.
//!
//! The master has a listening socket for each worker, all on one address with `SO_REUSEPORT`. A [`Balancer`] puts them into the
//! kernel's hands, each under the number of its slot, and steps the updater that tells the kernel what each worker costs.
//!
//! ```no_run
//! use std::{io, net::{SocketAddr, TcpListener}};
//! use llb::{balancer::{Balancer, Settings}, now};
//!
//! # fn shared(_: SocketAddr) -> io::Result<TcpListener> { unimplemented!() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let address: SocketAddr = "127.0.0.1:8080".parse()?;
//! // One for each worker, with SO_REUSEPORT set before bind; a slot without a worker is `None`.
//! let slots = [Some(shared(address)?), Some(shared(address)?), None];
//!
//! let mut balancer = Balancer::load(Settings::default())?;
//! loop {
//!     balancer.set_active(&slots, now())?;
//!     balancer.update(now());
//!     std::thread::sleep(balancer.update_every());
//! }
//! # }
//! ```
//!
//! `examples/prefork.rs` is a whole server. To load the programs takes `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`.
//!
//! When the balancer is dropped the kernel's hash takes over, and what it attached is detached.

mod error;
mod reports;
mod status;
mod task;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

use llb_common::policy::Policy;

pub use self::{
    error::BalancerError,
    reports::Reports,
    status::{BalancerStatus, SlotStatus},
};
use crate::{
    config::Tracking,
    estimate::Estimate,
    fleet::Seats,
    kernel::{AttachedBooks, Options, Steering},
    model::{Address, Instant, Seat},
    sys::{mounts, socket},
    updater::{Seated, Updater, is_drained},
};

/// How often to update: what `llb run` does. The kernel takes what is a second old for nothing.
const UPDATE_EVERY: Duration = Duration::from_millis(9);

/// When a listener that has left is forgotten: its waiting connections, if it is closed, migrate before that.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// What a balancer is to do.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How the kernel chooses.
    pub policy: Policy,
    /// What it goes by.
    pub tracking: Tracking,
    /// The cgroup, of version 2, of the process that makes the listening sockets, or one above it; none: this process's own.
    /// With [`Tracking::Full`] the kernel looks at the packets of whatever is in it, and counts those of the joined listeners.
    pub cgroup: Option<PathBuf>,
}

/// A worker that takes connections, by what it listens on: a socket, or several on different addresses.
pub trait ActiveWorker {
    /// Its listening sockets.
    fn listeners(&self) -> Vec<BorrowedFd<'_>>;
}

impl<T: AsFd> ActiveWorker for T {
    fn listeners(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.as_fd()]
    }
}

/// Steers connections among the workers of a master of your own. Not for [`crate::engine`]'s fleets, which do all that
/// themselves.
pub struct Balancer {
    settings: Settings,
    steering: Steering,
    updater: Updater,
    seats: Seats,
    workers: BTreeMap<u32, Worker>,
    forget: VecDeque<(Instant, u64)>,
    reports: Reports,
    /// Detached when dropped.
    _attached: Option<AttachedBooks>,
}

/// The worker of a slot.
#[derive(Debug, Default)]
struct Worker {
    listeners: Vec<Joined>,
    estimate: Estimate,
    reported: bool,
}

#[derive(Clone, Copy, Debug)]
struct Joined {
    cookie: u64,
    address: Address,
    seat: Seat,
}

impl Balancer {
    /// Loads the programs, and attaches those that count.
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if the kernel refuses a program or a map, [`BalancerError::Cgroup`] if there is no such cgroup.
    pub fn load(settings: Settings) -> Result<Self, BalancerError> {
        let keeps_books = settings.tracking.keeps_books();
        let steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books })?;
        let attached = keeps_books.then(|| attach(&steering, &settings)).transpose()?;
        Ok(Balancer {
            updater: Updater::new(settings.policy),
            settings,
            steering,
            seats: Seats::default(),
            workers: BTreeMap::new(),
            forget: VecDeque::new(),
            reports: Reports::new(),
            _attached: attached,
        })
    }

    /// Has the kernel choose the listener from now on, as one of the worker of `slot`. The socket stays the caller's. A
    /// listener that has joined already stays where it is.
    ///
    /// # Errors
    /// [`BalancerError`], naming the slot and the address; nothing has changed then.
    pub fn join(&mut self, slot: u32, listener: impl AsFd) -> Result<(), BalancerError> {
        let listener = listener.as_fd();
        let (cookie, address) = examine(slot, listener)?;
        let worker = self.workers.entry(slot).or_default();
        if worker.listeners.iter().any(|joined| joined.cookie == cookie) {
            return Ok(());
        }
        let is_free_here =
            |seat: &Seat| !worker.listeners.iter().any(|joined| joined.seat == *seat && joined.address == address);
        let own = worker.listeners.iter().map(|joined| joined.seat).find(is_free_here);
        let (seat, is_new) = match own {
            Some(seat) => (seat, false),
            None => (self.seats.take().ok_or(BalancerError::NoSeat { slot })?, true),
        };
        if is_new {
            self.steering.books().renew(seat);
        }
        self.forget.retain(|(_, forgotten)| *forgotten != cookie);
        if let Err(source) = self.steering.join(address, seat, listener) {
            if is_new {
                self.seats.release(seat);
            }
            return Err(BalancerError::Join { slot, address, source: Box::new(source) });
        }
        worker.listeners.push(Joined { cookie, address, seat });
        Ok(())
    }

    /// Has the kernel choose none of the slot's listeners any more, and forgets what its worker has reported. Connections that
    /// wait in their queues stay there until they are accepted, or the listener is closed.
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if a map refuses it.
    pub fn leave(&mut self, slot: u32, now: Instant) -> Result<(), BalancerError> {
        let Some(worker) = self.workers.remove(&slot) else { return Ok(()) };
        let seats: BTreeSet<Seat> = worker.listeners.iter().map(|joined| joined.seat).collect();
        for joined in worker.listeners {
            self.forget.push_back((now.after(FORGET_AFTER), joined.cookie));
            self.steering.leave(joined.cookie)?;
        }
        seats.into_iter().for_each(|seat| self.seats.release(seat));
        Ok(())
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

    /// The worker of `slot` took `latency` for a request. What workers report counts more than what the kernel measures of
    /// them; with [`Tracking::Off`] neither does. Of a slot without a worker it is dropped.
    pub fn report(&mut self, slot: u32, latency: Duration, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&slot).filter(|_| self.settings.tracking.counts_reports()) {
            worker.estimate.observe(now, u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
            worker.reported = true;
        }
    }

    /// A handle by which other threads report.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// Takes in what was reported, and publishes what each worker costs at `now`, by `CLOCK_MONOTONIC`
    /// ([`crate::now`]). To be called every [`update_every`](Self::update_every) or so.
    pub fn update(&mut self, now: Instant) {
        for (slot, latency) in self.reports.take() {
            self.report(slot, latency, now);
        }
        while self.forget.front().is_some_and(|(at, _)| now >= *at) {
            if let Some((_, cookie)) = self.forget.pop_front() {
                self.steering.forget(cookie);
            }
        }
        self.steering.flush_log();
        let Balancer { steering, updater, workers, seats, .. } = self;
        let books = steering.books();
        seats.free(now, |seat| is_drained(books, seat, now));
        let known = workers.values().flat_map(|worker| {
            let estimate = worker.reported.then_some(&worker.estimate);
            let seats: BTreeSet<Seat> = worker.listeners.iter().map(|joined| joined.seat).collect();
            seats.into_iter().map(move |seat| Seated { seat, joined: true, estimate, owed: None })
        });
        updater.update(books, known, now);
    }

    /// How often to call [`update`](Self::update).
    #[must_use]
    pub fn update_every(&self) -> Duration {
        UPDATE_EVERY
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // The selector stays with the listeners, and nobody keeps its books any more.
        self.updater = Updater::new(Policy::Hash);
        self.updater.update(self.steering.books(), std::iter::empty(), Instant::default());
    }
}

fn attach(steering: &Steering, settings: &Settings) -> Result<AttachedBooks, BalancerError> {
    let path = match &settings.cgroup {
        Some(path) => path.clone(),
        None => mounts::own_cgroup().map_err(|source| BalancerError::OwnCgroup { source: Box::new(source) })?.path,
    };
    let directory = std::fs::File::open(&path).map_err(|source| BalancerError::Cgroup { path, source })?;
    Ok(steering.attach_books(directory.into())?)
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
