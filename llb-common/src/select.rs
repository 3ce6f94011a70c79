//! The choice of a seat: pure, integer only, the same code in the kernel, in the tests and in a simulation.
//!
//! `least-latency` takes the seat with the least expected completion time, [`expected_ns`]. It needs no report:
//! an idle seat beats a busy one of equal cost, a slow worker counts as slow, and a worker that is stuck in a long
//! request, or hangs, grows worse by the nanosecond because its progress stands still.

mod load;

pub use self::load::{
    Awake, Load, MIN_COST_NS, NOT_SERVING, awake, believable_ns, clearly_better, expected_ns, given, in_flight,
    outstanding,
};
use crate::{
    abi::{NO_SEAT, SeatSet},
    policy::Policy,
    set,
};

/// Seats that one choice looks at before it is content with an idle one, from a random start. While all that it has
/// met are busy it goes on, up to the whole group: with 256 workers at 90% load sixteen busy ones in a row are met by
/// one choice in five, and each of them would put a short request behind another (p99 in the simulation: 161 ms
/// instead of 7).
pub const VISIT: u32 = 16;

/// Published costs older than this are ignored, ns: a hundred missed publishes say that the master hangs or is gone.
pub const STALE_AFTER_NS: u64 = 1_000_000_000;

/// A charge is forgotten at the second roll after it, so after one to two of these, ns; of longer ones where clients are
/// far away ([`crate::track::roll_ns`]). Charges are there to part connections that come together, and those come within
/// milliseconds. A longer memory loses much to connections that never send: with half a second and as many silent
/// connections as requests the choice is worse than a hash.
pub const ROLL_NS: u64 = 10_000_000;

/// The longest time between two rolls, ns: a handshake that takes longer has lost packets.
pub const ROLL_MAX_NS: u64 = 1_000_000_000;

/// Idle seats whose cost is below this are equal, ns: what they seem to differ by is how soon each has been woken.
pub const NEAR_NS: u64 = 200_000;

/// Where the choice reads what it needs; in the kernel, the maps.
pub trait Fleet {
    /// The seat at a place of the group; `place` is below the group's count.
    fn member(&self, place: u32) -> u32;
    /// A seat's load.
    fn load(&self, seat: u32) -> Load;
    /// Whether a seat is a member of the group.
    fn has(&self, seat: u32) -> bool;
    /// Members that were idle when last looked at, and that are [`near`] the least cost if `near_only`. It is a hint: a
    /// seat that is missing is found by the search.
    fn idle(&self, near_only: bool) -> SeatSet;
    /// Seats that have the fewest open connections, members or not, if that is known: of idle ones they come first.
    #[inline(always)]
    fn fewest(&self) -> SeatSet {
        [0; 4]
    }
    /// The seat that was chosen last, if it is a member and [`near`] the least cost; otherwise [`NO_SEAT`].
    fn last(&self) -> u32;
    /// Takes a seat out of the idle ones; false if it was not in, as another choice has just taken it.
    fn claim(&self, seat: u32) -> bool;
    /// [`awake`] of a seat; here and below the kernel puts a function that its verifier takes for itself.
    #[inline(always)]
    fn awake(&self, seat: u32, now: u64) -> Awake {
        awake(self.load(seat), now)
    }
    /// [`Load::held`] of a seat.
    #[inline(always)]
    fn held(&self, seat: u32, _now: u64) -> u64 {
        self.load(seat).held()
    }
    /// [`weigh`] of a seat.
    #[inline(always)]
    fn weigh(&self, seat: u32, by_count: bool, now: u64) -> Weight {
        weigh(self.load(seat), by_count, now)
    }
    /// [`set::draw`]
    #[inline(always)]
    fn draw(&self, set: &SeatSet, turn: u32) -> Option<u32> {
        set::draw(set, turn)
    }
    /// Calls [`Search::step`] `times` times, or until it says that the search is over. The kernel's verifier follows
    /// every way through a loop that it can see, 4^15 of them here, so there it is a helper that loops.
    #[inline(always)]
    fn search(&self, search: &mut Search, times: u32, now: u64) {
        for before in 0..times {
            if search.step(self, before, now) {
                return;
            }
        }
    }
}

/// What a seat is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// [`expected_ns`], or only the number of its requests; the less the better.
    pub weight: u64,
    /// Whether it has nothing to do.
    pub is_idle: bool,
    /// Whether it is busy and [`Awake::Here`].
    pub is_awake: bool,
}

/// What a seat of this load is judged by.
#[must_use]
#[inline(always)]
pub fn weigh(load: Load, by_count: bool, now: u64) -> Weight {
    let weight = if by_count { load.requests } else { expected_ns(load, now) };
    let is_awake = !by_count && matches!(awake(load, now), Awake::Here);
    Weight { weight, is_idle: load.requests | load.unproven == 0, is_awake }
}

/// The search for the seat with the least expected completion time, as far as it has come.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Search {
    best_weight: u64,
    best: u32,
    best_is_idle: u32,
    place: u32,
    count: u32,
    by_count: u32,
}

