//! The choice of a seat: pure, integer only, the same code in the kernel, in the tests and in a simulation.
//!
//! `least-latency` takes the seat with the least expected completion time, [`expected_ns`]. It needs no report:
//! an idle seat beats a busy one of equal cost, a slow worker counts as slow, and a worker that is stuck in a long
//! request, or hangs, grows worse by the nanosecond because its progress stands still.

use crate::{
    abi::{NO_SEAT, Seat, SeatSet},
    policy::Policy,
    set,
    track::CONCURRENT,
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

/// The least cost of a request, ns: below a microsecond differences are noise, and a cost of zero would make a queue
/// of any length look free.
pub const MIN_COST_NS: u64 = 1_000;

/// What a request costs a seat that is busy while nothing is known of any seat, ns: more than any that is known, so that nobody
/// waits there while another is idle. While it is idle itself it costs nothing, or it would never be known.
const UNKNOWN_NS: u64 = 1 << 30;

/// Idle seats whose cost is below this are equal, ns: what they seem to differ by is how soon each has been woken.
pub const NEAR_NS: u64 = 200_000;

/// What it takes at most to wake a worker and to find it a processor, ns. Where a request that waits costs clearly less than one that
/// finds its worker idle and that costs more than this, waking is not why: the worker serves several requests at a time. Then
/// each seems to cost less the more there are, and one worker would draw them all (an event loop whose requests wait for 20 ms
/// had 95 of 100 of them).
const WAKING_NS: u64 = 1_000_000;

/// [`Load::since`] of a seat that has charges only: their requests are still on their way, and the worker is not late.
pub const NOT_SERVING: u64 = u64::MAX;

/// How long a worker that serves several requests at a time may go without an answer before it counts as stuck, in
/// costs, as a power of two: 64. One long request of forty does not hold up the others there, so its silence says little
/// (p99 of workers with four threads in the simulation: 4.7 times the ideal's if it counts at once, 1.2 with this).
const PATIENCE: u32 = 6;

/// And at most so long, ns: a worker that hangs is to be passed over within 50 ms.
const MOST_PATIENCE_NS: u64 = 40_000_000;

/// So many parked requests count at most, each as an eighth of a request ([`PARKED_SHIFT`]): whether they wait, or are worked on
/// beside others, as by threads or in small pieces, is not known. So of two workers that are as busy the one that holds fewer
/// comes first, and one that is idle comes before one that is busy, however many either holds: that one has half a request
/// left at the least. Counted as a quarter, two of them weigh as much as that half, and idle workers are passed over (p90 of
/// event loops with eight long polls in the simulation: 1.15 times the ideal's, and 1.00 with this).
const PARKED: u64 = 2;

/// See [`PARKED`], as a power of two.
const PARKED_SHIFT: u32 = 3;

/// The same for a worker that is idle: a 16th, so that of two such workers one poll more is a tie, whatever their costs seem to
/// differ by. With an eighth the one that held fewer had two thirds of all requests.
const PARKED_IDLE_SHIFT: u32 = 4;

/// What the choice knows of one seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests given since the last sign of life, and choices charged that have not yet become requests.
    pub requests: u64,
    /// When the seat last became busy or last answered, ns; [`NOT_SERVING`] if none is given.
    pub since: u64,
    /// What one request costs there if the seat is idle, ns.
    pub cost_ns: u64,
    /// What each one costs there if the seat is busy, ns; 0: as much. [`Load::or_like`] of one whose own cost is not known.
    pub queued_ns: u64,
    /// Whether the worker serves several requests at a time.
    pub concurrent: bool,
    /// Requests in flight that are parked: it holds them, and is not held by them.
    pub parked: u64,
}

impl Load {
    /// Reads a seat's books. `published_ns` is the published cost, or 0 where there is none that is fresh.
    #[must_use]
    #[inline(always)]
    pub fn of(seat: &Seat, published_ns: u64) -> Self {
        let concurrent = seat.overtaking > CONCURRENT || serves_beside(seat.service_ns, seat.queued_ns.into());
        let given = given(seat);
        Load {
            requests: given + outstanding(seat),
            since: if given == 0 { NOT_SERVING } else { seat.progress_at },
            cost_ns: if published_ns != 0 { published_ns } else { seat.service_ns },
            queued_ns: if published_ns != 0 || concurrent { 0 } else { seat.queued_ns.into() },
            concurrent,
            parked: above(in_flight(seat), given),
        }
    }
}

impl Load {
    /// If nothing is known of the seat, its requests are taken to cost what the first answer of another took, `first_ns`, which is 0
    /// as long as there is none. Otherwise a burst that comes with the first answer goes to whoever gave it (29 of 32 connections).
    #[must_use]
    #[inline(always)]
    pub const fn or_like(self, first_ns: u64) -> Self {
        if self.cost_ns == 0 { Load { queued_ns: first_ns, ..self } } else { self }
    }

    /// Requests in flight and choices charged: all that the seat holds.
    #[must_use]
    #[inline(always)]
    pub const fn held(&self) -> u64 {
        self.requests + self.parked
    }
}

/// Whether a request that waits costs so much less than one that finds the worker idle that it is served beside others.
#[must_use]
#[inline(always)]
pub const fn serves_beside(service_ns: u64, queued_ns: u64) -> bool {
    service_ns > WAKING_NS && queued_ns != 0 && queued_ns < service_ns - (service_ns >> 2)
}

/// Requests begun and not yet answered.
#[must_use]
#[inline(always)]
pub fn in_flight(seat: &Seat) -> u64 {
    above(seat.begun, seat.ended)
}

