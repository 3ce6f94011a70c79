//! From what is known of each seat now to what the kernel's selector reads.

use std::time::Duration;

use llb_common::{abi::Seat as SeatBooks, policy::Policy, select, set, track};

use crate::{
    estimate::Estimate,
    kernel::{Books, Publication},
    model::{Instant, Seat},
    policy::{self, Table, View},
};

/// After this long without an answer, and with nothing in flight, what the kernel has measured of a worker says
/// nothing about it any more. Without this a worker that was slow once, as at its start, is passed over for ever,
/// because only an answer could mend its name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// A worker's seat, as the publisher needs to know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated<'a> {
    pub seat: Seat,
    /// Whether it may be chosen.
    pub joined: bool,
    /// What its worker has reported, if anything.
    pub estimate: Option<&'a Estimate>,
    /// Since when its worker owes an answer to a ping: [`crate::estimate::ping::Pinger::outstanding`].
    pub owed: Option<Instant>,
}

/// What was published last, and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    policy: Policy,
    views: Vec<View>,
    table: Table,
    turn: u64,
}

impl Publisher {
    pub(super) fn new(policy: Policy) -> Self {
        Publisher { policy, views: Vec::new(), table: policy::table(&[], Instant(0), 0), turn: 0 }
    }

    /// Publishes what is known of the seats at `now`.
    pub(super) fn publish<'a>(&mut self, books: &Books, seated: impl Iterator<Item = Seated<'a>>, now: Instant) {
        self.turn = self.turn.wrapping_add(1);
        self.views.clear();
        self.views.extend(seated.map(|seated| view(books, seated, now)));
        self.table = policy::table(&self.views, now, self.turn);
        let Table { least, near, cost_ns } = &self.table;
        books.publish(self.policy, &Publication { least: *least, near: *near, cost_ns }, now);
        books.rest(&set::of(self.views.iter().filter(|view| view.in_flight == 0).map(|view| view.seat.0)));
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn views(&self) -> &[View] {
        &self.views
    }
}

fn view(books: &Books, Seated { seat, joined, estimate, owed }: Seated<'_>, now: Instant) -> View {
    let mut counts = books.load(seat);
    if is_forgotten(&counts, now) {
        books.renew(seat);
        counts.service_ns = 0;
    }
    View {
        seat,
        estimate_ns: estimate.and_then(|estimate| estimate.get_at(now, owed)),
        at_least_ns: estimate.map_or(0, |estimate| estimate.at_least(now, owed)),
        kernel_ns: (counts.service_ns != 0).then_some(counts.service_ns),
        in_flight: select::given(&counts) + track::outstanding_at(&counts, now.0),
        progress_at: Instant(counts.progress_at),
        joined,
    }
}

/// Whether a seat has neither requests nor charges left. The selector does not look at a seat that has left its groups,
/// so charges that no request has settled are forgotten here only.
pub(super) fn is_drained(books: &Books, seat: Seat, now: Instant) -> bool {
    let books = books.seat(seat);
    select::in_flight(&books) == 0 && track::outstanding_at(&books, now.0) == 0
}

fn is_forgotten(books: &SeatBooks, now: Instant) -> bool {
    books.service_ns != 0 && select::given(books) == 0 && now >= Instant(books.progress_at).after(FORGOTTEN_AFTER)
}
