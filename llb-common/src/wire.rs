//! What the first bytes of segments say: whether a request begins, whether it is answered, and how.
//!
//! | what a connection speaks | known by | a request begins with | and is answered by |
//! |---|---|---|---|
//! | HTTP/1 | a method | the first byte in; later on a connection the first that may be of a method | the first byte out that is not of an interim answer |
//! | TLS | a record of a handshake | a record of data that is neither the end of the handshake nor of control | a record of data that is no session ticket |
//! | TLS, its handshake: in flight as a request is, and never answered | | the client's first record | the second side's change to ciphers, or the client's end of it |
//! | HTTP/2 | its preface, or the server's settings | a stream's `HEADERS` | `END_STREAM` from the server, or a reset |
//! | lines, or anything else | | the first byte in | the first byte out |
//! | the same, and TLS, whose client sends on and waits for no answers | [`crate::track::heard_in`] | nothing | a byte out; it reads as before once what comes is answered |
//! | opaque | an upgrade, a gap, a one-way stream | nothing | nothing; a byte out makes lines of a one-way stream |
//!
//! The header of the PROXY protocol, with which a balancer begins a connection, is no request.
//!
//! Only new payload counts: what lies below the highest sequence number that was seen is a retransmission, a keep-alive
//! probe or a window probe, and says nothing.
//!
//! Reading is apart from booking: [`read_in`] and [`read_out`] make [`Words`] of a segment, and change nothing but their
//! direction of the connection, where the words are left; [`crate::track::heard_in`] and [`crate::track::heard_out`] make a step of those.

mod http1;
mod http2;
mod proxied;
mod tls;

use core::hint::black_box;

use crate::{
    abi::{Conn, Direction, Words},
    track::Phase,
};

/// The bits of [`Conn::state`] that say what it speaks.
const PROTOCOL: u32 = 0xf;
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
const TLS13: u32 = 1 << 5;
/// TLS: the client has ended its handshake.
const FINISHED: u32 = 1 << 6;
/// TLS: somebody has raised an alert or said goodbye.
pub(crate) const ALERT: u32 = 1 << 7;
/// TLS: what has gone out since the handshake may have been the answer, or a ticket.
pub(crate) const UNSURE: u32 = 1 << 8;
/// TLS: the server has begun its handshake.
pub(crate) const SPOKEN: u32 = 1 << 9;
/// TLS: the client has sent data before that.
const EARLY: u32 = 1 << 10;
/// TLS 1.3: the client has sent a record that is of its handshake and not its end.
const CERTIFIED: u32 = 1 << 11;
/// TLS 1.3: two tickets have been seen.
const PAIR: u32 = 1 << 12;
/// TLS: what is in flight is the handshake: its worker has it to do, as it has a request.
pub(crate) const SHAKES: u32 = 1 << 13;
/// TLS: the client has begun to encrypt.
const CIPHER_IN: u32 = 1 << 14;
/// TLS: the server has.
const CIPHER_OUT: u32 = 1 << 15;
/// TLS 1.3: the server has sent a record of the length of its end of the handshake.
const HALF: u32 = 1 << 16;
/// TLS 1.3: and another one after it, before the client's: its ticket. None comes later.
const TICKETED: u32 = 1 << 17;
/// Lines and TLS: the client sends on without waiting for answers, and its worker does not stand still for what came. Nothing
/// that comes begins a request.
pub(crate) const SENDS: u32 = 1 << 18;
/// The same, and something has gone out since, which may have been an answer.
pub(crate) const REPLIED: u32 = 1 << 19;
/// And after that, something has come in.
pub(crate) const ASKED: u32 = 1 << 20;
/// Opaque, as it seemed to be a one-way stream: the first byte out says that it is none.
pub(crate) const ONE_WAY: u32 = 1 << 5;
/// HTTP/2: the only stream in flight has been alone since it began.
pub(crate) const ALONE: u32 = 1 << 5;
/// HTTP/2: one of those in flight has been counted as answered.
pub(crate) const COUNTED: u32 = 1 << 6;
/// Where the number of HTTP/2's streams in flight begins.
pub(crate) const STREAMS_AT: u32 = 16;

