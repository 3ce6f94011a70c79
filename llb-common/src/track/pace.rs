//! What a seat's answers say of what a request costs there.

use super::Delta;
#[cfg(doc)]
use crate::abi::Seats;
use crate::{
    abi::Seat,
    select::{MIN_COST_NS, in_flight},
};

/// The centre of the seat's service times after one of `sample` ns: a step towards it of a sixty-fourth for each octave
/// between them, at least one and at most eight. One word of state, as in frugal streaming (Ma, Muthukrishnan,
/// Sandler, 2013), but the step grows with the distance's logarithm: a request that takes a hundred times longer moves
/// it by a tenth, and where half of the work is short and half is long it settles between them. A median proper wanders
/// from one half to the other there, and takes equal workers for unequal ones (p99 in the simulation: 50 ms, and 15
/// with this). The first [`FEW_SAMPLES`] go four times as far: what came first, as the answers to upgrades, may be an eighth
/// of what comes then.
#[must_use]
#[inline(always)]
pub fn centre_after(centre: u64, sample: u64, samples: u64) -> u64 {
    if centre == 0 {
        return sample;
    }
    let up = sample > centre;
    let (more, less) = if up { (sample, centre) } else { (centre, sample) };
    let octaves = u64::from((less | 1).leading_zeros() - (more | 1).leading_zeros());
    let part = if samples < FEW_SAMPLES { centre >> 4 } else { centre >> 6 };
    let step = part * if octaves < 7 { octaves + 1 } else { 8 };
    // One more upwards, so that a centre below 64 ns can rise.
    if up { centre + step + 1 } else { centre - step }
}

/// So many samples of a seat are few: a centre that is off by a factor of eight is found with half of them.
pub const FEW_SAMPLES: u64 = 32;

/// What a seat's answers say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// [`Seat::service_ns`].
    pub service_ns: u64,
    /// [`Seat::queued_ns`].
    pub queued_ns: u32,
    /// [`Seat::overtaking`].
    pub overtaking: u32,
    /// [`Seat::penalty`].
    pub penalty: u32,
    /// [`Seat::samples`].
    pub samples: u64,
}

impl Pace {
    /// As the books have it. A seat that has answered nothing, or whose answers have been forgotten, starts from
    /// `start_ns`, the fleet's median.
    #[must_use]
    #[inline(always)]
    pub fn of(seat: &Seat, start_ns: u64) -> Self {
        let (service_ns, queued_ns, samples) = if seat.service_ns == 0 {
            (penalized(start_ns, seat.penalty), 0, 0)
        } else {
            (seat.service_ns, seat.queued_ns, seat.samples)
        };
        Pace { service_ns, queued_ns, overtaking: seat.overtaking, penalty: seat.penalty, samples }
    }
}

/// A seat's pace after a change of its books at `now`; `before` are the books before the change. There are
/// four kinds of answers:
///
/// - Its request was parked, or waited at another worker: its time says nothing of what a request costs, unless the worker
///   serves several at a time, and it is no long poll.
/// - Its request found the seat idle: its time is a service time, with all that waking the worker takes.
/// - There was progress since its request began, so it waited: the time since that progress is what one more request
///   costs a worker that is awake. What it waited behind others is not held against the worker.
/// - There was none, although the seat was busy already: it overtook what was before it, which only a worker that serves
///   several at a time lets happen. Its time is a service time.
///
/// A failure makes the seat cost a quarter more, so that a worker which closes its connections at once, and hence
/// is always idle, does not draw those that the busy ones cannot take (25% of all in the simulation, 0.2% with this);
/// answers mend it, so a failure now and then costs little.
///
/// An answer that is an error is no sample, as failing is quick: it doubles a penalty on what the seat costs otherwise, from
/// a sixteenth, which is less than a tie, to seven times as much. Each answer that is none takes an eighth of it away. So an
/// error now and then costs nothing, and where all workers answer errors all cost the same multiple.
#[must_use]
#[inline(always)]
pub fn pace_after(pace: Pace, before: &Seat, delta: &Delta, now: u64) -> Pace {
    if delta.errors != 0 {
        let penalty = (pace.penalty * 2).clamp(PENALTY_MIN, PENALTY_MAX);
        let service_ns = penalized(without(pace.service_ns, pace.penalty), penalty);
        // What its queue cost while it answered says nothing of one that only fails.
        let queued_ns = if penalty < PENALTY_ONE { pace.queued_ns } else { 0 };
        Pace { service_ns, queued_ns, penalty, ..pace }
    } else if delta.answered > delta.untimed {
        let penalty = pace.penalty - pace.penalty.div_ceil(8);
        let known = Pace { service_ns: without(pace.service_ns, pace.penalty), ..pace };
        let parked = delta.ticket < before.alive || delta.born == u64::MAX;
        let unsampled = Pace { service_ns: without(before.service_ns, before.penalty), ..known };
        let sampled = if !parked {
            sampled(known, before, delta, now)
        } else if is_overtaken(&unsampled, delta, now) {
            served(unsampled, delta, now)
        } else {
            unsampled
        };
        Pace { service_ns: penalized(sampled.service_ns, penalty), penalty, ..sampled }
    } else if delta.failed != 0 {
        let least = pace.service_ns.max(FAILURE_MIN_NS);
        // What its queue cost while it answered says nothing now.
        Pace { service_ns: if least < FAILURE_MAX_NS { least + (least >> 2) } else { least }, queued_ns: 0, ..pace }
    } else {
        pace
    }
}

