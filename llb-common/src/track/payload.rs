//! From what a segment says to a step.

use core::hint::black_box;

use super::{BUSY, Delta, FRESH, IDLE, Phase, Step, bytes_in, bytes_out, nothing, settles};
use crate::{
    abi::{Conn, Words},
    track::HASTY_NS,
    wire::{
        self, ALERT, ALONE, ANSWERED, ASKED, COUNTED, HTTP2, LINES, MULTIPLEXED, ONE_WAY, OPAQUE, REPLIED, SENDS,
        SHAKES, SPOKEN, STREAMS_AT, TLS, UNSURE, protocol, sends_only,
    },
};

/// Who sends again this long after the first payload, and has never had an answer, seems not to wait for one, ns: a line of
/// a log, or a measurement. Who sends one request in several pieces mostly does so without pauses.
pub(crate) const ONE_WAY_NS: u64 = 50_000_000;

/// A worker that ends a connection which has never been answered, this long after its payload came, has not failed, ns:
/// what came may have wanted no answer.
const UNANSWERED_NS: u64 = 1_000_000_000;

/// The time between two signs of life that an opaque connection shows, ns: each is written where other CPUs read.
const SIGN_NS: u64 = 1_000_000;

/// New payload has come in. `alive` is [`crate::abi::Seat::alive`] of the connection's seat.
#[must_use]
#[inline(always)]
pub fn payload_in(conn: &Conn, words: &Words, alive: u64, now: u64) -> Option<Step> {
    let state = conn.state & !words.clears | words.sets;
    if conn.phase > BUSY {
        return None;
    }
    let kind = protocol(state);
    if kind == HTTP2 {
        return streams_in(conn, state, words, now);
    }
    if words.opaque != 0 {
        return Some(give_up(conn, now));
    }
    if sends_only(state) {
        return sends_on(conn, state, words, now);
    }
    if is_shaken(conn, state) {
        // What has come with the end of the handshake takes its place.
        let (phase, ended) = if words.begins == 0 { (Phase::Idle, 1) } else { (Phase::Busy, 0) };
        return Some(Step { phase, state, since: now, delta: Delta { ended, ticket: conn.ticket, ..nothing() } });
    }
    if words.begins != 0 && conn.phase == BUSY {
        if kind == TLS && state & UNSURE != 0 {
            // The client goes on, so what went out was the answer.
            let delta = Delta { begun: 1, ended: 1, answered: 1, untimed: 1, ..nothing() };
            return Some(Step { phase: Phase::Busy, state: state & !UNSURE | ANSWERED, since: now, delta });
        }
        if kind == TLS && state & (MULTIPLEXED | ANSWERED) == MULTIPLEXED {
            // What came before it may have been the preface alone, long ago.
            let delta = Delta { begun: 1, ended: 1, ..nothing() };
            return Some(Step { phase: Phase::Busy, state, since: now, delta });
        }
        let is_late = now.saturating_sub(conn.since) >= ONE_WAY_NS;
        if kind == LINES && state & ANSWERED == 0 && is_late {
            let step = give_up(conn, now);
            return Some(Step { state: step.state | ONE_WAY, ..step });
        }
        // The client goes on without the answer, and so does the worker: nobody waits for it.
        if matches!(kind, LINES | TLS) && state & ANSWERED != 0 && is_late && conn.ticket < alive {
            let delta = Delta { ended: 1, ticket: conn.ticket, ..nothing() };
            return Some(Step { phase: Phase::Idle, state: state | SENDS, since: now, delta });
        }
    }
    let step = if words.begins == 0 { None } else { bytes_in(conn, now) };
    step.map(|step| Step { state, ..step }).or_else(|| restated(conn, state))
}