/// A shorter segment ends what its sender has to say for now, bytes: on each path there is room for more in one. So does a
/// record in TLS.
const SHORT: u32 = 1_200;

/// [`Direction::rest`]: where the next record begins is not known.
pub const LOST: u32 = u32::MAX;

/// [`crate::abi::Seats::ticket`]: the fleet's workers send no session tickets.
pub const NO_TICKETS: u32 = u32::MAX;

/// A segment's payload.
pub trait Payload {
    /// The bytes from `at` on, if there are so many.
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]>;
    /// [`read_frames`]; for it the kernel puts a function that its verifier takes for itself.
    #[inline(always)]
    fn frames(&self, out: bool, direction: &mut Direction, fresh: Fresh)
    where
        Self: Sized,
    {
        read_frames(out, direction, fresh, self);
    }
}

/// Reads what comes in or goes out in HTTP/2.
#[inline(always)]
pub fn read_frames(out: bool, direction: &mut Direction, fresh: Fresh, payload: &impl Payload) {
    if out {
        http2::read_out(direction, fresh, payload);
    } else {
        http2::read_in(direction, fresh, payload);
    }
}

/// A part of a segment's payload that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Where it begins.
    pub at: u32,
    /// Where the payload ends.
    pub end: u32,
    /// Whether bytes before it have never been seen.
    pub gap: bool,
}

/// A segment that says nothing. The zero is hidden from the compiler, which for the kernel would fill them by a loop over
/// their bytes.
#[inline(always)]
fn nothing() -> Words {
    let no = black_box(0);
    Words {
        begins: no,
        ends: no,
        answers: no,
        error: no,
        untimed: no,
        opaque: no,
        sets: no,
        clears: no,
        ticket: no,
        handshake: no,
    }
}

impl Words {
    /// Whether they change anything of a connection; asked before the time is.
    #[must_use]
    #[inline(always)]
    pub fn matter(&self, state: u32) -> bool {
        self.begins | self.ends | self.answers | self.opaque != 0 || state & !self.clears | self.sets != state
    }
}

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

/// What is known of the fleet's tickets after some that knew `known` have been read; none if that stays.
#[must_use]
#[inline(always)]
pub fn learnt(words: &Words, known: u32) -> Option<u32> {
    let is_new = match (words.ticket, known) {
        (0, _) => false,
        (NO_TICKETS, _) => known == 0,
        (_, 0 | NO_TICKETS) => true,
        (len, _) => !tls::is_like(len, known),
    };
    is_new.then_some(words.ticket)
}

/// Whether the worker's end of a connection tells that what went out was the answer, and hence that the fleet sends no tickets.
#[must_use]
#[inline(always)]
pub fn is_ticketless(conn: &Conn) -> bool {
    conn.phase == BUSY && protocol(conn.state) == TLS && conn.state & UNSURE != 0
}

/// The part of a segment that is new in its direction, which then has seen it.
#[must_use]
#[inline(always)]
pub fn advance(direction: &mut Direction, seq: u32, len: u32) -> Option<Fresh> {
    let end = seq.wrapping_add(len);
    if (end.wrapping_sub(direction.next)).cast_signed() <= 0 {
        return None;
    }
    let old = direction.next.wrapping_sub(seq).cast_signed();
    direction.next = end;
    Some(Fresh { at: if old > 0 { old.cast_unsigned() } else { 0 }, end: len, gap: old < 0 })
}

/// Notes whether what comes in, up to `ack`, was sent before all that has gone out was received: then it is no request that
/// waited for an answer.
#[inline(always)]
pub fn note_ack(conn: &mut Conn, ack: u32) {
    if protocol(conn.state) == TLS {
        let is_blind = conn.outward.next.wrapping_sub(ack).cast_signed() > 0;
        conn.inward.last = conn.inward.last & !tls::BLIND | if is_blind { tls::BLIND } else { 0 };
    }
}

