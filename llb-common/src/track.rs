//! The books of one connection: what the kernel sees of it, turned into changes of its seat's counters.
//!
//! A connection is *fresh* from its establishment until its first byte, *busy* from a request's first byte in to the
//! first byte out, and *idle* between requests. A fresh one is held by the charge that its choice left on the seat,
//! not by a request: a browser's pre-connection that never sends would otherwise make its worker look hung. The
//! charge is forgotten within 20 ms ([`crate::select::ROLL_NS`]), the request never.
//!
//! So: an upload counts from its first byte to the answer's; a server that speaks first answers at once; an answer
//! that begins before its request has ended leaves the rest of the upload to count as a request that ends with the
//! next byte out or the close; a half-closed connection stays busy until it is answered or closed.

use crate::{
    abi::{Conn, Seat},
    select::{ROLL_NS, outstanding},
};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Nothing in flight.
    #[default]
    Idle = 0,
    /// Established; no byte has come or gone.
    Fresh = 1,
    /// A request is in flight.
    Busy = 2,
    /// Closed: its books are closed as well.
    Closed = 3,
    /// The same, by a reset while it held a request. Whose reset it was says the packet that goes out, or does not.
    Reset = 4,
}

/// Who closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// Its worker, by a FIN.
    Worker,
    /// Its client.
    Client,
    /// Either, by a reset.
    Reset,
}

/// A worker that closes a connection within this time without a byte in either direction has failed, ns: it did not wait
/// for the request. Later than that it has waited long enough, and the client is to blame: servers give clients
/// seconds.
pub const HASTY_NS: u64 = 1_000_000_000;

/// Changes of a seat's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// For [`Seat::opened`].
    pub opened: u64,
    /// For [`Seat::closed`].
    pub closed: u64,
    /// For [`Seat::begun`].
    pub begun: u64,
    /// For [`Seat::ended`].
    pub ended: u64,
    /// For [`Seat::settled`].
    pub settled: u64,
    /// For [`Seat::answered`].
    pub answered: u64,
    /// For [`Seat::failed`].
    pub failed: u64,
    /// When the request that ended began, ns; 0 if none was answered.
    pub answered_since: u64,
}

const NOTHING: Delta =
    Delta { opened: 0, closed: 0, begun: 0, ended: 0, settled: 0, answered: 0, failed: 0, answered_since: 0 };

/// What an event does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The connection's next phase. The kernel sets it by compare-and-swap from the phase that was looked at, and
    /// drops the step if another CPU was faster, so nothing is counted twice.
    pub phase: Phase,
    /// The connection's next [`Conn::since`].
    pub since: u64,
    /// What its seat changes.
    pub delta: Delta,
}

/// The connection is established.
#[must_use]
#[inline(always)]
pub fn established(now: u64) -> Step {
    Step { phase: Phase::Fresh, since: now, delta: Delta { opened: 1, ..NOTHING } }
}

/// Whether payload that comes in would begin a request; asked of every packet, before anything is read from it.
#[must_use]
#[inline(always)]
pub fn may_begin(conn: &Conn) -> bool {
    conn.phase == IDLE || conn.phase == FRESH
}

/// Whether payload that goes out would answer a request.
#[must_use]
#[inline(always)]
pub fn may_answer(conn: &Conn) -> bool {
    conn.phase == BUSY || conn.phase == FRESH
}

/// Payload has come in.
#[must_use]
#[inline(always)]
pub fn bytes_in(conn: &Conn, now: u64) -> Option<Step> {
    let settled = match conn.phase {
        FRESH => settles(conn, now),
        IDLE => 0,
        _ => return None,
    };
    Some(Step { phase: Phase::Busy, since: now, delta: Delta { begun: 1, settled, ..NOTHING } })
}

/// Payload goes out.
#[must_use]
#[inline(always)]
pub fn bytes_out(conn: &Conn, now: u64) -> Option<Step> {
    let (begun, settled) = match conn.phase {
        FRESH => (1, settles(conn, now)),
        BUSY => (0, 0),
        _ => return None,
    };
    let delta = Delta { begun, settled, ended: 1, answered: 1, answered_since: conn.since, ..NOTHING };
    Some(Step { phase: Phase::Idle, since: now, delta })
}