/// New payload goes out.
#[must_use]
#[inline(always)]
pub fn payload_out(conn: &Conn, words: &Words, now: u64) -> Option<Step> {
    let state = conn.state & !words.clears | words.sets;
    if conn.phase > BUSY {
        return None;
    }
    let kind = protocol(state);
    if sends_only(state) {
        return Some(replied(state, now));
    }
    if kind == OPAQUE && state & ONE_WAY != 0 {
        // It was a slow upload, or a request behind others: its client asks, and is answered.
        let Conn { ticket, born, .. } = *conn;
        let delta = Delta { answered: 1, untimed: 1, ticket, born, ..nothing() };
        return Some(Step { phase: Phase::Idle, state: LINES | ANSWERED, since: now, delta });
    }
    if kind == OPAQUE {
        let delta = Delta { alive: 1, ..nothing() };
        let due = now.saturating_sub(conn.since) >= SIGN_NS;
        return due.then_some(Step { phase: Phase::Idle, state, since: now, delta });
    }
    if kind == HTTP2 && (conn.phase != BUSY || protocol(conn.state) == HTTP2) {
        return streams_out(conn, state, words, now);
    }
    if words.opaque != 0 && words.answers == 0 {
        return Some(give_up(conn, now));
    }
    if conn.phase == BUSY && (words.ends != 0 || is_shaken(conn, state)) {
        // What had begun was a handshake, or a preface.
        let delta = Delta { ended: 1, alive: 1, ticket: conn.ticket, ..nothing() };
        return Some(Step { phase: Phase::Idle, state, since: now, delta });
    }
    let answers = words.answers != 0 && (conn.phase == BUSY || kind == LINES);
    let step = if answers { bytes_out(conn, now) } else { None };
    let Some(step) = step else {
        // The worker has taken the handshake up.
        let alive = u64::from(wire::shakes_hands(conn) && state & !conn.state & SPOKEN != 0);
        return restated(conn, state).map(|step| Step { delta: Delta { alive, ..step.delta }, ..step });
    };
    // What an upgrade takes says nothing of what a request costs.
    let (errors, untimed) = (u64::from(words.error != 0), u64::from(words.untimed | words.opaque != 0));
    let state = if words.opaque != 0 { OPAQUE } else { state | ANSWERED };
    Some(Step { state, delta: Delta { errors, untimed, ..step.delta }, ..step })
}

/// A client that waits for no answers sends again. Once without an answer is a request that may be answered yet, twice is not.
#[inline(always)]
fn sends_on(conn: &Conn, state: u32, words: &Words, now: u64) -> Option<Step> {
    let is_first = state & ASKED == 0;
    if words.begins == 0 || (!is_first && now.saturating_sub(conn.since) < ONE_WAY_NS) {
        return restated(conn, state);
    }
    let state = if is_first { state | ASKED } else { state & !(REPLIED | ASKED) };
    Some(Step { phase: Phase::Idle, state, since: now, delta: nothing() })
}

/// A client that waits for no answers gets one. The first is one of many that it has not waited for, as to a ping. If what
/// comes next is answered as well, or one answer comes after the other, its requests count again. Without a branch: the
/// kernel's verifier would follow each way of it to the end.
#[inline(always)]
fn replied(state: u32, now: u64) -> Step {
    let (has_replied, has_asked) = (black_box(u32::from(state & REPLIED != 0)), u32::from(state & ASKED != 0));
    let one = u64::from((has_replied ^ 1) | has_asked);
    let delta = Delta { begun: one, ended: one, answered: one, untimed: one, alive: 1, ..nothing() };
    let state = (state | REPLIED) & !((SENDS | REPLIED | ASKED) * has_replied);
    Step { phase: Phase::Idle, state, since: now, delta }
}

/// Whether the handshake that a connection is in is over in this state.
#[inline(always)]
fn is_shaken(conn: &Conn, state: u32) -> bool {
    wire::shakes_hands(conn) && state & SHAKES == 0
}

/// Nothing but the state changes, if that does.
#[inline(always)]
fn restated(conn: &Conn, state: u32) -> Option<Step> {
    let phase = match conn.phase {
        FRESH => Phase::Fresh,
        BUSY => Phase::Busy,
        _ => Phase::Idle,
    };
    (state != conn.state).then_some(Step { phase, state, since: conn.since, delta: nothing() })
}

