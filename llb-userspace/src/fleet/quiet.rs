//! Whose worker is to be looked at though no byte says that anything is wrong: pure, from what the kernel has counted.
//!
//! - Connections have come to a seat and nothing has ended there since: the server may be one that speaks first, or the
//!   clients have not sent yet. Only its accept queue shows whether it lives ([`Arrivals`]).
//! - A seat has nothing to do, and connections are open: a worker that serves in turn may stand still for one of them that
//!   its client keeps. One that waits for connections all the same does not, and is looked at no more ([`Keepers`]).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use llb_common::abi::SeatSet;

use crate::model::{Instant, Seat, WorkerId};

/// How long a connection may wait to be accepted until its listener is looked at: with 2 workers a core one waits that long
/// for its turn to run.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(20);

/// How long a seat has been quiet before its worker can be said to stand still: it may just be closing what it has answered.
const QUIET_FOR: Duration = Duration::from_millis(20);

/// Workers that are looked at in one tick, some hundred microseconds each.
const LOOKS: usize = 2;

/// The connections of each seat that have sent nothing yet.
#[derive(Debug, Default)]
pub struct Arrivals(HashMap<Seat, Arrived>);

/// Those counters of a seat that this goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections established: from then on one waits to be accepted.
    pub opened: u64,
    /// Requests ended. A server that speaks first begins one and ends it at once.
    pub ended: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    counts: Counts,
    /// Connections that came, less what has ended since.
    unheard: u64,
    /// When the first of them came, or something ended after that.
    since: Instant,
}

impl Arrivals {
    /// Whether the accept queue of a seat is to be looked at; true once for each arrival.
    pub fn are_late(&mut self, seat: Seat, counts: Counts, now: Instant) -> bool {
        let known = self.0.entry(seat).or_insert(Arrived { counts, unheard: 0, since: now });
        let came = counts.opened.saturating_sub(known.counts.opened);
        let ended = counts.ended.saturating_sub(known.counts.ended);
        let unheard = (known.unheard + came).saturating_sub(ended);
        let since = if known.unheard == 0 || ended > 0 { now } else { known.since };
        let is_late = unheard > 0 && now >= since.after(ACCEPTED_WITHIN);
        *known = Arrived { counts, unheard: if is_late { 0 } else { unheard }, since };
        is_late
    }
}

/// A seat with nothing to do and connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// The seat.
    pub seat: Seat,
    /// Whose it is.
    pub worker: WorkerId,
    /// When something has happened there last.
    pub progress_at: Instant,
}

/// Who stands still for a connection that is kept.
#[derive(Debug, Default)]
pub struct Keepers {
    held: BTreeSet<Seat>,
    /// Workers that have been seen to wait for connections beside those that they have.
    free: HashSet<WorkerId>,
    looked: Option<Seat>,
}

impl Keepers {
    /// Which of the quiet workers to look at, in turn. One that is not quiet any more does not stand still any more.
    pub fn due(&mut self, quiet: &[Quiet], now: Instant) -> Vec<Quiet> {
        let is_quiet = |quiet: &&Quiet| now >= quiet.progress_at.after(QUIET_FOR);
        let mut candidates: Vec<Quiet> =
            quiet.iter().filter(is_quiet).filter(|quiet| !self.free.contains(&quiet.worker)).copied().collect();
        self.held.retain(|seat| candidates.iter().any(|quiet| quiet.seat == *seat));
        candidates.sort_by_key(|quiet| quiet.seat);
        let next = candidates.iter().position(|quiet| Some(quiet.seat) > self.looked).unwrap_or(0);
        candidates.rotate_left(next);
        candidates.truncate(LOOKS);
        self.looked = candidates.last().map(|quiet| quiet.seat);
        candidates
    }

    /// A worker sleeps, and not for connections.
    pub fn stands_still(&mut self, seat: Seat) {
        self.held.insert(seat);
    }

    /// A worker waits for connections.
    pub fn waits(&mut self, worker: WorkerId) {
        self.free.insert(worker);
    }

    /// What a worker does is not known, or it does something.
    pub fn is_not_known(&mut self, seat: Seat) {
        self.held.remove(&seat);
    }

    /// A worker is no more.
    pub fn forget(&mut self, worker: WorkerId) {
        self.free.remove(&worker);
    }

    /// The seats whose workers stand still.
    #[must_use]
    pub fn held(&self) -> SeatSet {
        llb_common::set::of(self.held.iter().map(|seat| seat.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    #[test]
    fn an_arrival_is_looked_at_once_if_nothing_ends() {
        let mut arrivals = Arrivals::default();
        let mut late = |opened, ended, ms| arrivals.are_late(Seat(3), Counts { opened, ended }, at(ms));
        assert!(!late(5, 5, 0));
        assert!(!late(5, 5, 9));
        assert!(!late(6, 5, 10));
        assert!(!late(7, 5, 28));
        assert!(late(7, 5, 30));
        assert!(!late(7, 5, 900), "nothing came since");
        assert!(!late(8, 5, 910));
        assert!(!late(8, 6, 931), "it was answered");
    }

    #[test]
    fn an_answer_to_another_hides_no_arrival() {
        let mut arrivals = Arrivals::default();
        let mut late = |opened, ended, ms| arrivals.are_late(Seat(3), Counts { opened, ended }, at(ms));
        assert!(!late(0, 0, 0));
        assert!(!late(2, 0, 10));
        assert!(!late(2, 1, 25));
        assert!(!late(2, 1, 40));
        assert!(late(2, 1, 45));
        assert!(!late(3, 9, 60), "what has ended before an arrival says nothing of it");
        assert!(!late(4, 9, 70));
        assert!(late(4, 9, 90));
    }

    fn quiet(seat: u32) -> Quiet {
        Quiet { seat: Seat(seat), worker: WorkerId(u64::from(seat)), progress_at: at(0) }
    }

    #[test]
    fn the_quiet_are_looked_at_in_turn() {
        let mut keepers = Keepers::default();
        let all = [quiet(0), quiet(1), quiet(2)];
        let mut look = || keepers.due(&all, at(20)).iter().map(|quiet| quiet.seat.0).collect::<Vec<_>>();
        assert_eq!([look(), look(), look()], [[0, 1], [2, 0], [1, 2]]);
        assert_eq!(keepers.due(&all, at(19)), []);
    }

    #[test]
    fn whoever_waits_beside_its_connections_is_looked_at_no_more() {
        let mut keepers = Keepers::default();
        keepers.waits(WorkerId(0));
        assert_eq!(keepers.due(&[quiet(0), quiet(1)], at(20)), [quiet(1)]);
    }

    #[test]
    fn whoever_stands_still_does_so_until_something_happens() {
        let mut keepers = Keepers::default();
        keepers.stands_still(Seat(1));
        keepers.due(&[quiet(1)], at(20));
        assert_eq!(keepers.held(), [2, 0, 0, 0]);
        keepers.due(&[Quiet { progress_at: at(25), ..quiet(1) }], at(30));
        assert_eq!(keepers.held(), [0; 4]);
    }
}