/// The connection closes.
#[must_use]
#[inline(always)]
pub fn closing(conn: &Conn, closer: Closer, now: u64) -> Option<Step> {
    let (ended, settled, blame) = match conn.phase {
        FRESH => (0, settles(conn, now), now.saturating_sub(conn.since) < HASTY_NS),
        BUSY => (1, 0, true),
        IDLE => (0, 0, false),
        _ => return None,
    };
    let phase = if blame && matches!(closer, Closer::Reset) { Phase::Reset } else { Phase::Closed };
    let failed = u64::from(blame && matches!(closer, Closer::Worker));
    Some(Step { phase, since: now, delta: Delta { closed: 1, ended, settled, failed, ..NOTHING } })
}

/// Whether a reset that goes out would say whose fault a close was.
#[must_use]
#[inline(always)]
pub fn may_fail(conn: &Conn) -> bool {
    conn.phase == RESET
}

/// A reset goes out: so it was the worker who closed. It has always been preceded by [`closing`].
#[must_use]
#[inline(always)]
pub fn reset_out(conn: &Conn, now: u64) -> Option<Step> {
    may_fail(conn).then_some(Step { phase: Phase::Closed, since: now, delta: Delta { failed: 1, ..NOTHING } })
}

/// The connection has moved to another seat while it waited: what its old seat, and what its new one, must change.
/// The new seat was charged when it was chosen; that charge stays with a fresh connection.
#[must_use]
#[inline(always)]
pub fn moved(conn: &Conn) -> (Delta, Delta) {
    match conn.phase {
        BUSY => (Delta { closed: 1, ended: 1, ..NOTHING }, Delta { opened: 1, begun: 1, settled: 1, ..NOTHING }),
        FRESH => (Delta { closed: 1, ..NOTHING }, Delta { opened: 1, ..NOTHING }),
        IDLE => (Delta { closed: 1, ..NOTHING }, Delta { opened: 1, settled: 1, ..NOTHING }),
        _ => (NOTHING, NOTHING),
    }
}

/// The centre of the seat's service times after one of `sample` ns: a step towards it of a sixty-fourth for each octave
/// between them, at least one and at most eight. One word of state, as in frugal streaming (Ma, Muthukrishnan,
/// Sandler, 2013), but the step grows with the distance's logarithm: a request that takes a hundred times longer moves
/// it by a tenth, and where half of the work is short and half is long it settles between them. A median proper wanders
/// from one half to the other there, and takes equal workers for unequal ones (p99 in the simulation: 50 ms, and 15
/// with this).
#[must_use]
#[inline(always)]
pub fn centre_after(centre: u64, sample: u64) -> u64 {
    if centre == 0 {
        return sample;
    }
    let up = sample > centre;
    let (more, less) = if up { (sample, centre) } else { (centre, sample) };
    let octaves = u64::from((less | 1).leading_zeros() - (more | 1).leading_zeros());
    let step = (centre >> 6) * if octaves < 7 { octaves + 1 } else { 8 };
    // One more upwards, so that a centre below 64 ns can rise.
    if up { centre + step + 1 } else { centre - step }
}

/// What a seat's requests take: its estimates, as they change with each answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// [`Seat::service_ns`]
    pub service_ns: u64,
    /// [`Seat::woken_ns`]
    pub woken_ns: u32,
    /// [`Seat::awake_ns`]
    pub awake_ns: u32,
}

/// A seat's pace after a change of its books at `now`. The service time of an answer runs from the later of its
/// request's first byte and the worker's last progress: what a request waits behind others is not held against the
/// worker. A failure makes the seat cost a quarter more, so that a worker which closes its connections at once, and
/// hence is always idle, does not draw those that the busy ones cannot take (25% of all in the simulation, 0.2% with
/// this); answers mend it, so a failure now and then costs little.
#[must_use]
#[inline(always)]
pub fn pace_after(pace: Pace, progress_at: u64, delta: &Delta, now: u64) -> Pace {
    if delta.answered != 0 {
        let waited = progress_at > delta.answered_since;
        let since = if waited { progress_at } else { delta.answered_since };
        let sample = now.saturating_sub(since).max(1);
        let short = if sample < MOST_NS { sample } else { MOST_NS };
        let service_ns = centre_after(pace.service_ns, sample);
        if waited {
            Pace { service_ns, awake_ns: mean_after(pace.awake_ns.into(), short) as u32, ..pace }
        } else {
            let woken = centre_after(pace.woken_ns.into(), short);
            Pace { service_ns, woken_ns: if woken < MOST_NS { woken as u32 } else { MOST_NS as u32 }, ..pace }
        }
    } else if delta.failed != 0 {
        let least = if pace.service_ns < FAILURE_MIN_NS { FAILURE_MIN_NS } else { pace.service_ns };
        Pace { service_ns: if least < FAILURE_MAX_NS { least + (least >> 2) } else { least }, ..pace }
    } else {
        pace
    }
}