/// The connection becomes opaque: what it held has ended, and nobody knows how.
#[inline(always)]
fn give_up(conn: &Conn, now: u64) -> Step {
    let settled = if conn.phase == FRESH { settles(conn, now) } else { 0 };
    let delta = Delta { ended: wire::in_flight(conn).into(), settled, ..nothing() };
    Step { phase: Phase::Idle, state: OPAQUE, since: now, delta }
}

/// The most streams that are counted.
const STREAMS_MAX: u32 = u16::MAX as u32;

#[inline(always)]
fn streams_in(conn: &Conn, state: u32, words: &Words, now: u64) -> Option<Step> {
    let before = conn.state >> STREAMS_AT;
    let begun = words.begins.min(STREAMS_MAX - before);
    // Some of those before may have ended where it could not be read.
    let lost = if words.opaque != 0 { before } else { 0 };
    let ended = words.ends.saturating_add(lost).min(before + begun);
    let left = before + begun - ended;
    let mut state = state & !(STREAMS_MAX << STREAMS_AT) | left << STREAMS_AT;
    if begun != 0 {
        state = if before == 0 && begun == 1 { state & !COUNTED | ALONE } else { state & !ALONE };
    }
    if left == 0 {
        state &= !(ALONE | COUNTED);
    }
    if begun | ended == 0 {
        return restated(conn, state);
    }
    let phase = if left == 0 { Phase::Idle } else { Phase::Busy };
    let since = if before == 0 { now } else { conn.since };
    let settled = if conn.phase == FRESH { settles(conn, now) } else { 0 };
    let delta = Delta { begun: begun.into(), ended: ended.into(), settled, ..nothing() };
    Some(Step { phase, state, since, delta })
}

/// A stream that is alone is answered by its first headers, and timed by them; others when they end.
#[inline(always)]
fn streams_out(conn: &Conn, state: u32, words: &Words, now: u64) -> Option<Step> {
    let before = conn.state >> STREAMS_AT;
    let ended = if words.opaque != 0 { before } else { words.ends.min(before) };
    let timed = words.answers != 0 && before == 1 && state & ALONE != 0 && state & COUNTED == 0;
    let counted = u32::from(timed || (before != 0 && state & COUNTED != 0));
    let untimed = ended.saturating_sub(counted);
    if ended == 0 && !timed {
        return restated(conn, state);
    }
    let left = before - ended;
    let mut state = state & !(STREAMS_MAX << STREAMS_AT) | left << STREAMS_AT | ANSWERED;
    state = if ended == 0 { state | COUNTED } else { state & !COUNTED };
    if left == 0 {
        state &= !ALONE;
    }
    let (phase, since) = if left == 0 { (Phase::Idle, now) } else { (Phase::Busy, conn.since) };
    let answered = u64::from(timed) + u64::from(untimed);
    let answered_since = if timed { conn.since } else { 0 };
    let untimed = untimed.into();
    let Conn { ticket, born, .. } = *conn;
    let delta = Delta { ended: ended.into(), answered, untimed, answered_since, ticket, born, ..nothing() };
    Some(Step { phase, state, since, delta })
}

/// Whether a worker that closes a connection with a request has not failed for all that.
#[inline(always)]
pub(super) fn is_excused(conn: &Conn, age: u64) -> bool {
    let state = conn.state;
    match protocol(state) {
        LINES => state & ANSWERED == 0 && age >= UNANSWERED_NS,
        // Whoever ends a handshake by an alert has said why.
        TLS if state & SHAKES != 0 => age >= HASTY_NS || state & ALERT != 0,
        TLS => state & UNSURE != 0,
        HTTP2 => state & COUNTED != 0 && state >> STREAMS_AT == 1,
        _ => false,
    }
}

const _: () = assert!(IDLE < BUSY && FRESH < BUSY);
