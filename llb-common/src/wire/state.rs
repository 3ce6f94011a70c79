//! What is remembered of a connection: the bits of [`Conn::state`], and what they say.

use crate::{abi::Conn, track::Phase};

/// The bits of [`Conn::state`] that say what it speaks.
pub(super) const PROTOCOL: u32 = 0xf;
/// Nothing has been read.
pub const UNREAD: u32 = 0;
/// HTTP/1.
pub(crate) const HTTP1: u32 = 1;
/// TLS, whatever is in it.
pub const TLS: u32 = 2;
/// HTTP/2 in the clear.
pub(crate) const HTTP2: u32 = 3;
/// Something else that asks and is answered.
pub(crate) const LINES: u32 = 4;
/// Something that cannot be read: the connection is open, and that is all.
pub const OPAQUE: u32 = 5;

/// A request has been answered.
pub(crate) const ANSWERED: u32 = 1 << 4;
/// TLS: it is 1.3.
pub(super) const TLS13: u32 = 1 << 5;
/// TLS: the client has ended its handshake.
pub(super) const FINISHED: u32 = 1 << 6;
/// TLS: somebody has raised an alert or said goodbye.
pub(crate) const ALERT: u32 = 1 << 7;
/// TLS: what has gone out since the handshake may have been the answer, or a ticket.
pub(crate) const UNSURE: u32 = 1 << 8;
/// TLS: the server has begun its handshake.
pub(crate) const SPOKEN: u32 = 1 << 9;
/// TLS: the client has sent data before that.
pub(super) const EARLY: u32 = 1 << 10;
/// TLS 1.3: the client has sent a record that is of its handshake and not its end.
pub(super) const CERTIFIED: u32 = 1 << 11;
/// TLS 1.3: two tickets have been seen.
pub(super) const PAIR: u32 = 1 << 12;
/// TLS: what is in flight is the handshake: its worker has it to do, as it has a request.
pub(crate) const SHAKES: u32 = 1 << 13;
/// TLS: the client has begun to encrypt.
pub(super) const CIPHER_IN: u32 = 1 << 14;
/// TLS: the server has.
pub(super) const CIPHER_OUT: u32 = 1 << 15;
/// TLS 1.3: the server has sent a record of the length of its end of the handshake.
pub(super) const HALF: u32 = 1 << 16;
/// TLS 1.3: and another one after it, before the client's: its ticket. None comes later.
pub(super) const TICKETED: u32 = 1 << 17;
/// Lines and TLS: the client sends on without waiting for answers, and its worker does not stand still for what came. Nothing
/// that comes begins a request.
pub(crate) const SENDS: u32 = 1 << 18;
/// The same, and something has gone out since, which may have been an answer.
pub(crate) const REPLIED: u32 = 1 << 19;
/// And after that, something has come in.
pub(crate) const ASKED: u32 = 1 << 20;
/// TLS: the client may speak HTTP/2.
pub(super) const OFFERS_HTTP2: u32 = 1 << 21;
/// TLS: HTTP/2 is spoken in it, with any number of streams at once.
pub(crate) const MULTIPLEXED: u32 = 1 << 22;
/// Opaque, as it seemed to be a one-way stream: the first byte out says that it is none.
pub(crate) const ONE_WAY: u32 = 1 << 5;
/// HTTP/2: the only stream in flight has been alone since it began.
pub(crate) const ALONE: u32 = 1 << 5;
/// HTTP/2: one of those in flight has been counted as answered.
pub(crate) const COUNTED: u32 = 1 << 6;
/// Where the number of HTTP/2's streams in flight begins.
pub(crate) const STREAMS_AT: u32 = 16;

/// What a connection speaks.
#[must_use]
#[inline(always)]
pub fn protocol(state: u32) -> u32 {
    state & PROTOCOL
}

/// Whether a connection's client sends, and waits for no answers: [`SENDS`].
#[must_use]
#[inline(always)]
pub(crate) fn sends_only(state: u32) -> bool {
    state & SENDS != 0 && matches!(protocol(state), LINES | TLS)
}

/// Whether a TLS handshake is what a connection has in flight.
#[must_use]
#[inline(always)]
pub(crate) fn shakes_hands(conn: &Conn) -> bool {
    conn.phase == BUSY && protocol(conn.state) == TLS && conn.state & SHAKES != 0
}

/// Requests that a connection holds.
#[must_use]
#[inline(always)]
pub fn in_flight(conn: &Conn) -> u32 {
    if conn.phase != BUSY {
        0
    } else if protocol(conn.state) == HTTP2 {
        conn.state >> STREAMS_AT
    } else {
        1
    }
}

/// Whether the worker's end of a connection tells that what went out was the answer, and hence that the fleet sends no tickets.
#[must_use]
#[inline(always)]
pub fn is_ticketless(conn: &Conn) -> bool {
    conn.phase == BUSY && protocol(conn.state) == TLS && conn.state & UNSURE != 0
}

/// Whether an answer may have been written on a connection and wait behind the tickets of TLS 1.3.
#[must_use]
#[inline(always)]
pub(crate) fn may_hold_back(conn: &Conn) -> bool {
    conn.phase == BUSY && protocol(conn.state) == TLS && conn.state & (TLS13 | FINISHED | ANSWERED) == TLS13 | FINISHED
}

pub(super) const BUSY: u32 = Phase::Busy as u32;
