//! The map updater: it brings the kernel's maps to what a [registry](crate::registry) says, knows what each worker has said, and
//! publishes what each costs. Stepped by hand, with the time as an argument. Both masters stand on it: [`crate::balancer`], for
//! one of your own, and `engine`, which is `llb run`. Here a worker is a number, and its seats are whoever uses this to
//! give:
//!
//! ```no_run
//! use std::net::TcpListener;
//! use llb::{
//!     config::Tracking,
//!     kernel::{Options, Steering},
//!     model::{Address, Seat, Slot, WorkerId},
//!     now,
//!     registry::{Registry, Socket, State},
//!     report::Report,
//!     updater::{Failure, Reconciled, Updater},
//! };
//! use llb_common::policy::Policy;
//!
//! # fn shared() -> std::io::Result<TcpListener> { TcpListener::bind("127.0.0.1:0") }
//! # fn cookie_of(_: &TcpListener) -> u64 { 0 }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books: false, sticky: None })?;
//! let mut updater = Updater::new(steering, Policy::LeastLatency, Tracking::Reports);
//!
//! // A listener with SO_REUSEPORT, as the one of worker 7, on seat 0.
//! let (listener, worker, seat) = (shared()?, WorkerId(7), Seat(0));
//! let (cookie, address) = (cookie_of(&listener), Address(listener.local_addr()?));
//! let mut registry = Registry::default();
//! registry.hold(seat, worker, Slot(0));
//! registry.enter(Socket { cookie, address, udp: false, worker, seat: Some(seat), state: State::Joined });
//! let Reconciled { entered, failed, .. } = updater.reconcile(&registry, |_| Ok(listener.try_clone()?.into()), now());
//! println!("{} sockets are chosen from", entered.len());
//! for Failure { cookie, attempts, error, .. } in failed {
//!     println!("{cookie:?} has failed {attempts} times: {error}");
//! }
//!
//! // What it has said, and what it is to be asked.
//! updater.on_report(worker, &Report::Latency { ns: 3_000_000, requests: 1 }, now());
//! for (worker, id) in updater.pings(now()) {
//!     println!("to worker {worker}: {{\"cmd\":\"ping\",\"id\":{id}}}");
//! }
//! updater.update(now());
//! println!("{:?}, {:?}", updater.table().least, updater.counted(worker, &[seat]).chosen);
//!
//! // It takes no more connections; its seat is free when the last is answered.
//! registry.withdraw(cookie);
//! updater.reconcile(&registry, |_| Ok(listener.try_clone()?.into()), now());
//! updater.update(now());
//! if updater.is_drained(seat, now()) {
//!     registry.release(seat);
//!     registry.remove(cookie);
//!     updater.reap(worker);
//! }
//! # Ok(()) }
//! ```
//!
//! A program that ends while its workers go on writes down what each seat had counted before its worker took it. The next one, with
//! the same maps ([`crate::kernel::Pins`]), begins there:
//!
//! ```no_run
//! use llb::{model::{Seat, WorkerId}, updater::{Baseline, Counted, Updater}};
//!
//! fn written(updater: &Updater, worker: WorkerId, seat: Seat) -> Option<Baseline> {
//!     updater.baseline(worker, seat).cloned()
//! }
//!
//! fn go_on(updater: &mut Updater, worker: WorkerId, seat: Seat, written: Baseline) {
//!     updater.adopt(worker, [(seat, written)]);
//!     let Counted { answered, open, .. } = updater.counted(worker, &[seat]);
//!     println!("{answered} answered so far, {open} connections");
//! }
//!
//! fn end(updater: &mut Updater) {
//!     // Nobody publishes from here on: what is left to the kernel, its hash gives to the listeners that are there.
//!     updater.retire();
//!     updater.steering_mut().flush_log();
//! }
//! ```

mod counted;
mod estimates;
mod gone;
mod maps;
pub(crate) mod publish;

use std::{collections::HashMap, time::Duration};

use llb_common::{abi::SeatSet, policy::Policy, set};

pub use self::{
    counted::{Baseline, Counted},
    maps::{Failure, Reconciled},
};
use self::{
    counted::{Baselines, Before},
    estimates::Estimates,
    publish::{Publisher, Seated},
};
use crate::{
    config::Tracking,
    kernel::Steering,
    model::{Instant, Seat, WorkerId},
    policy::{Table, View},
    registry::Reconciler,
    report::Report,
};

/// How often to update: at least every ten milliseconds, and a runtime's timers may be one late. That is well below the second
/// after which the kernel takes what it reads for stale.
pub const UPDATE_EVERY: Duration = Duration::from_millis(9);

