//! What the first bytes of segments say: whether a request begins, whether it is answered, and how.
//!
//! | what a connection speaks | known by | a request begins with | and is answered by |
//! |---|---|---|---|
//! | HTTP/1 | a method | the first byte in; later on a connection the first that may be of a method | the first byte out that is not of an interim answer |
//! | TLS | a record of a handshake | a record of data that is neither the end of the handshake nor of control | a record of data that is no session ticket |
//! | TLS, its handshake: in flight as a request is, and never answered | | the client's first record | the second side's change to ciphers, or the client's end of it |
//! | TLS with HTTP/2 in it | the client offers it, and the server's first record is as short as its settings; or the client acknowledges those | as in TLS | as in TLS, but of all but the first nobody knows which request it is that is answered, so it is no sample of cost |
//! | HTTP/2 | its preface, or the server's settings | a stream's `HEADERS` | `END_STREAM` from the server, or a reset |
//! | lines, or anything else | | the first byte in | the first byte out |
//! | the same, and TLS, whose client sends on and waits for no answers | [`crate::track::payload_in`] | nothing | a byte out; it reads as before once what comes is answered |
//! | opaque | an upgrade, a gap, a one-way stream | nothing | nothing; a byte out makes lines of a one-way stream |
//!
//! The header of the PROXY protocol, with which a balancer begins a connection, is no request.
//!
//! Only new payload counts: what lies below the highest sequence number that was seen is a retransmission, a keep-alive
//! probe or a window probe, and says nothing.
//!
//! Reading is apart from booking: [`read_in`] and [`read_out`] make [`Words`] of a segment, and change nothing but their
//! direction of the connection, where the words are left; [`crate::track::payload_in`] and [`crate::track::payload_out`] make a step of those.

mod hello;
mod http1;
mod http2;
mod proxied;
mod segment;
mod state;
mod tls;

use core::hint::black_box;

pub(crate) use self::state::{
    ALERT, ALONE, ANSWERED, ASKED, COUNTED, HTTP1, HTTP2, LINES, MULTIPLEXED, ONE_WAY, REPLIED, SENDS, SHAKES, SPOKEN,
    STREAMS_AT, UNSURE, may_hold_back, sends_only, shakes_hands,
};
pub use self::{
    hello::offers_http2,
    segment::{Fresh, LOST, Payload, advance},
    state::{OPAQUE, TLS, UNREAD, in_flight, is_ticketless, protocol},
    tls::{Seen, read_records, record_in, record_out},
};
use self::{
    segment::{Header, headers},
    state::{
        BUSY, CERTIFIED, CIPHER_IN, CIPHER_OUT, EARLY, FINISHED, HALF, OFFERS_HTTP2, PAIR, PROTOCOL, TICKETED, TLS13,
    },
};
use crate::abi::{Conn, Direction, Words};

/// A shorter segment ends what its sender has to say for now, bytes: on each path there is room for more in one. So does a
/// record in TLS.
const SHORT: u32 = 1_200;

/// [`crate::abi::Seats::ticket`]: the fleet's workers send no session tickets.
pub const NO_TICKETS: u32 = u32::MAX;

/// Reads what comes in or goes out in HTTP/2.
#[inline(always)]
pub fn read_frames(out: bool, direction: &mut Direction, fresh: Fresh, payload: &impl Payload) {
    if out {
        http2::read_out(direction, fresh, payload);
    } else {
        http2::read_in(direction, fresh, payload);
    }
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
        if unread && payload.offers_http2(fresh) {
            direction.words.sets |= OFFERS_HTTP2;
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

#[cfg(test)]
mod tests;
