//! From what is known of each seat now to what the kernel's selector reads.

use std::time::Duration;

use llb_common::{
    abi::{Seat as SeatBooks, SeatSet},
    policy::Policy,
    select, set, track,
};

use super::{counted::Before, gone::Gone};
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

/// The same for one that is not much slower than its fellows, as then a trial costs little: a few answers in a bad moment of
/// the machine would leave it out for seconds.
const FORGOTTEN_SOON_AFTER: Duration = Duration::from_millis(500);

/// So many answers of a worker count for nothing: its first are slow, as code is loaded and compiled then (Node's take
/// 15 ms, and 4 later).
const FRESH_ANSWERS: u64 = 4;

/// After this long an eighth of what workers have been seen to hold beside others has to be seen again.
const BESIDE_FOR: Duration = Duration::from_secs(60);

/// The words that the publisher shares with the kernel; in the simulation, with what stands for it.
pub trait Ledger {
    /// A seat's books.
    fn seat(&self, seat: Seat) -> SeatBooks;
    /// Forgets a seat's service time.
    fn renew(&self, seat: Seat);
    /// Publishes at `now`.
    fn publish(&self, policy: Policy, publication: &Publication<'_>, now: Instant);
    /// Says which seats have the fewest open connections, until they have `level`.
    fn prefer(&self, fewest: &SeatSet, level: u64);
    /// Puts seats among the idle ones.
    fn rest(&self, idle: &SeatSet);
    /// [`llb_common::abi::Seats::beside`]
    fn beside(&self) -> u64;
    /// Sets it.
    fn set_beside(&self, beside: u64);
}

impl Ledger for Books {
    fn seat(&self, seat: Seat) -> SeatBooks {
        self.seat(seat)
    }

    fn renew(&self, seat: Seat) {
        self.renew(seat);
    }

    fn publish(&self, policy: Policy, publication: &Publication<'_>, now: Instant) {
        self.publish(policy, publication, now);
    }

    fn prefer(&self, fewest: &SeatSet, level: u64) {
        self.prefer(fewest, level);
    }

    fn rest(&self, idle: &SeatSet) {
        self.rest(idle);
    }

    fn beside(&self) -> u64 {
        self.beside()
    }

    fn set_beside(&self, beside: u64) {
        self.set_beside(beside);
    }
}

/// A worker's seat, as the publisher needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Seated<'a> {
    /// The seat.
    pub seat: Seat,
    /// Whether it may be chosen.
    pub joined: bool,
    /// What its worker has reported, if anything.
    pub estimate: Option<&'a Estimate>,
    /// Since when its worker owes an answer to a ping: [`crate::estimate::ping::Pinger::outstanding`].
    pub owed: Option<Instant>,
    /// What it had counted for others.
    pub before: Before,
    /// Whether its worker stands still for a connection that it keeps.
    pub held: bool,
}

/// What was published last, and what it was made of.
#[derive(Clone, Debug)]
pub struct Publisher {
    policy: Policy,
    views: Vec<View>,
    table: Table,
    turn: u64,
    /// Seats whose answers did not count yet when they were last looked at.
    fresh: SeatSet,
    gone: Gone,
    /// Whether the cost of a request is known of any: what only greetings have cost says nothing then.
    asked: bool,
    /// When [`llb_common::abi::Seats::beside`] was lowered last.
    lowered: Instant,
}