/// A seat's pace after an answer.
#[inline(always)]
fn sampled(pace: Pace, before: &Seat, delta: &Delta, now: u64) -> Pace {
    let progress_at = before.progress_at;
    let Pace { overtaking, samples, .. } = pace;
    // A server that speaks first begins and answers at once. What its greeting takes counts only while no request is known,
    // and for nothing once one is.
    let greets = delta.begun != 0;
    if greets && samples != 0 {
        return pace;
    }
    let only_greeted = !greets && samples == 0 && before.service_ns != 0;
    let (service_ns, queued_ns) = if only_greeted { (0, 0) } else { (pace.service_ns, pace.queued_ns) };
    let pace = Pace { service_ns, queued_ns, ..pace };
    if progress_at > delta.answered_since {
        let queued_ns = queued_after(service_ns, queued_ns, now.saturating_sub(progress_at).max(1));
        // What it costs a seat that is idle it does not say. If the worker serves several at a time that is a lot more, and to
        // take this for it draws all to the seat.
        let samples = if greets || service_ns == 0 { samples } else { samples.max(1) };
        Pace { queued_ns, overtaking: overtaking - (overtaking >> 8), samples, ..pace }
    } else if greets {
        Pace { service_ns: centre_after(service_ns, took_ns(delta, now), FEW_SAMPLES), ..pace }
    } else {
        let overtakes = delta.ticket == delta.born && older(before, delta) != 0;
        let more = if overtakes { (OVERTAKING_ALWAYS - overtaking) >> 3 } else { 0 };
        served(Pace { overtaking: overtaking + more, ..pace }, delta, now)
    }
}

/// How many requests are in flight, at least, that had begun before the one that has been answered.
#[inline(always)]
fn older(before: &Seat, delta: &Delta) -> u64 {
    in_flight(before).saturating_sub(before.begun.saturating_sub(delta.ticket))
}

/// Beside how many older requests one has been answered, as [`Seats::beside`] counts; 0 if there was no such answer. `before` are the
/// seat's books before it. What has moved here from another worker was not there when they began.
///
/// ```
/// use llb_common::{
///     abi::Seat,
///     track::{Delta, beside},
/// };
///
/// let before = Seat { begun: 3, ..Seat::default() };
/// let answer = Delta { answered: 1, ended: 1, ticket: 2, born: 2, ..Delta::default() };
/// assert_eq!(beside(&before, &answer), 2);
/// ```
#[must_use]
#[inline(always)]
pub fn beside(before: &Seat, delta: &Delta) -> u64 {
    let tells = delta.answered > delta.untimed && delta.errors == 0 && delta.born != u64::MAX;
    if tells { older(before, delta) } else { 0 }
}

/// A seat's pace after an answer that took all of its time.
#[inline(always)]
fn served(pace: Pace, delta: &Delta, now: u64) -> Pace {
    let service_ns = centre_after(pace.service_ns, took_ns(delta, now), pace.samples);
    let samples = if pace.samples >= FEW_SAMPLES { pace.samples } else { pace.samples + 1 };
    Pace { service_ns, samples, ..pace }
}

/// Whether a parked request was one like the others, at a worker that serves several at a time. There the shorter ones overtake, and
/// parked are all that are not among the shortest: without them a worker seems to take less the more it has.
#[inline(always)]
fn is_overtaken(pace: &Pace, delta: &Delta, now: u64) -> bool {
    pace.overtaking > CONCURRENT && delta.born != u64::MAX && took_ns(delta, now) >> LONG < pace.service_ns
}

