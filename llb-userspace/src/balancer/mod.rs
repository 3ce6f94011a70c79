//! The map updater for a master of your own: least-latency steering for a server that makes its own workers.
//!
//! [`BalancerHandle`] updates the kernel's maps in a thread of its own; [`Balancer`] is the same, stepped by hand.
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
mod join;
mod member;
mod reports;
mod status;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    time::Duration,
};

use llb_common::abi::MAX_LISTENERS;
pub use llb_common::policy::Policy;

pub use self::{
    error::BalancerError,
    join::ActiveWorker,
    member::{BalancerHandle, Member},
    reports::Reports,
    status::{BalancerStatus, MemberStatus},
};
pub use crate::tracking::Tracking;
use crate::{
    kernel::{AttachedBooks, Options, Steering},
    model::{Instant, WorkerId},
    registry::{Registry, Seats},
    report::Report,
    sys::mounts,
    updater::{UPDATE_EVERY, Updater},
};

/// Listeners that are remembered when they have left: half of what the kernel side has room for. Who opens and closes more is
/// rare, and the oldest of them is closed most likely.
const REMEMBERED: usize = MAX_LISTENERS / 2;

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

/// Steers connections among the workers of a master of your own. Not for the fleets of [`crate::Fleet`], which do all that
/// themselves.
pub struct Balancer {
    updater: Updater,
    /// Who sits where.
    registry: Registry,
    seats: Seats,
    workers: BTreeMap<u32, Worker>,
    /// The number of the next worker: a slot may have many, one after the other.
    next: WorkerId,
    reports: Reports,
    /// Listeners that have left, the oldest first. As long as they are open the kernel asks the selector by way of them, which
    /// must know them.
    left: VecDeque<u64>,
    /// The time, as far as it was told.
    now: Instant,
    /// Detached when dropped.
    _attached: Option<AttachedBooks>,
}

/// The worker of a slot.
#[derive(Debug)]
struct Worker {
    id: WorkerId,
    /// Its listeners, which the registry knows.
    cookies: Vec<u64>,
}

impl Balancer {
    /// Loads the programs, and attaches those that count.
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if the kernel refuses a program or a map, [`BalancerError::Cgroup`] if there is no such cgroup.
    pub fn load(settings: Settings) -> Result<Self, BalancerError> {
        let keeps_books = settings.tracking.keeps_books();
        let steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books, sticky: None });
        let steering = steering.map_err(BalancerError::kernel)?;
        let attached = keeps_books.then(|| attach(&steering, &settings)).transpose()?;
        Ok(Balancer {
            updater: Updater::new(steering, settings.policy, settings.tracking),
            registry: Registry::default(),
            seats: Seats::default(),
            workers: BTreeMap::new(),
            next: WorkerId(0),
            reports: Reports::new(),
            left: VecDeque::new(),
            now: Instant(0),
            _attached: attached,
        })
    }

    /// The worker of `slot` took `latency` for a request. What workers report counts more than what the kernel measures of
    /// them; with [`Tracking::Off`] neither does. Of a slot without a worker it is dropped.
    pub fn report(&mut self, slot: u32, latency: Duration, now: Instant) {
        self.on_report(slot, &Report::latency(latency), now);
    }

    /// The worker of `slot` has said something: for whoever reads its lines with [`crate::report::Reader`].
    #[doc(hidden)] // For the tests, as [`Balancer::pings`] is.
    pub fn on_report(&mut self, slot: u32, report: &Report, now: Instant) {
        if let Some(worker) = self.workers.get(&slot) {
            self.updater.on_report(worker.id, report, now);
        }
    }

    /// The pings that are due, by slot, with the id to be answered by [`Report::Pong`]; they count as said. Of use with workers
    /// that have an event loop: while one is late, its worker is taken to be at least as slow. Only workers that have reported
    /// something are asked, and those that never answer are left alone.
    ///
    /// ```no_run
    /// # use llb::{balancer::Balancer, report::{Report, say}, now};
    /// # fn example(balancer: &mut Balancer, write: impl Fn(u32, &[u8])) {
    /// for (slot, id) in balancer.pings(now()) {
    ///     write(slot, &say::ping(id)); // {"cmd":"ping","id":1}
    /// }
    /// // And when it has answered {"cmd":"pong","id":1}:
    /// balancer.on_report(0, &Report::Pong { id: 1, lag_ns: 0 }, now());
    /// # }
    /// ```
    #[doc(hidden)]
    pub fn pings(&mut self, now: Instant) -> Vec<(u32, u64)> {
        let pings = self.updater.pings(now).into_iter();
        let slot_of = |id: WorkerId| self.workers.iter().find(|(_, worker)| worker.id == id).map(|(slot, _)| *slot);
        pings.filter_map(|(worker, ping)| Some((slot_of(worker)?, ping))).collect()
    }

    /// A handle by which other threads report.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// Takes in what was reported, and publishes what each worker costs at `now`, by `CLOCK_MONOTONIC`
    /// ([`crate::now`]). To be called every [`update_every`](Self::update_every) or so.
    pub fn update(&mut self, now: Instant) {
        for (slot, report) in self.reports.take() {
            self.on_report(slot, &report, now);
        }
        self.now = now;
        if self.updater.is_due(now) {
            // What fails once more is tried again.
            let _ = self.reconcile(None);
        }
        let Balancer { updater, seats, .. } = self;
        seats.free_empty(|seat| updater.is_empty(seat, now));
        updater.update(now);
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
        self.updater.retire();
    }
}

fn attach(steering: &Steering, settings: &Settings) -> Result<AttachedBooks, BalancerError> {
    let path = match &settings.cgroup {
        Some(path) => path.clone(),
        None => mounts::own_cgroup().map_err(|source| BalancerError::OwnCgroup { source: source.into() })?.path,
    };
    let directory = std::fs::File::open(&path).map_err(|source| BalancerError::Cgroup { path, source })?;
    steering.attach_books(directory.into()).map_err(BalancerError::kernel)
}