/// A seat that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TakenSeat {
    seat: Seat,
    worker: WorkerId,
    /// Whether it may be chosen. One that drains is not, and its requests count all the same.
    joined: bool,
    /// What it had answered, and failed to, for others: of a baseline, which is memory of its own, and asked for with every publication.
    before: Before,
}

/// Keeps the kernel's maps up to date.
pub struct Updater {
    steering: Steering,
    counts_reports: bool,
    publisher: Publisher,
    taken: Vec<TakenSeat>,
    estimates: Estimates,
    /// What workers' seats had counted for others before: the books outlive a worker.
    baselines: HashMap<WorkerId, Baselines>,
    reconciler: Reconciler,
    /// Seats that get no new UDP flows while another takes some.
    withheld: SeatSet,
    /// Whether the maps are to be looked at although neither the registry nor time asks for it.
    is_stale: bool,
    held: SeatSet,
}

impl Updater {
    /// An updater of these maps that has published nothing.
    #[must_use]
    pub fn new(steering: Steering, policy: Policy, tracking: Tracking) -> Self {
        Updater {
            steering,
            counts_reports: tracking.counts_reports(),
            publisher: Publisher::new(policy),
            taken: Vec::new(),
            estimates: Estimates::default(),
            baselines: HashMap::new(),
            reconciler: Reconciler::default(),
            withheld: [0; 4],
            is_stale: false,
            held: [0; 4],
        }
    }

    /// The programs and maps.
    #[must_use]
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// The programs and maps, for what the updater does not do itself.
    pub fn steering_mut(&mut self) -> &mut Steering {
        &mut self.steering
    }

    /// Goes by another policy from the next publication on.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.publisher.set_policy(policy);
    }

    /// Which seats' workers have been seen to stand still for a connection that they keep.
    pub(crate) fn hold(&mut self, held: SeatSet) {
        self.held = held;
    }

    /// A worker has said something. Nothing that [`Tracking`] leaves out counts, and pings are for those only that have said
    /// something else before.
    pub fn on_report(&mut self, worker: WorkerId, report: &Report, now: Instant) {
        if self.counts_reports {
            self.estimates.on_report(worker, report, now);
        }
    }

    /// The pings that are due, by worker, with the id to be answered ([`Report::Pong`]); they count as said. Who owes an answer is
    /// taken to be at least as slow as that has been owed.
    pub fn pings(&mut self, now: Instant) -> Vec<(WorkerId, u64)> {
        self.estimates.pings(now)
    }

    /// A worker is no more: what it has said and counted is forgotten.
    pub fn reap(&mut self, worker: WorkerId) {
        self.estimates.forget(worker);
        self.baselines.remove(&worker);
    }

    /// Publishes what is known at `now`, by `CLOCK_MONOTONIC`: costs, the least seat, the time. Makes no system call. The kernel
    /// takes what is older than [`llb_common::select::STALE_AFTER_NS`] for nothing.
    pub fn publish(&mut self, now: Instant) {
        let seated = self.taken.iter().map(|&TakenSeat { seat, worker, joined, before }| {
            let (estimate, owed) = self.estimates.of(worker).unzip();
            let held = set::contains(&self.held, seat.0);
            Seated { seat, joined, estimate, owed: owed.flatten(), before, held }
        });
        self.publisher.publish(self.steering.books(), seated, now);
    }

    /// One step: passes the programs' log on, and [publishes](Self::publish). To be called every [`UPDATE_EVERY`] or so.
    pub fn update(&mut self, now: Instant) {
        self.steering.flush_log();
        self.publish(now);
    }

    /// Has the kernel's hash choose: for the end, when nobody will update any more.
    pub fn retire(&mut self) {
        self.publisher = Publisher::new(Policy::Hash);
        self.taken.clear();
        self.publish(Instant::default());
    }

    /// Whether a seat has neither requests nor charges left: another worker may have it.
    #[must_use]
    pub fn is_drained(&self, seat: Seat, now: Instant) -> bool {
        publish::is_drained(self.steering.books(), seat, now)
    }

    /// Whether no connection that was given to a seat is still being made.
    pub(crate) fn is_settled(&self, seat: Seat, now: Instant) -> bool {
        publish::is_settled(self.steering.books(), seat, now)
    }

    /// Whether a seat has no open connection either: what is still answered there is not counted as the next worker's.
    #[must_use]
    pub(crate) fn is_empty(&self, seat: Seat, now: Instant) -> bool {
        let books = self.steering.books().seat(seat);
        self.is_drained(seat, now) && books.closed >= books.opened
    }

    /// What was published last.
    #[must_use]
    pub fn table(&self) -> &Table {
        self.publisher.table()
    }

    /// What was known then of each seat.
    #[must_use]
    pub fn views(&self) -> &[View] {
        self.publisher.views()
    }
}