/// Reads what has come in.
#[inline(always)]
pub fn read_in(state: u32, phase: u32, direction: &mut Direction, mut fresh: Fresh, payload: &impl Payload) {
    *black_box(&mut direction.words) = nothing();
    let kind = protocol(state);
    let busy = phase == BUSY;
    if sends_only(state) {
        (direction.rest, direction.have) = (LOST, 0);
        direction.words.begins |= u32::from(state & REPLIED != 0);
        return;
    }
    // A request that has come with the handshake was not to be read, and its answer says what it was.
    let goes_on = kind == LINES && state & ANSWERED != 0 && fresh.end - fresh.at >= SHORT;
    if kind == OPAQUE || (busy && (kind == UNREAD || kind == HTTP1 || goes_on)) {
        return;
    }
    let unread = kind == UNREAD;
    if unread && fresh.gap {
        direction.words.opaque |= 1;
        return;
    }
    if unread {
        fresh.at += proxied::header(direction, fresh, payload);
        if fresh.at >= fresh.end {
            return;
        }
    }
    let speaks = if unread { first(fresh, payload) } else { kind };
    if speaks == TLS || (kind == LINES && !busy && begins_tls(fresh, payload)) {
        if kind == LINES {
            direction.words.clears |= PROTOCOL | ANSWERED;
        }
        if kind != TLS {
            direction.words.begins |= 1;
            direction.words.sets |= SHAKES;
        }
        let state = if kind == TLS { state } else { TLS };
        tls::read_in(state, phase, direction, fresh, payload);
    } else if speaks == HTTP2 {
        payload.frames(false, direction, fresh);
    } else {
        if unread {
            // If this was the beginning of a preface of HTTP/2 nobody knows where its frames begin.
            direction.rest = LOST;
        }
        // What follows an answer is mostly the next request, but may be the rest of an upload that was answered early.
        let is_rest = kind == HTTP1 && !fresh.gap && !http1::may_be_method(fresh, payload);
        direction.words.begins |= u32::from(!is_rest);
        direction.words.sets |= speaks;
    }
}

/// Whether an answer may have been written on a connection and wait behind the tickets of TLS 1.3.
#[must_use]
#[inline(always)]
pub(crate) fn may_hold_back(conn: &Conn) -> bool {
    conn.phase == BUSY && protocol(conn.state) == TLS && conn.state & (TLS13 | FINISHED | ANSWERED) == TLS13 | FINISHED
}

/// Reads what goes out. `ticket` is what is known of the fleet's tickets.
#[inline(always)]
pub fn read_out(state: u32, phase: u32, direction: &mut Direction, fresh: Fresh, ticket: u32, payload: &impl Payload) {
    *black_box(&mut direction.words) = nothing();
    let kind = protocol(state);
    let busy = phase == BUSY;
    if sends_only(state) {
        (direction.rest, direction.have) = (LOST, 0);
        direction.words.answers |= 1;
        return;
    }
    if kind == OPAQUE || (!busy && (kind == HTTP1 || kind == LINES)) {
        direction.words.answers |= u32::from(kind == OPAQUE && state & ONE_WAY != 0);
        return;
    }
    let unread = kind == UNREAD;
    // What could not be read, as it came with the handshake or behind the header of a proxy, is known by its answer.
    let unknown = busy && (unread || (kind == LINES && state & ANSWERED == 0));
    if kind == TLS || (unknown && begins_tls(fresh, payload)) {
        if kind != TLS {
            direction.words.ends |= 1;
            direction.words.clears |= PROTOCOL;
        }
        let state = if kind == TLS { state } else { TLS };
        tls::read_out(state, phase, direction, fresh, ticket, payload);
    } else if kind == HTTP2 || (unread && !busy && http2::is_settings(fresh, payload)) {
        payload.frames(true, direction, fresh);
    } else if (unknown || kind == HTTP1) && http1::read_out(state, direction, fresh, payload) {
        direction.words.clears |= PROTOCOL;
        direction.words.sets |= HTTP1;
    } else if (unknown || kind == HTTP1) && http2::is_settings(fresh, payload) {
        // What has come in was a piece of the preface. Streams are known from where both sides' frames are found again.
        direction.rest = LOST;
        direction.words.ends |= 1;
        direction.words.clears |= PROTOCOL;
        direction.words.sets |= HTTP2;
    } else {
        // What looks like a method is one of another protocol's.
        direction.words.clears |= PROTOCOL;
        direction.words.sets |= LINES;
        direction.words.answers |= 1;
    }
}