impl Search {
    #[inline(always)]
    fn start(fleet: &impl Fleet, policy: Policy, count: u32, turn: u32, now: u64) -> Self {
        let place = turn % count;
        let best = fleet.member(place);
        let by_count = matches!(policy, Policy::LeastInflight);
        let Weight { weight, is_idle, .. } = fleet.weigh(best, by_count, now);
        Search { best_weight: weight, best, best_is_idle: is_idle.into(), place, count, by_count: by_count.into() }
    }

    /// Looks at the next seat; true if that is enough: one that is awake answers soon. `before` is
    /// how many steps were taken before this one: a number that the loop knows anyway. One kept here would be followed by
    /// the verifier from value to value.
    #[inline(always)]
    pub fn step(&mut self, fleet: &(impl Fleet + ?Sized), before: u32, now: u64) -> bool {
        self.place = if self.place + 1 >= self.count { 0 } else { self.place + 1 };
        let seat = fleet.member(self.place);
        let Weight { weight, is_idle, is_awake } = fleet.weigh(seat, self.by_count != 0, now);
        // Nobody needs to take turns at waiting: of two busy ones the better is better, by however little. So among equal ones
        // it is that which has been at its request for longest.
        let both_busy = !is_idle && self.best_is_idle == 0;
        if (both_busy && weight < self.best_weight) || clearly_better(weight, self.best_weight) {
            self.best = seat;
            self.best_weight = weight;
            self.best_is_idle = is_idle.into();
        }
        // What is awake is as good as its own kind, and below this as good as any. The count: with the seat that the search
        // started from, `before` and this one.
        (is_awake && weight <= NEAR_NS) || (before + 2 >= VISIT && self.best_is_idle != 0)
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This seat; `first` if it is the policy's first choice.
    Seat {
        /// The seat's index.
        seat: u32,
        /// Whether no other was preferred to the first choice.
        first: bool,
    },
    /// The kernel's hash, because that is the policy.
    Hash,
    /// The group has no seats.
    NoSeat,
}

/// Chooses a seat of a group that has `count` of them. `least` is the published least-latency seat or [`NO_SEAT`];
/// `turn` is any number that changes from choice to choice: the next one for `round-robin`, a random one otherwise.
#[inline(always)]
pub fn choose(policy: Policy, fleet: &impl Fleet, count: u32, least: u32, turn: u32, now: u64) -> Choice {
    if count == 0 {
        return Choice::NoSeat;
    }
    match policy {
        Policy::Hash => Choice::Hash,
        Policy::RoundRobin => Choice::Seat { seat: fleet.member(turn % count), first: true },
        Policy::Argmin if least != NO_SEAT && fleet.has(least) => Choice::Seat { seat: least, first: true },
        Policy::Argmin => Choice::Seat { seat: fleet.member(turn % count), first: false },
        Policy::LeastLatency | Policy::LeastInflight => {
            let seat = least_loaded(policy, fleet, count, least, turn, now);
            Choice::Seat { seat, first: seat == least }
        }
    }
}

#[inline(always)]
fn least_loaded(policy: Policy, fleet: &impl Fleet, count: u32, least: u32, turn: u32, now: u64) -> u32 {
    let by_count = matches!(policy, Policy::LeastInflight);
    let last = if by_count { NO_SEAT } else { fleet.last() };
    let awake = if last == NO_SEAT { Awake::Never } else { fleet.awake(last, now) };
    if matches!(awake, Awake::Here) {
        return last;
    }
    // An idle seat of nearly the least cost: nothing can be clearly better, so nobody else needs to be looked at.
    if matches!(awake, Awake::Never)
        && let Some(seat) = fleet.draw(&preferred(fleet, !by_count), turn)
        && fleet.claim(seat)
        && fleet.held(seat, now) == 0
    {
        return seat;
    }
    let mut search = Search::start(fleet, policy, count, turn, now);
    fleet.search(&mut search, count - 1, now);
    // The published seat is always a candidate, also where the search did not come by.
    if !by_count
        && least != NO_SEAT
        && fleet.has(least)
        && clearly_better(fleet.weigh(least, false, now).weight, search.best_weight)
    {
        return least;
    }
    search.best
}

/// The idle seats with the fewest open connections, or if those are busy, all that are idle: connections that are kept and
/// hardly ever ask are seen as idle ones only, and would lie as the dice fall.
#[inline(always)]
fn preferred(fleet: &impl Fleet, near_only: bool) -> SeatSet {
    let (idle, fewest) = (fleet.idle(false), fleet.fewest());
    let both = [idle[0] & fewest[0], idle[1] & fewest[1], idle[2] & fewest[2], idle[3] & fewest[3]];
    if both[0] | both[1] | both[2] | both[3] == 0 { fleet.idle(near_only) } else { both }
}

/// The seats whose cost is not clearly above the least of them all.
#[must_use]
pub fn near(costs: impl Iterator<Item = (u32, u64)> + Clone) -> SeatSet {
    let Some(least) = costs.clone().map(|(_, cost)| cost).min() else { return [0; 4] };
    let least = least.max(NEAR_NS);
    set::of(costs.filter(|(_, cost)| !clearly_better(least, *cost)).map(|(seat, _)| seat))
}

#[cfg(test)]
mod tests;
