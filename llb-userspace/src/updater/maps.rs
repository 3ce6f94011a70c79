//! Brings the maps to what a registry says, and shows what is not so yet.

use std::{error::Error, os::fd::OwnedFd};

use llb_common::{abi::SeatSet, set};

use super::{TakenSeat, Updater, counted::Before};
use crate::{
    model::{Instant, Seat, WorkerId},
    registry::{self, Desired, Failed, Holder, Object, Registry, Socket, Want},
};

/// What has come of bringing the maps to what a registry says. An example is [there](super).
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

/// What could not be written to the maps. An example is [there](super).
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

impl Updater {
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

    /// Which worker has which seat from now on. A worker that is not named has none.
    pub(crate) fn arrange(&mut self, registry: &Registry) {
        let (taking, held) = (registry.taking(), self.steering.held().seats());
        let is_in = |set: &SeatSet, seat: Seat| set::contains(set, seat.0);
        let taken = |(seat, holder): (Seat, Holder)| TakenSeat {
            seat,
            worker: holder.worker,
            joined: is_in(&taking, seat) && is_in(&held, seat),
            before: self.counted_before(holder.worker, seat),
        };
        self.taken = registry.holders().map(taken).collect();
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
}
