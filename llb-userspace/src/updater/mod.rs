//! The map updater: it knows who sits where and what each worker has said, and keeps the kernel's maps up to date. Stepped by
//! hand, with the time as an argument. Both masters stand on it: [`crate::balancer`], for one of your own, and
//! [`crate::engine`], which is `llb run`. Here a worker is a number, and its seats are whoever uses this to give:
//!
//! ```no_run
//! use std::net::TcpListener;
//! use llb::{
//!     config::Tracking,
//!     kernel::{Options, Steering},
//!     model::{Address, Seat, WorkerId},
//!     report::Report,
//!     now,
//!     updater::{Place, Updater},
//! };
//! use llb_common::policy::Policy;
//!
//! # fn shared() -> std::io::Result<TcpListener> { TcpListener::bind("127.0.0.1:0") }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books: false, sticky: None })?;
//! let mut updater = Updater::new(steering, Policy::LeastLatency, Tracking::Reports);
//!
//! // A listener with SO_REUSEPORT, as the one of worker 7, on seat 0.
//! let (listener, worker, seat) = (shared()?, WorkerId(7), Seat(0));
//! let cookie = updater.join(worker, Address(listener.local_addr()?), seat, &listener)?;
//! updater.arrange([Place { seat, worker, joined: true }]);
//!
//! // What it has said, and what it is to be asked.
//! updater.hear(worker, &Report::Latency { ns: 3_000_000, requests: 1 }, now());
//! for (worker, id) in updater.pings(now()) {
//!     println!("to worker {worker}: {{\"cmd\":\"ping\",\"id\":{id}}}");
//! }
//! updater.update(now());
//! println!("{:?}, {:?}", updater.table().least, updater.counted(worker, &[seat]).chosen);
//!
//! // It takes no more connections; its seat is free when the last is answered.
//! updater.leave(cookie)?;
//! updater.forget(cookie, now());
//! updater.arrange([Place { seat, worker, joined: false }]);
//! updater.update(now());
//! if updater.is_drained(seat, now()) {
//!     updater.reap(worker);
//! }
//! # Ok(()) }
//! ```
//!
//! Who ends, and means others to go on, writes down what each seat had counted before its worker took it; who goes on with the
//! same maps ([`crate::kernel::Pins`]) begins there:
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
//!     // Connections of a listener that has closed may still be on their way to others.
//!     println!("{}", updater.is_forgetting());
//!     updater.steering_mut().flush_log();
//! }
//! ```

mod counted;
mod heard;
pub(crate) mod publish;

use std::{
    collections::{HashMap, VecDeque},
    os::fd::AsFd,
    time::Duration,
};

use llb_common::{abi::SeatSet, policy::Policy, set};

pub use self::counted::{Baseline, Counted};
use self::{
    counted::Baselines,
    heard::Heard,
    publish::{Publisher, Seated},
};
use crate::{
    config::Tracking,
    kernel::{KernelError, Steering},
    model::{Address, Instant, Seat, WorkerId},
    policy::{Table, View},
    report::Report,
};

/// How often to update: at least every ten milliseconds, and a runtime's timers may be one late. That is well below the second
/// after which the kernel takes what it reads for stale.
pub const UPDATE_EVERY: Duration = Duration::from_millis(9);

/// When a listener that is gone is forgotten: its waiting connections have migrated in the system call that closed it.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// A seat that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The seat.
    pub seat: Seat,
    /// Who sits there.
    pub worker: WorkerId,
    /// Whether it may be chosen. One that drains is not, and its requests count all the same.
    pub joined: bool,
}

/// Keeps the kernel's maps up to date.
pub struct Updater {
    steering: Steering,
    counts_reports: bool,
    publisher: Publisher,
    places: Vec<Place>,
    heard: Heard,
    /// What workers' seats had counted for others before: the books outlive a worker.
    baselines: HashMap<WorkerId, Baselines>,
    forget: VecDeque<(Instant, u64)>,
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
            places: Vec::new(),
            heard: Heard::default(),
            baselines: HashMap::new(),
            forget: VecDeque::new(),
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

