//! The map updater: it brings the kernel's maps to what a [registry](crate::registry) says, knows what each worker has said, and
//! publishes what each costs. Stepped by hand, with the time as an argument. Both masters stand on it: [`crate::balancer`], for
//! one of your own, and [`crate::engine`], which is `llb run`. Here a worker is a number, and its seats are whoever uses this to
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
//! updater.hear(worker, &Report::Latency { ns: 3_000_000, requests: 1 }, now());
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
//!     updater.steering_mut().flush_log();
//! }
//! ```

mod counted;
mod gone;
mod heard;
pub(crate) mod publish;

use std::{collections::HashMap, error::Error, os::fd::OwnedFd, time::Duration};

use llb_common::{abi::SeatSet, policy::Policy, set};

pub use self::counted::{Baseline, Counted};
use self::{
    counted::{Baselines, Before},
    heard::Heard,
    publish::{Publisher, Seated},
};
use crate::{
    config::Tracking,
    kernel::Steering,
    model::{Instant, Seat, WorkerId},
    policy::{Table, View},
    registry::{self, Desired, Failed, Holder, Object, Reconciler, Registry, Socket, Want},
    report::Report,
};

/// How often to update: at least every ten milliseconds, and a runtime's timers may be one late. That is well below the second
/// after which the kernel takes what it reads for stale.
pub const UPDATE_EVERY: Duration = Duration::from_millis(9);

/// A seat that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seat: Seat,
    worker: WorkerId,
    /// Whether it may be chosen. One that drains is not, and its requests count all the same.
    joined: bool,
    /// What it had answered, and failed to, for others: of a baseline, which is memory of its own, and asked for with every publication.
    before: Before,
}

/// What has come of bringing the maps to what a registry says. An example is [there](self).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reconciled {
    /// Cookies of sockets that are chosen from now on.
    pub entered: Vec<u64>,
    /// What could not be done; it is tried again.
    pub failed: Vec<Failure>,
    /// Cookies of sockets of which the maps know nothing any more.
    pub forgotten: Vec<u64>,
}

/// What could not be written to the maps. An example is [there](self).
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The socket that it is about; none if it is a whole group.
    pub cookie: Option<u64>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why.
    pub error: Box<dyn Error + Send + Sync>,
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
            places: Vec::new(),
            heard: Heard::default(),
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

    /// Brings the maps to what the registry says, as far as that can be done now; what fails is tried again by a later call.
    /// `find` gives a copy of a socket that is to enter its group; the copy is closed before this returns. The first socket of a
    /// worker on a seat begins the seat's books anew.
    pub fn reconcile(
        &mut self,
        registry: &Registry,
        mut find: impl FnMut(&Socket) -> Result<OwnedFd, Box<dyn Error + Send + Sync>>,
        now: Instant,
    ) -> Reconciled {
        self.is_stale = false;
        let desired = registry.desired(self.withheld);
        let begun = self.begin_books(&desired);
        let find = |want: &Want| match registry.socket(want.cookie) {
            Some(socket) => find(socket),
            None => Err("it is gone".into()),
        };
        let report = self.steering.reconcile(&mut self.reconciler, &desired, find, now);
        self.end_books(&desired, &begun);
        self.arrange(registry);
        let failure = |registry::Failure { object, attempts, error }| {
            let cookie = if let Object::Socket(cookie) = object { Some(cookie) } else { None };
            Failure { cookie, attempts, error }
        };
        Reconciled {
            entered: report.entered,
            failed: report.failed.into_iter().map(failure).collect(),
            forgotten: report.forgotten,
        }
    }

    /// Goes by another policy from the next publication on.
    pub(crate) fn go_by(&mut self, policy: Policy) {
        self.publisher.go_by(policy);
    }

    /// Whether [`reconcile`](Self::reconcile) has something to do although the registry is as it was.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.is_stale || self.reconciler.is_due(now)
    }

    /// Begins the books of seats whose first socket is about to enter.
    fn begin_books(&mut self, desired: &Desired) -> Vec<(WorkerId, Seat)> {
        let mut begun = Vec::new();
        for want in desired.sockets.values().filter(|want| want.chosen) {
            if let Some(seat) = want.seat
                && self.baselines.entry(want.worker).or_default().begin(self.steering.books(), seat)
            {
                begun.push((want.worker, seat));
            }
        }
        begun
    }

    /// Seats that no socket has come to after all are begun anew by the next.
    fn end_books(&mut self, desired: &Desired, begun: &[(WorkerId, Seat)]) {
        for (worker, seat) in begun {
            let here = |want: &&Want| want.worker == *worker && want.seat == Some(*seat);
            let mut here = desired.sockets.values().filter(here);
            if !here.any(|want| self.steering.held().is_member(want.cookie))
                && let Some(baselines) = self.baselines.get_mut(worker)
            {
                baselines.end(*seat);
            }
        }
    }

    /// Who sits where from now on; whoever is not named sits nowhere.
    pub(crate) fn arrange(&mut self, registry: &Registry) {
        let (taking, held) = (registry.taking(), self.steering.held().seats());
        let is_in = |set: &SeatSet, seat: Seat| set::contains(set, seat.0);
        let place = |(seat, holder): (Seat, Holder)| Place {
            seat,
            worker: holder.worker,
            joined: is_in(&taking, seat) && is_in(&held, seat),
            before: self.counted_before(holder.worker, seat),
        };
        self.places = registry.holders().map(place).collect();
    }

    fn counted_before(&self, worker: WorkerId, seat: Seat) -> Before {
        self.baselines.get(&worker).map_or(Before::default(), |baselines| baselines.before(seat))
    }

    /// What is not so yet in the maps, of sockets by their cookie: what it is about, why, and how often it was tried.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Object, &Failed)> {
        self.reconciler.pending()
    }

    /// Whether the kernel chooses from a listener.
    pub(crate) fn is_member(&self, cookie: u64) -> bool {
        self.steering.held().is_member(cookie)
    }

    /// A listener listens anew: the kernel side has just entered it as one that has never joined, and connections that migrate
    /// from it would not take their counts along.
    pub(crate) fn listens_anew(&mut self, cookie: u64) {
        self.is_stale |= self.steering.doubt(cookie);
    }

    /// Seats that get no new UDP flows while another in their group takes some.
    pub(crate) fn withhold(&mut self, seats: SeatSet) {
        self.is_stale |= self.withheld != seats;
        self.withheld = seats;
    }

    /// What the maps know of these sockets stays: it is not known whether they are gone.
    pub(crate) fn spare(&mut self, cookies: impl IntoIterator<Item = u64>) {
        self.reconciler.spare(cookies);
    }

    /// Whether a listener has gone within the last seconds: its connections may still be on their way to others.
    pub(crate) fn is_forgetting(&self) -> bool {
        self.reconciler.is_forgetting()
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
        let seated = self.places.iter().map(|&Place { seat, worker, joined, before }| {
            let (estimate, owed) = self.heard.of(worker).unzip();
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
        self.places.clear();
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