/// A mean that forgets: a sixteenth of the way towards each sample. Not robust, and not meant to be: where one request
/// of a hundred takes a hundred times longer, that is what waiting behind others costs.
#[inline(always)]
fn mean_after(mean: u64, sample: u64) -> u64 {
    if mean == 0 { sample } else { mean - (mean >> 4) + (sample >> 4) + 1 }
}

/// The most that a `u32` of nanoseconds holds, about 4 s. Longer times are no matter of waking up.
const MOST_NS: u64 = u32::MAX as u64;

/// What a seat costs at least when it has failed, ns. A worker that has only ever failed has no service time to grow
/// from; from a millisecond it is beyond any worker's median within a score of failures.
const FAILURE_MIN_NS: u64 = 1_000_000;

/// What a seat costs at most because it fails, ns: ten seconds is worse than any that answers.
const FAILURE_MAX_NS: u64 = 10_000_000_000;

/// Whether it is time to forget charges.
#[must_use]
#[inline(always)]
pub fn is_due(seat: &Seat, now: u64) -> bool {
    now.saturating_sub(seat.rolled_at) >= ROLL_NS
}

/// Forgets charges that are due, as the books' reader sees them; the seat's `settled`, `mark` and `rolled_at` change.
#[must_use]
#[inline(always)]
pub fn rolled(seat: &Seat, now: u64) -> Seat {
    // Long silence: everything is older than two rolls.
    let due = if now.saturating_sub(seat.rolled_at) < 2 * ROLL_NS { seat.mark } else { seat.charged };
    Seat { settled: seat.settled.max(due).min(seat.charged), mark: seat.charged, rolled_at: now, ..*seat }
}

/// Charges that are outstanding at `now`, whether or not those that are due have been forgotten yet.
#[must_use]
pub fn outstanding_at(seat: &Seat, now: u64) -> u64 {
    outstanding(&if is_due(seat, now) { rolled(seat, now) } else { *seat })
}

const IDLE: u32 = Phase::Idle as u32;
const FRESH: u32 = Phase::Fresh as u32;
const BUSY: u32 = Phase::Busy as u32;
const RESET: u32 = Phase::Reset as u32;