/// What a connection speaks by its first bytes in.
#[inline(always)]
fn first(fresh: Fresh, payload: &impl Payload) -> u32 {
    if begins_tls(fresh, payload) {
        return TLS;
    }
    let word = match (payload.load::<4>(fresh.at), payload.load::<1>(fresh.at)) {
        (Some(word), _) if fresh.end - fresh.at >= 4 => u32::from_be_bytes(word),
        (_, Some([byte])) => return if http1::may_begin(byte) { HTTP1 } else { LINES },
        _ => return LINES,
    };
    if word == http2::PREFACE {
        HTTP2
    } else if http1::is_method(word) {
        HTTP1
    } else {
        LINES
    }
}

/// Whether it begins with a record of a handshake.
#[inline(always)]
fn begins_tls(fresh: Fresh, payload: &impl Payload) -> bool {
    matches!(payload.load::<2>(fresh.at), Some([0x16, 3]))
}

/// The header of a record or frame: its first bytes but the last, big end first, and the last.
#[derive(Clone, Copy)]
struct Header {
    front: u64,
    last: u8,
}

/// Reads the headers in a segment, of `N` bytes each, which are at most 9; `each` sets [`Direction::rest`] to what follows one,
/// and says whether it is one. False if it is not, or if there are more than `most`.
#[inline(always)]
fn headers<const N: usize>(
    direction: &mut Direction,
    fresh: Fresh,
    payload: &impl Payload,
    most: u32,
    mut each: impl FnMut(&mut Direction, Header) -> bool,
) -> bool {
    let (mut at, end) = (fresh.at, fresh.end);
    // The last byte of a header that lies in two segments. Not an `Option`: the verifier refuses to copy what none holds.
    let (mut is_split, mut last) = (false, 0);
    if direction.have != 0 {
        let Some(byte) = gather::<N>(direction, &mut at, end, payload) else { return true };
        (is_split, last) = (true, byte);
    }
    // Not unrolled: the verifier sees each turn anyway. And what one turn has found goes through memory, where the verifier
    // does not follow it: else it would look at each combination of what the turns may find.
    for _ in 0..black_box(most) {
        let direction = black_box(&mut *direction);
        let header = if is_split {
            let front = direction.head;
            (direction.head, direction.have) = (0, 0);
            is_split = false;
            Header { front, last }
        } else {
            let left = end - at;
            if direction.rest >= left {
                direction.rest -= left;
                return true;
            }
            at += direction.rest;
            direction.rest = 0;
            if end - at < N as u32 {
                break;
            }
            let Some(bytes) = payload.load::<N>(at) else { return true };
            at += N as u32;
            let mut front = 0;
            for byte in bytes.iter().take(N - 1) {
                front = front << 8 | u64::from(*byte);
            }
            Header { front, last: bytes[N - 1] }
        };
        if !each(direction, header) {
            return false;
        }
    }
    let left = end - at;
    if direction.rest >= left {
        direction.rest -= left;
        return true;
    }
    if direction.rest != 0 || left >= N as u32 {
        return false;
    }
    gather::<N>(direction, &mut at, end, payload);
    true
}

/// Takes the bytes of a header one by one; the last of them, if it is there.
#[inline(always)]
fn gather<const N: usize>(direction: &mut Direction, at: &mut u32, end: u32, payload: &impl Payload) -> Option<u8> {
    for _ in 0..black_box(N) {
        if *at >= end {
            return None;
        }
        let [byte] = payload.load::<1>(*at)?;
        *at += 1;
        if direction.have + 1 >= N as u32 {
            return Some(byte);
        }
        direction.head = direction.head << 8 | u64::from(byte);
        direction.have += 1;
    }
    None
}

const BUSY: u32 = Phase::Busy as u32;

#[cfg(test)]
mod tests;
