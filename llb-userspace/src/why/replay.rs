//! Makes a choice again, and keeps what it looked at.

use std::cell::{Cell, RefCell};

use llb_common::{
    abi::{NO_SEAT, SeatSet},
    policy::Policy,
    select::{Awake, Choice, Fleet, Load, Weight, awake, choose, weigh},
    set,
    why::{Look, Sample},
};

use super::{Verdict, weighed};

/// By which way a choice came to its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The seat that was chosen last is awake: nobody else was looked at.
    Awake,
    /// An idle seat was drawn: of the others it is known whether they are idle, too.
    Drawn,
    /// Seats were weighed one by one.
    Searched,
}

/// A choice that has been made again.
#[derive(Debug)]
pub(super) struct Replay {
    /// The seat it takes.
    pub seat: Option<u32>,
    pub path: Path,
    weighed: SeatSet,
    /// The idle seats that one was drawn from.
    drawn_from: SeatSet,
}

/// What the choice reads.
struct Noted<'a> {
    sample: &'a Sample,
    weighed: RefCell<SeatSet>,
    drawn_from: Cell<SeatSet>,
    path: Cell<Path>,
}

impl Noted<'_> {
    fn looks(&self) -> &[Look] {
        &self.sample.looks[..self.sample.count as usize]
    }
}

impl Fleet for Noted<'_> {
    fn member(&self, place: u32) -> u32 {
        self.looks().get(place as usize).map_or(NO_SEAT, |look| look.seat)
    }

    fn load(&self, seat: u32) -> Load {
        self.looks().iter().find(|look| look.seat == seat).map(Look::load).unwrap_or_default()
    }

    fn has(&self, seat: u32) -> bool {
        self.looks().iter().any(|look| look.seat == seat)
    }

    fn idle(&self, near_only: bool) -> SeatSet {
        if near_only { self.sample.near } else { self.sample.idle }
    }

    fn fewest(&self) -> SeatSet {
        self.sample.fewest
    }

    fn last(&self) -> u32 {
        self.sample.last
    }

    fn claim(&self, _: u32) -> bool {
        self.path.set(Path::Drawn);
        true
    }

    fn awake(&self, seat: u32, now: u64) -> Awake {
        awake(self.load(seat), now)
    }

    fn weigh(&self, seat: u32, by_count: bool, now: u64) -> Weight {
        self.path.set(Path::Searched);
        let mut weighed_seats = self.weighed.borrow_mut();
        if let Some(word) = weighed_seats.get_mut(seat as usize / 64) {
            *word |= set::bit(seat);
        }
        weigh(weighed(self.load(seat), self.sample.flags), by_count, now)
    }

    fn draw(&self, set: &SeatSet, turn: u32) -> Option<u32> {
        self.drawn_from.set(*set);
        set::draw(set, turn)
    }
}

impl Replay {
    pub(super) fn of(sample: &Sample) -> Self {
        let noted =
            Noted { sample, weighed: RefCell::default(), drawn_from: Cell::default(), path: Cell::new(Path::Awake) };
        let policy = Policy::from_u32(sample.policy);
        let seat = match choose(policy, &noted, sample.count, sample.least, sample.turn, sample.at) {
            Choice::Seat { seat, .. } => Some(seat),
            Choice::Hash | Choice::NoSeat => None,
        };
        Replay { seat, path: noted.path.get(), weighed: noted.weighed.into_inner(), drawn_from: noted.drawn_from.get() }
    }

    /// What the choice made of a seat that it did not take.
    pub(super) fn verdict(&self, seat: u32, sample: &Sample) -> Verdict {
        let is_in = |set: &SeatSet| set::contains(set, seat);
        let drew = self.path == Path::Drawn;
        match self.path {
            Path::Searched if is_in(&self.weighed) => Verdict::Later,
            _ if !drew => Verdict::NotLookedAt,
            _ if is_in(&self.drawn_from) => Verdict::NotDrawn,
            _ if !is_in(&sample.idle) => Verdict::Busy,
            // Those near the least cost come first, unless some have fewer connections.
            _ if is_in(&sample.near) || self.drawn_from != sample.near => Verdict::MoreOpen,
            _ => Verdict::Dearer,
        }
    }
}
