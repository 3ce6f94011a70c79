//! What a seat holds, and how long a new request would take there.

#[cfg(doc)]
use crate::abi::Seats;
use crate::{abi::Seat, track::CONCURRENT};

/// The least cost of a request, ns: below a microsecond differences are noise, and a cost of zero would make a queue
/// of any length look free.
pub const MIN_COST_NS: u64 = 1_000;

/// What a request costs a seat that is busy while nothing is known of any seat, ns: more than any that is known, so that nobody
/// waits there while another is idle. While it is idle itself it costs nothing, or it would never be known.
const UNKNOWN_NS: u64 = 1 << 30;

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
    /// How many of these are more than any worker has been seen to answer others beside ([`Seats::beside`]). A worker that waits at its
    /// listener has read them all, but it may be that each of its threads is taken by one.
    pub unproven: u64,
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
            unproven: 0,
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

    /// Only so many parked requests are known to hold up nobody: [`Seats::beside`].
    ///
    /// ```
    /// use llb_common::{abi::Seat, select::Load};
    ///
    /// let seat = Seat { begun: 4, passed: 4, ..Seat::default() };
    /// assert_eq!(Load::of(&seat, 0).beside(3).unproven, 1);
    /// ```
    #[must_use]
    #[inline(always)]
    pub const fn beside(self, beside: u64) -> Self {
        Load { unproven: above(self.parked, beside), ..self }
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
const fn serves_beside(service_ns: u64, queued_ns: u64) -> bool {
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
    // Each of these may be one that a new one has to wait for.
    before.wrapping_add(beside).wrapping_add((load.unproven & 0xffff).wrapping_mul(queued))
}

/// What is left of a request of this cost that has been served for `silent` ns: a little less with time, until it is
/// overdue; from then on soon as much again, as it is more likely to be a long one.
#[inline(always)]
pub(super) fn left_ns(cost: u64, silent: u64) -> u64 {
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
