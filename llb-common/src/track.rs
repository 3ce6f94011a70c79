//! The books of one connection: what the kernel sees of it, turned into changes of its seat's counters.
//!
//! A connection is *fresh* from its establishment until its first byte, *busy* from a request's first byte in to the
//! first byte out, and *idle* between requests. A fresh one is held by the charge that its choice left on the seat,
//! not by a request: a browser's pre-connection that never sends would otherwise make its worker look hung. The
//! charge is forgotten soon ([`roll_ns`]), the request never.
//!
//! So: an upload counts from its first byte to the answer's; a server that speaks first answers at once; an answer
//! that begins before its request has ended leaves the rest of the upload to count as nothing in HTTP/1 and TLS, and else as a
//! request that ends with the next byte out or the close; a half-closed connection stays busy until it is answered or closed.
//!
//! What counts as a request and as an answer depends on what the connection speaks: [`crate::wire`] reads it, and
//! [`payload_in`] and [`payload_out`] make steps of that.

mod charges;
mod mark;
mod pace;
mod payload;

pub use charges::{first_roll_at, is_due, outstanding_at, roll_ns, rolled};
pub use mark::{Mark, is_progress, mark_after, mark_at};
pub use pace::{CONCURRENT, FEW_SAMPLES, OVERTAKING_ALWAYS, Pace, beside, centre_after, handshake_after, pace_after};
#[cfg(test)]
pub(crate) use payload::ONE_WAY_NS;
pub use payload::{payload_in, payload_out};

use core::hint::black_box;

#[cfg(doc)]
use crate::abi::Seat;
use crate::{abi::Conn, select::ROLL_NS, wire};

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
    /// For [`Seat::errors`].
    pub errors: u64,
    /// How many of `answered` took a time that is not known.
    pub untimed: u64,
    /// The worker has shown a sign of life that is no answer.
    pub alive: u64,
    /// When the request that ended began, ns; 0 if none was answered.
    pub answered_since: u64,
    /// [`Conn::ticket`] of the request that ended.
    pub ticket: u64,
    /// [`Conn::born`] of its connection.
    pub born: u64,
}

/// No change. The zero is hidden from the compiler: for the kernel it would fill runs of zeros by a loop over their bytes,
/// with each packet.
#[inline(always)]
fn nothing() -> Delta {
    let none = black_box(0);
    Delta {
        opened: none,
        closed: none,
        begun: none,
        ended: none,
        settled: none,
        answered: none,
        failed: none,
        errors: none,
        untimed: none,
        alive: none,
        answered_since: none,
        ticket: none,
        born: none,
    }
}

/// What an event does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The connection's next phase. The kernel sets it, and `state`, by compare-and-swap from those that were looked at, and
    /// drops the step if another CPU was faster, so nothing is counted twice.
    pub phase: Phase,
    /// The connection's next [`Conn::state`].
    pub state: u32,
    /// The connection's next [`Conn::since`].
    pub since: u64,
    /// What its seat changes.
    pub delta: Delta,
}

/// The connection is established.
#[must_use]
#[inline(always)]
pub fn established(now: u64) -> Step {
    Step { phase: Phase::Fresh, state: wire::UNREAD, since: now, delta: Delta { opened: 1, ..nothing() } }
}

/// Numbers a step: its request, if one begins, gets the next ticket of its seat, of which `begun` requests have begun.
#[must_use]
#[inline(always)]
pub fn numbered(conn: &mut Conn, delta: Delta, begun: u64) -> Delta {
    let ticket = if delta.begun != 0 { begun } else { delta.ticket };
    if delta.begun != 0 {
        conn.ticket = begun;
    }
    if delta.opened != 0 || delta.answered != 0 {
        conn.born = begun + delta.begun;
    }
    Delta { ticket, ..delta }
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
    let delta = Delta { begun: 1, settled, ..nothing() };
    Some(Step { phase: Phase::Busy, state: conn.state, since: now, delta })
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
    let Conn { since: answered_since, ticket, born, .. } = *conn;
    let delta = Delta { begun, settled, ended: 1, answered: 1, answered_since, ticket, born, ..nothing() };
    Some(Step { phase: Phase::Idle, state: conn.state | wire::ANSWERED, since: now, delta })
}

/// The connection closes.
#[must_use]
#[inline(always)]
pub fn closing(conn: &Conn, closer: Closer, now: u64) -> Option<Step> {
    let age = now.saturating_sub(conn.since);
    let held = u64::from(wire::in_flight(conn));
    // An answer goes out with the worker's end where Nagle's algorithm holds it back until the client acknowledges the
    // tickets of TLS 1.3. So the end is taken for an answer.
    let held_back = matches!(closer, Closer::Worker) && wire::may_hold_back(conn);
    let (ended, settled, blame) = match conn.phase {
        FRESH => (0, settles(conn, now), age < HASTY_NS),
        BUSY => (held, 0, !held_back && !payload::is_excused(conn, age)),
        IDLE => (0, 0, false),
        _ => return None,
    };
    // What went out was the answer after all.
    let answered = u64::from(held_back || wire::is_ticketless(conn));
    let phase = if blame && matches!(closer, Closer::Reset) { Phase::Reset } else { Phase::Closed };
    let failed = u64::from(blame && matches!(closer, Closer::Worker));
    let Conn { ticket, born, .. } = *conn;
    let delta = Delta { closed: 1, ended, settled, failed, answered, untimed: answered, ticket, born, ..nothing() };
    Some(Step { phase, state: conn.state, since: now, delta })
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
    let delta = Delta { failed: 1, ..nothing() };
    may_fail(conn).then_some(Step { phase: Phase::Closed, state: conn.state, since: now, delta })
}

/// The connection has moved to another seat while it waited: what its old seat, and what its new one, must change.
/// The new seat was charged when it was chosen; that charge stays with a fresh connection.
#[must_use]
#[inline(always)]
pub fn moved(conn: &Conn) -> (Delta, Delta) {
    match conn.phase {
        BUSY => {
            let held = u64::from(wire::in_flight(conn));
            let leaves = Delta { closed: 1, ended: held, ticket: conn.ticket, ..nothing() };
            (leaves, Delta { opened: 1, begun: held, settled: 1, ..nothing() })
        }
        FRESH => (Delta { closed: 1, ..nothing() }, Delta { opened: 1, ..nothing() }),
        IDLE => (Delta { closed: 1, ..nothing() }, Delta { opened: 1, settled: 1, ..nothing() }),
        _ => (nothing(), nothing()),
    }
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
mod tests;