/// A charge older than one roll may have been forgotten already; settling it again would hide another's.
#[inline(always)]
fn settles(conn: &Conn, now: u64) -> u64 {
    if now.saturating_sub(conn.since) < ROLL_NS { 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::select::{in_flight, outstanding};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn apply(seat: &mut Seat, delta: Delta) {
        seat.opened += delta.opened;
        seat.closed += delta.closed;
        seat.begun += delta.begun;
        seat.ended += delta.ended;
        seat.settled += delta.settled;
        seat.answered += delta.answered;
        seat.failed += delta.failed;
    }

    fn take(conn: &mut Conn, step: Option<Step>) -> Delta {
        let Some(step) = step else { return NOTHING };
        conn.phase = step.phase as u32;
        conn.since = step.since;
        step.delta
    }

    #[test]
    fn a_request_and_its_answer() {
        let (mut conn, mut seat) = (Conn::default(), Seat { charged: 1, ..Seat::default() });
        apply(&mut seat, take(&mut conn, Some(established(10))));
        assert_eq!((in_flight(&seat), outstanding(&seat)), (0, 1));
        let step = bytes_in(&conn, 20);
        apply(&mut seat, take(&mut conn, step));
        assert_eq!((in_flight(&seat), outstanding(&seat)), (1, 0));
        let step = bytes_out(&conn, 30);
        assert_eq!(step.unwrap().delta.answered_since, 20);
        apply(&mut seat, take(&mut conn, step));
        assert_eq!(in_flight(&seat), 0);
        let step = closing(&conn, Closer::Worker, 40);
        apply(&mut seat, take(&mut conn, step));
        assert_eq!((seat.opened, seat.closed, seat.failed), (1, 1, 0));
    }

    #[test]
    fn what_may_step_is_what_does() {
        for phase in 0..6 {
            let conn = Conn { phase, ..Conn::default() };
            assert_eq!(may_begin(&conn), bytes_in(&conn, 0).is_some());
            assert_eq!(may_answer(&conn), bytes_out(&conn, 0).is_some());
            assert_eq!(may_fail(&conn), reset_out(&conn, 0).is_some());
        }
    }

    #[test]
    fn a_server_that_speaks_first_answers_at_once() {
        let conn = Conn { phase: FRESH, since: 5, ..Conn::default() };
        let step = bytes_out(&conn, 9).unwrap();
        assert_eq!((step.delta.begun, step.delta.ended, step.delta.settled, step.delta.answered_since), (1, 1, 1, 5));
    }

    #[test]
    fn a_preconnection_is_no_request() {
        let conn = Conn { phase: FRESH, since: 5, ..Conn::default() };
        let step = closing(&conn, Closer::Client, 10 * ROLL_NS).unwrap();
        assert_eq!((step.delta.begun, step.delta.ended, step.delta.settled), (0, 0, 0));
    }

    #[test]
    fn a_close_without_an_answer_is_a_failure_of_the_worker_only() {
        let busy = Conn { phase: BUSY, ..Conn::default() };
        for (closer, failed) in [(Closer::Worker, 1), (Closer::Client, 0), (Closer::Reset, 0)] {
            let delta = closing(&busy, closer, 2).unwrap().delta;
            assert_eq!((delta.ended, delta.failed), (1, failed));
        }
    }

    #[test]
    fn a_reset_is_a_failure_of_the_worker_if_it_goes_out() {
        for (phase, failed) in [(BUSY, 1), (FRESH, 1), (IDLE, 0)] {
            let mut conn = Conn { phase, since: 1, ..Conn::default() };
            let step = closing(&conn, Closer::Reset, 2);
            assert_eq!(take(&mut conn, step).failed, 0);
            let step = reset_out(&conn, 3);
            assert_eq!(take(&mut conn, step).failed, failed);
            assert_eq!(reset_out(&conn, 4), None, "it is counted once");
        }
    }

    #[test]
    fn who_does_not_wait_for_the_request_has_failed_and_who_has_waited_has_not() {
        let fresh = Conn { phase: FRESH, since: 5, ..Conn::default() };
        let failed = |closer, now| closing(&fresh, closer, now).unwrap().delta.failed;
        assert_eq!((failed(Closer::Worker, 6), failed(Closer::Worker, 5 + HASTY_NS)), (1, 0));
        assert_eq!(failed(Closer::Client, 6), 0);
    }

    #[test]
    fn charges_are_forgotten_at_the_second_roll() {
        let mut seat = Seat { charged: 100_000, rolled_at: ROLL_NS, ..Seat::default() };
        assert!(is_due(&seat, 2 * ROLL_NS));
        seat = Seat { charged: 100_007, ..rolled(&seat, 2 * ROLL_NS) };
        assert_eq!((seat.settled, seat.mark), (0, 100_000));
        assert!(!is_due(&seat, 2 * ROLL_NS + 1));
        assert_eq!(outstanding(&rolled(&seat, 3 * ROLL_NS)), 7);
    }

    fn centre_of(samples: impl IntoIterator<Item = u64>) -> u64 {
        samples.into_iter().fold(0, centre_after)
    }

    #[test]
    fn one_long_request_does_not_spoil_the_centre() {
        let centre = centre_of([5_000, 5_100, 200_000, 4_900, 5_000]);
        assert!((4_500..5_500).contains(&centre), "{centre}");
    }

    #[test]
    fn between_two_halves_the_centre_stays() {
        // Pairs of a Thue-Morse sequence: no drift, and no rhythm.
        let samples = (0_u32..20_000).map(|turn| if turn.count_ones() % 2 == 0 { 100_000 } else { 5_000_000 });
        let centre = centre_of(samples);
        assert!((300_000..1_500_000).contains(&centre), "{centre}");
    }

    #[test]
    fn a_worker_that_becomes_ten_times_slower_is_known_after_a_hundred_requests() {
        let centre = centre_of([5_000_000; 50].into_iter().chain([50_000_000; 100]));
        assert!((40_000_000..51_000_000).contains(&centre), "{centre}");
        assert_eq!(centre_of([1; 10]), 1);
    }

    #[test]
    fn a_worker_that_fails_soon_costs_more_than_one_that_answers() {
        let failure = Delta { ended: 1, failed: 1, ..NOTHING };
        let failed = |service_ns| pace_after(Pace { service_ns, ..Pace::default() }, 0, &failure, 50_000).service_ns;
        let mut service = 5_000_000;
        for _ in 0..16 {
            service = failed(service);
        }
        assert!(service > 100_000_000, "{service}");
        for _ in 0..100 {
            service = failed(service);
        }
        assert!(service < 2 * FAILURE_MAX_NS);
        assert!(failed(0) > FAILURE_MIN_NS);
    }

    #[test]
    fn a_failure_now_and_then_is_mended_by_answers() {
        let failure = Delta { ended: 1, failed: 1, ..NOTHING };
        let answer = Delta { ended: 1, answered: 1, answered_since: 0, ..NOTHING };
        let mut pace = Pace { service_ns: 5_000_000, ..Pace::default() };
        for turn in 0..1_000 {
            pace = pace_after(pace, 0, if turn % 10 == 0 { &failure } else { &answer }, 5_000_000);
        }
        assert!((4_000_000..8_000_000).contains(&pace.service_ns), "{pace:?}");
    }

    proptest! {
        #[test]
        fn the_centre_never_leaves_what_was_seen_by_more_than_an_eighth(
            samples in proptest::collection::vec(1u64..1 << 50, 1..200),
        ) {
            let (least, most) = (*samples.iter().min().unwrap(), *samples.iter().max().unwrap());
            let centre = centre_of(samples);
            prop_assert!(centre >= least - least / 8 && centre <= most + most / 8 + 1, "{centre}");
        }

        /// Any order of events on any number of connections, some of them moved, leaves the books at zero.
        #[test]
        fn the_books_balance(events in proptest::collection::vec((0usize..8, 0u8..6, 0usize..3), 0..400)) {
            let mut seats = [Seat::default(); 3];
            let mut conns: Vec<Option<Conn>> = Vec::from([None; 8]);
            let mut now = 1;
            for (index, event, target) in events {
                now += 1_000_000;
                let Some(mut conn) = conns[index] else {
                    let mut conn = Conn { seat: target as u32, ..Conn::default() };
                    seats[target].charged += 1;
                    apply(&mut seats[target], take(&mut conn, Some(established(now))));
                    conns[index] = Some(conn);
                    continue;
                };
                let seat = conn.seat as usize;
                let step = match event {
                    0 | 1 => bytes_in(&conn, now),
                    2 | 3 => bytes_out(&conn, now),
                    4 => closing(&conn, [Closer::Worker, Closer::Client, Closer::Reset][target], now),
                    _ => {
                        seats[target].charged += 1;
                        let (leaves, joins) = moved(&conn);
                        apply(&mut seats[target], joins);
                        conn.seat = target as u32;
                        apply(&mut seats[seat], leaves);
                        None
                    }
                };
                apply(&mut seats[seat], take(&mut conn, step));
                conns[index] = if conn.phase >= Phase::Closed as u32 { None } else { Some(conn) };
                for seat in &seats {
                    prop_assert!(seat.ended <= seat.begun && seat.closed <= seat.opened, "{seat:?}");
                }
            }
            for conn in conns.iter_mut().flatten() {
                let step = closing(conn, Closer::Client, now);
                apply(&mut seats[conn.seat as usize], take(conn, step));
            }
            for seat in &seats {
                prop_assert_eq!((seat.begun, seat.opened), (seat.ended, seat.closed));
            }
        }
    }
}
