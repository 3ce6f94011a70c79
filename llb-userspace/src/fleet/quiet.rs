//! Whose worker is to be looked at though no byte says that anything is wrong: pure, from what the kernel has counted.
//!
//! - Connections were given to a seat and nothing has ended there since: the server may be one that speaks first, or the
//!   clients have not sent yet. Only its accept queue tells whether it lives ([`Arrivals`]).
//! - A seat has nothing to do, and connections are open: a worker that serves in turn may stand still for one of them that
//!   its client keeps. One that waits for connections all the same does not, and is looked at no more ([`Keepers`]).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use llb_common::abi::{Seat as SeatBooks, SeatSet};

use crate::model::{Instant, Seat, WorkerId};

/// How long a connection may wait to be accepted until its listener is looked at: with 2 workers a core one waits that long
/// for its turn to run.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(20);

/// How long a seat has been quiet before its worker can be said to stand still: it may just be closing what it has answered.
const QUIET_FOR: Duration = Duration::from_millis(20);

/// Workers that are looked at in one tick, some hundred microseconds each.
const LOOKS: usize = 2;

/// What came to each seat since something has ended there.
#[derive(Debug, Default)]
pub struct Arrivals(HashMap<Seat, Arrived>);

#[derive(Clone, Copy, Debug)]
struct Arrived {
    ended: u64,
    charged: u64,
    since: Instant,
}

impl Arrivals {
    /// Whether the accept queue of a seat with these books is to be looked at; true once for each arrival.
    pub fn are_late(&mut self, seat: Seat, load: &SeatBooks, now: Instant) -> bool {
        let known = Arrived { ended: load.ended, charged: load.charged, since: now };
        let arrived = self.0.entry(seat).or_insert(known);
        if arrived.ended != load.ended || arrived.charged > load.charged {
            *arrived = known;
        } else if arrived.charged == load.charged {
            arrived.since = now;
        } else if now >= arrived.since.after(ACCEPTED_WITHIN) {
            *arrived = known;
            return true;
        }
        false
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
        let books = |charged, ended| SeatBooks { charged, ended, ..SeatBooks::default() };
        let seat = Seat(3);
        assert!(!arrivals.are_late(seat, &books(5, 5), at(0)));
        assert!(!arrivals.are_late(seat, &books(5, 5), at(9)));
        assert!(!arrivals.are_late(seat, &books(6, 5), at(10)));
        assert!(!arrivals.are_late(seat, &books(7, 5), at(28)));
        assert!(arrivals.are_late(seat, &books(7, 5), at(30)));
        assert!(!arrivals.are_late(seat, &books(7, 5), at(900)), "nothing came since");
        assert!(!arrivals.are_late(seat, &books(8, 5), at(910)));
        assert!(!arrivals.are_late(seat, &books(8, 6), at(931)), "something has ended");
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