/// What takes so many times the cost, as a power of two, is a long poll: 32 times. With 8 times one of four workers of HTTP/2 with
/// eight streams a connection has two thirds of the requests; with 64 a pool of threads is slower by a tenth (p90 in the simulation).
const LONG: u32 = 5;

/// How long the request took that has been answered.
#[inline(always)]
fn took_ns(delta: &Delta, now: u64) -> u64 {
    now.saturating_sub(delta.answered_since).max(1)
}

/// [`Seat::queued_ns`] after a request that waited for `sample` ns behind others.
#[inline(always)]
fn queued_after(service_ns: u64, queued_ns: u32, sample: u64) -> u32 {
    let so_far = if queued_ns != 0 {
        queued_ns.into()
    } else if service_ns != 0 {
        service_ns
    } else {
        sample
    };
    at_most_u32(mean_after(so_far, sample))
}

/// What a seat costs that would cost `ns` without its errors.
#[inline(always)]
fn penalized(ns: u64, penalty: u32) -> u64 {
    if penalty == 0 { ns } else { ns.min(RAISED_MAX_NS) * u64::from(PENALTY_ONE + penalty) / u64::from(PENALTY_ONE) }
}

/// What a seat that costs `ns` would cost without its errors.
#[inline(always)]
fn without(ns: u64, penalty: u32) -> u64 {
    if penalty == 0 {
        ns
    } else {
        ns.min(RAISED_MAX_NS) * u64::from(PENALTY_ONE) / u64::from(PENALTY_ONE + penalty.min(PENALTY_MAX))
    }
}

/// A [`Seat::penalty`] that doubles the cost.
const PENALTY_ONE: u32 = 256;

/// More than any cost, ns, and so little that no product overflows.
const RAISED_MAX_NS: u64 = 1 << 48;

/// The penalty of one error: half a tie, so that one error alone moves nothing.
const PENALTY_MIN: u32 = PENALTY_ONE / 16;

/// The greatest penalty: eight times the cost. An idle worker that fails is tried again when the others have eight requests
/// each, so one that has recovered is found, and those that find it so mend it.
const PENALTY_MAX: u32 = 7 * PENALTY_ONE;

/// [`Seat::overtaking`] if every answer overtakes. It grows by an eighth of what is missing with each that does, and sinks
/// by a 256th with each that waited.
pub const OVERTAKING_ALWAYS: u32 = 1 << 16;

/// Above this a worker counts as one that serves several requests at a time: if one answer of two hundred overtakes. Where
/// requests are served in turn none does.
pub const CONCURRENT: u32 = OVERTAKING_ALWAYS / 8;

/// A running mean after a sample, which counts a 32nd, and at most as four times the mean. A mean, as a queue costs the
/// sum of its requests: where half of them are short and half are long, a centre between them makes a long one look
/// overdue (p99 in the simulation: 1.85 times the ideal's, 1.28 with this). At most four times, so that one long request
/// does not spoil it. Never below the least cost: of a few ns a 32nd is nothing, and the mean would never grow again.
#[inline(always)]
fn mean_after(mean: u64, sample: u64) -> u64 {
    let at_most = if sample >> 2 > mean { mean << 2 } else { sample };
    (mean - (mean >> 5) + (at_most >> 5)).max(MIN_COST_NS)
}

/// A seat's [`Seat::handshake_us`] after a handshake whose round trip was `sample_us`.
#[must_use]
#[inline(always)]
pub fn handshake_after(handshake_us: u32, sample_us: u32) -> u32 {
    at_most_u32(centre_after(handshake_us.into(), sample_us.max(1).into(), FEW_SAMPLES))
}

#[inline(always)]
const fn at_most_u32(word: u64) -> u32 {
    if word > u32::MAX as u64 { u32::MAX } else { word as u32 }
}

/// What a seat costs at least when it has failed, ns. A worker that has only ever failed has no service time to grow
/// from; from a millisecond it is beyond any worker's median within a score of failures.
pub(super) const FAILURE_MIN_NS: u64 = 1_000_000;

/// What a seat costs at most because it fails, ns: ten seconds is worse than any that answers.
pub(super) const FAILURE_MAX_NS: u64 = 10_000_000_000;