/// Requests that the worker was given since its last sign of life: what counts against it. The others in flight are
/// parked: a younger one has been answered, or the worker has been seen to wait for connections, so that it holds them
/// without being held by them (a long poll, a slow upload, a header that never ends, a stream).
#[must_use]
#[inline(always)]
pub fn given(seat: &Seat) -> u64 {
    // Never more than are in flight: what has ended above the watermark is counted at least once, not always exactly.
    less_of(above(seat.begun, seat.passed), in_flight(seat))
}

/// By how much `a` is above `b`, or 0; both below 2^63. Here and below without a branch, by the sign of a difference: the
/// kernel's verifier follows both ways of each for every seat that a choice looks at.
#[inline(always)]
const fn above(a: u64, b: u64) -> u64 {
    let difference = a.wrapping_sub(b);
    difference & !((difference as i64 >> 63) as u64)
}

/// The lesser of the two; both below 2^63.
#[inline(always)]
const fn less_of(a: u64, b: u64) -> u64 {
    a.wrapping_sub(above(a, b))
}

/// Choices charged that have neither become requests nor been forgotten.
#[must_use]
#[inline(always)]
pub fn outstanding(seat: &Seat) -> u64 {
    seat.charged.saturating_sub(seat.settled)
}

/// When a new request to this seat would be answered, in ns from `now`: its own cost if the seat is idle, otherwise
/// one cost of a busy seat for each request before it, and what is left of the one being served.
///
/// The two costs are the same for a worker that is as fast either way. Where requests are cheap and cores few they are not:
/// a worker that sleeps must be woken and wait for a core, one that is awake takes its next request for nothing, and so
/// a short queue there is the better choice (8 workers on 2 cores with 20 us each, p99 in the simulation: 90 us instead
/// of 630).
#[must_use]
#[inline(always)]
pub fn expected_ns(load: Load, now: u64) -> u64 {
    let idle = load.cost_ns.max(MIN_COST_NS);
    let queued = if load.queued_ns == 0 { idle } else { load.queued_ns.max(MIN_COST_NS) };
    // Below 2^16 requests and 2^47 ns (39 hours) nothing can wrap; the masks hold that without a branch.
    let queued = queued & ((1 << 47) - 1);
    let silent = now.saturating_sub(load.since) & ((1 << 62) - 1);
    let is_unknown = load.cost_ns | load.queued_ns == 0;
    let left = if is_unknown {
        silent
    } else if load.concurrent && silent >> PATIENCE < queued && silent < MOST_PATIENCE_NS {
        if silent < queued { queued - (silent >> 1) } else { queued }
    } else {
        left_ns(queued, silent)
    };
    let shift = if load.requests == 0 { PARKED_IDLE_SHIFT } else { PARKED_SHIFT };
    let beside = (queued >> shift).wrapping_mul(less_of(load.parked & ((1 << 62) - 1), PARKED));
    let each = if is_unknown { UNKNOWN_NS } else { queued };
    let before = if load.requests == 0 { idle } else { (load.requests & 0xffff).wrapping_mul(each).wrapping_add(left) };
    before.wrapping_add(beside)
}

/// What is left of a request of this cost that has been served for `silent` ns: a little less with time, until it is
/// overdue; from then on soon as much again, as it is more likely to be a long one.
#[inline(always)]
fn left_ns(cost: u64, silent: u64) -> u64 {
    let on_time = cost.saturating_sub(silent >> 1);
    let overdue = (silent << 1).saturating_sub(cost + (cost >> 1)).min(silent);
    on_time.max(overdue)
}

/// Whether an expectation of `a` is clearly better than one of `b`: by more than an eighth. Costs are estimates that
/// wander by some hundredths, so nearer ones are ties, and ties rotate with the start of the search.
#[must_use]
#[inline(always)]
pub fn clearly_better(a: u64, b: u64) -> bool {
    a < b - (b >> 3)
}

/// What a seat says about waiting at a worker that is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Awake {
    /// It is never worth it: an idle seat is as good as any.
    Never = 0,
    /// It may be, at another seat.
    Elsewhere = 1,
    /// It is, here.
    Here = 2,
}

/// Whether a seat that is busy would answer a new request sooner than it would if it were idle, and so sooner than any
/// that is near it. That is so where requests are cheap and workers must be woken and wait for a processor: the queue of
/// one that runs is shorter than the way to one that sleeps, and it saves the processor the switch. For the same reason a
/// tie is its.
#[must_use]
#[inline(always)]
pub fn awake(load: Load, now: u64) -> Awake {
    if load.queued_ns == 0 || !clearly_better(load.queued_ns.max(MIN_COST_NS).saturating_mul(2), load.cost_ns) {
        Awake::Never
    } else if load.requests != 0 && !clearly_better(load.cost_ns, expected_ns(load, now)) {
        Awake::Here
    } else {
        Awake::Elsewhere
    }
}

/// What a seat of kernel-measured cost `cost_ns` is taken to cost in a fleet whose median is `fleet_ns`: userspace
/// publishes it instead. Copies of one program that are eight times faster than half of their fellows are likely not
/// working at all: a worker that answers errors at once would draw all requests (nine of ten in the simulation, three
/// of a hundred with this). It counts as twice as slow as its fellows, so it is tried when they are busy, and its
/// cost is mended by what it does then.
#[must_use]
pub const fn believable_ns(cost_ns: u64, fleet_ns: u64) -> u64 {
    if cost_ns < fleet_ns / 8 { fleet_ns.saturating_mul(2) } else { cost_ns }
}

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
    Weight { weight, is_idle: load.requests == 0, is_awake }
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