impl Publisher {
    /// One that has published nothing.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Publisher {
            policy,
            views: Vec::new(),
            table: policy::table(&[], Instant(0), 0),
            turn: 0,
            fresh: [0; 4],
            gone: Gone::new(),
            asked: false,
            lowered: Instant(0),
        }
    }

    /// Publishes another policy from now on.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Publishes what is known of the seats at `now`.
    pub fn publish<'a>(&mut self, books: &impl Ledger, seated: impl Iterator<Item = Seated<'a>>, now: Instant) {
        self.turn = self.turn.wrapping_add(1);
        if now >= self.lowered.after(BESIDE_FOR) {
            self.lowered = now;
            let beside = books.beside();
            books.set_beside(beside - beside.div_ceil(8));
        }
        let fleet_ns = policy::fleet_ns(&self.views);
        let Publisher { views, table, fresh, gone, asked, .. } = self;
        let was_asked = std::mem::take(asked);
        views.clear();
        views.extend(seated.map(|seated| {
            let is_left_out = !set::contains(&table.near, seated.seat.0);
            let mut counts = books.seat(seated.seat);
            *asked |= counts.samples != 0;
            let has_only_greeted = counts.samples == 0 && !has_failed(&counts, seated.before);
            if was_asked && has_only_greeted {
                counts.service_ns = 0;
            }
            let view = view(books, counts, seated, fresh, if is_left_out { fleet_ns } else { 0 }, now);
            View { gone: gone.at(seated.seat, counts.closed.saturating_sub(seated.before.closed), now), ..view }
        }));
        self.fresh = set::of(self.views.iter().filter(|view| view.fresh).map(|view| view.seat.0));
        self.table = policy::table(&self.views, now, self.turn);
        let Table { least, near, fewest, level, cost_ns } = &self.table;
        books.publish(self.policy, &Publication { least: *least, near: *near, cost_ns }, now);
        books.prefer(fewest, *level);
        books
            .rest(&set::of(self.views.iter().filter(|view| view.in_flight + view.parked == 0).map(|view| view.seat.0)));
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn views(&self) -> &[View] {
        &self.views
    }
}

fn view(
    books: &impl Ledger,
    mut counts: SeatBooks,
    seated: Seated<'_>,
    were_fresh: &SeatSet,
    left_out_of_ns: u64,
    now: Instant,
) -> View {
    let Seated { seat, joined, estimate, owed, before, held } = seated;
    let fresh = is_fresh(&counts, before);
    // What it has learned of its first answers is of no use from here on.
    let has_warmed_up = !fresh && set::contains(were_fresh, seat.0);
    if has_warmed_up || is_forgotten(&counts, left_out_of_ns, now) {
        books.renew(seat);
        counts.service_ns = 0;
    }
    let load = select::Load::of(&counts, 0).beside(books.beside());
    View {
        seat,
        estimate_ns: estimate.and_then(|estimate| estimate.get_at(now, owed)),
        at_least_ns: estimate.map_or(0, |estimate| estimate.at_least(now, owed)),
        kernel_ns: (counts.service_ns != 0).then_some(counts.service_ns),
        in_flight: select::given(&counts) + track::outstanding_at(&counts, now.0),
        progress_at: Instant(counts.progress_at),
        joined,
        fresh,
        few: counts.samples < track::FEW_SAMPLES && !has_failed(&counts, before),
        held,
        parked: load.parked,
        unproven: load.unproven,
        open: counts.opened.saturating_sub(counts.closed),
        opened: counts.opened,
        ended: counts.ended,
        gone: 0,
    }
}

/// Whether a worker has answered next to nothing yet, and failed at nothing.
fn is_fresh(books: &SeatBooks, before: Before) -> bool {
    books.answered < before.answered + FRESH_ANSWERS && books.failed <= before.failed
}

/// Whether a worker's cost is raised for what it has failed at.
fn has_failed(books: &SeatBooks, before: Before) -> bool {
    books.failed > before.failed || books.penalty != 0
}

/// Whether a seat has neither requests nor charges left. The selector does not look at a seat that has left its groups,
/// so charges that no request has settled are forgotten here only.
pub(super) fn is_drained(books: &Books, seat: Seat, now: Instant) -> bool {
    let books = books.seat(seat);
    select::in_flight(&books) == 0 && track::outstanding_at(&books, now.0) == 0
}

/// Whether a seat has no charges left.
pub(super) fn is_settled(books: &Books, seat: Seat, now: Instant) -> bool {
    track::outstanding_at(&books.seat(seat), now.0) == 0
}

/// Whether what is known of a seat says nothing any more. `left_out_of_ns` is what the fleet's middle worker costs if this
/// one is left out as a slower one.
fn is_forgotten(books: &SeatBooks, left_out_of_ns: u64, now: Instant) -> bool {
    // One that fails has not merely been slow.
    let may_soon = books.service_ns < 2 * left_out_of_ns && books.failed == 0 && books.penalty == 0;
    let after = if may_soon { FORGOTTEN_SOON_AFTER } else { FORGOTTEN_AFTER };
    books.service_ns != 0 && select::given(books) == 0 && now >= Instant(books.progress_at).after(after)
}