    /// Has the kernel choose a worker's listener from the next [`update`](Self::update) on, if [`arrange`](Self::arrange) says so
    /// too. The first listener of a worker on a seat begins the seat's books anew. Returns the listener's cookie
    /// (`SO_COOKIE`).
    ///
    /// # Errors
    /// As [`Steering::join`]; the listener is then in no group.
    pub fn join(
        &mut self,
        worker: WorkerId,
        address: Address,
        seat: Seat,
        socket: impl AsFd,
    ) -> Result<u64, KernelError> {
        let books = self.steering.books();
        let baselines = self.baselines.entry(worker).or_default();
        let is_new = baselines.begin(books, seat);
        let joined = self.steering.join(address, seat, socket);
        if joined.is_err() && is_new {
            baselines.end(seat);
        }
        let cookie = joined?;
        self.forget.retain(|(_, forgotten)| *forgotten != cookie);
        Ok(cookie)
    }

    /// Goes by another policy from the next publication on.
    pub(crate) fn go_by(&mut self, policy: Policy) {
        self.publisher.go_by(policy);
    }

    /// Has the kernel choose a listener no more. What waits in its queue stays there, and migrates when it is closed.
    ///
    /// # Errors
    /// As [`Steering::leave`].
    pub fn leave(&mut self, cookie: u64) -> Result<(), KernelError> {
        self.steering.leave(cookie)
    }

    /// A listener has been closed, or nobody cares for it any more: forgets it five seconds after `now`, when no connection can be
    /// migrating from it.
    pub fn forget(&mut self, cookie: u64, now: Instant) {
        self.forget.push_back((now.after(FORGET_AFTER), cookie));
    }

    /// Whether a listener has gone within the last seconds.
    #[must_use]
    pub fn is_forgetting(&self) -> bool {
        !self.forget.is_empty()
    }

    /// Who sits where from now on; whoever is not named sits nowhere.
    pub fn arrange(&mut self, places: impl IntoIterator<Item = Place>) {
        self.places.clear();
        self.places.extend(places);
    }

    /// Which seats' workers have been seen to stand still for a connection that they keep.
    pub(crate) fn hold(&mut self, held: SeatSet) {
        self.held = held;
    }

    /// A worker has said something. Nothing that [`Tracking`] leaves out counts, and pings are for those only that have said
    /// something else before.
    pub fn hear(&mut self, worker: WorkerId, report: &Report, now: Instant) {
        if self.counts_reports {
            self.heard.hear(worker, report, now);
        }
    }

    /// The pings that are due, by worker, with the id to be answered ([`Report::Pong`]); they count as said. Who owes an answer is
    /// taken to be at least as slow as that has been owed.
    pub fn pings(&mut self, now: Instant) -> Vec<(WorkerId, u64)> {
        self.heard.pings(now)
    }

    /// A worker is no more: what it has said and counted is forgotten.
    pub fn reap(&mut self, worker: WorkerId) {
        self.heard.forget(worker);
        self.baselines.remove(&worker);
    }

    /// Publishes what is known at `now`, by `CLOCK_MONOTONIC`: costs, the least seat, the time. Makes no system call. The kernel
    /// takes what is older than [`llb_common::select::STALE_AFTER_NS`] for nothing.
    pub fn publish(&mut self, now: Instant) {
        let seated = self.places.iter().map(|Place { seat, worker, joined }| {
            let (estimate, owed) = self.heard.of(*worker).unzip();
            let before = self.baselines.get(worker).map_or((0, 0), |baselines| baselines.counted(*seat));
            let held = set::contains(&self.held, seat.0);
            Seated { seat: *seat, joined: *joined, estimate, owed: owed.flatten(), before, held }
        });
        self.publisher.publish(self.steering.books(), seated, now);
    }

    /// One step: forgets what is to be forgotten, passes the programs' log on, and [publishes](Self::publish). To be called every
    /// [`UPDATE_EVERY`] or so. Returns the cookies of the listeners that are forgotten.
    pub fn update(&mut self, now: Instant) -> Vec<u64> {
        let mut forgotten = Vec::new();
        while let Some((_, cookie)) = self.forget.pop_front_if(|(at, _)| now >= *at) {
            self.steering.forget(cookie);
            forgotten.push(cookie);
        }
        self.steering.flush_log();
        self.publish(now);
        forgotten
    }

    /// Has the kernel's hash choose: for the end, when nobody will update any more.
    pub fn retire(&mut self) {
        self.publisher = Publisher::new(Policy::Hash);
        self.arrange([]);
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
