//! TLS: which records are requests and answers. Record headers are in the clear, and in 1.3 nearly all records are of one
//! type, so their lengths and their order have to say it.

use super::{
    ALERT, ANSWERED, BUSY, CERTIFIED, CIPHER_IN, CIPHER_OUT, EARLY, FINISHED, Fresh, HALF, LOST, MULTIPLEXED,
    NO_TICKETS, OFFERS_HTTP2, PAIR, Payload, SHAKES, SHORT, SPOKEN, TICKETED, TLS, TLS13, UNSURE, headers,
};
use crate::abi::{Direction, Words};

/// The length of a record's header.
const HEADER: usize = 5;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT_RECORD: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// The longest record that there may be.
const RECORD_MAX: u32 = (1 << 14) + 2048;

/// Records that are read of one segment: a server's handshake is seven with tickets and answer.
const RECORDS: u32 = 8;

/// The lengths of a `Finished` in TLS 1.3: 4 bytes, a hash of 32 or 48, the type and the tag of 16.
const FINISHED_LENGTHS: [u32; 2] = [53, 69];

/// An alert in TLS 1.3, encrypted; mostly `close_notify`.
const GOODBYE: u32 = 19;

/// Tickets differ from one another by less than this: by the padding and the names in them.
const TICKET_WANDERS: u32 = 32;

/// Whether a record from the client is of control: in TLS 1.3 an alert or a key update, and in either an HTTP/2 frame that
/// begins nothing: `SETTINGS` (acknowledged), `WINDOW_UPDATE`, `PING` or `GOAWAY`, two `WINDOW_UPDATE`s. They are of 9, 13,
/// 17 and 26 bytes, while HTTP/1 has no request below 18; the rest is the type and the tag (1.3), or the nonce and the tag.
#[inline(always)]
fn is_control(state: u32, len: u32) -> bool {
    if state & TLS13 != 0 {
        matches!(len, GOODBYE | 22 | 26 | 30 | 34 | 43)
    } else {
        matches!(len, 25 | 29 | 33 | 37 | 41 | 50)
    }
}

/// Whether a record is as long as one that holds the acknowledgement of settings, an HTTP/2 frame without payload.
#[inline(always)]
fn is_acknowledgement(state: u32, len: u32) -> bool {
    if state & TLS13 != 0 { len == 26 } else { matches!(len, 25 | 33) }
}

/// Whether a server's record is as long as one of HTTP/2 that answers nothing: an acknowledgement of settings, a `WINDOW_UPDATE` or a
/// `PING`, of 9, 13 and 17 bytes, or an acknowledgement with one of itself or of the second. Before the first answer also two of
/// the second, one of each of the last two, or of all three: no first answer is so short as a rule, while later ones have their
/// headers in a byte each. gRPC's servers measure the way to their client by a `PING` as soon as they have read a request.
#[inline(always)]
fn is_no_answer(state: u32, len: u32) -> bool {
    let is_first = state & ANSWERED == 0;
    if state & TLS13 != 0 {
        matches!(len, 26 | 30 | 34 | 35 | 39) || is_first && matches!(len, 43 | 47 | 56)
    } else {
        matches!(len, 25 | 29 | 33 | 34 | 37 | 38 | 41 | 42 | 46) || is_first && matches!(len, 50 | 54 | 55 | 63)
    }
}

/// The longest record of a server's `SETTINGS`: all eight that there are, with an acknowledgement, in TLS 1.2. No answer of HTTP/1
/// with the usual headers is so short.
const SETTINGS_MAX: u32 = 9 + 8 * 6 + 9 + 24;

/// What a client sends.
#[inline(always)]
pub(super) fn read_in(state: u32, phase: u32, direction: &mut Direction, fresh: Fresh, payload: &impl Payload) {
    let busy = phase == BUSY && state & SHAKES == 0;
    // Of a request under way only what may be a message of its own needs to be read, unless its answer may be out already.
    let needed = state & FINISHED == 0 || !busy || state & UNSURE != 0 || fresh.end - fresh.at < SHORT;
    if !needed {
        direction.last |= FLOWS;
    }
    payload.records(direction, Seen::new(false, state, busy, needed, 0), fresh);
}

/// What a record of the client's says: its type and its length, as in the last three bytes of `record`.
#[inline(always)]
pub fn record_in(direction: &mut Direction, seen: Seen, record: u32) {
    let (state, busy) = (seen.state, seen.busy());
    let (kind, len) = ((record >> 16) as u8, record & 0xffff);
    let is_rest = kind == DATA && state & FINISHED != 0 && is_rest(busy, direction, len);
    let words = &mut direction.words;
    let state = state & !words.clears | words.sets;
    if kind == ALERT_RECORD {
        words.sets |= ALERT;
    } else if kind == CHANGE_CIPHER_SPEC {
        enciphers(state, CIPHER_IN, words);
    } else if kind != DATA {
    } else if state & FINISHED != 0 {
        // Of what comes while a request is under way only the short may be messages of their own.
        let may_begin = !is_rest && (!busy || len < SHORT || state & UNSURE != 0);
        words.sets |= http2_in(state, len);
        words.begins |= u32::from(may_begin && !is_control(state, len));
        if state & TLS13 != 0 && len == GOODBYE {
            words.sets |= ALERT;
        }
    } else if state & TLS13 != 0 {
        let ends = FINISHED_LENGTHS.contains(&len);
        words.sets |= if ends { FINISHED } else { CERTIFIED };
        if ends {
            shaken(words);
        }
    } else if state & SPOKEN == 0 {
        words.sets |= EARLY;
        words.begins |= 1;
        shaken(words);
    } else {
        words.sets |= FINISHED;
        shaken(words);
        words.sets |= http2_in(state, len);
        words.begins |= u32::from(!is_control(state, len));
    }
}

/// Whether a client's record says that it speaks HTTP/2.
#[inline(always)]
fn http2_in(state: u32, len: u32) -> u32 {
    if state & OFFERS_HTTP2 != 0 && is_acknowledgement(state, len) { MULTIPLEXED } else { 0 }
}

/// In a client's [`Direction::last`]: an upload goes on that has been answered, by records of this length.
const RUN: u32 = 1 << 31;

/// In the same: its present segment was sent before all that has gone out was received ([`super::note_ack`]).
pub(super) const BLIND: u32 = 1 << 30;

/// In the same: the last segment of the present request, or of the last one, was a long one of several.
const FLOWS: u32 = 1 << 29;

/// A record of less is no piece of a large upload.
const PIECE_MIN: u32 = 1_000;

/// A record of this is no head of a request.
const HEAD_MAX: u32 = 4_096;

/// Whether a client's record is of an upload that has been answered already: nothing is under way, and it is a long one, behind
/// others or sent without having seen the answer. So are those that follow, up to one of another length, which is the end.
#[inline(always)]
fn is_rest(busy: bool, direction: &mut Direction, len: u32) -> bool {
    let (before, last) = (direction.last, direction.last & !(RUN | BLIND | FLOWS));
    let blind = before & BLIND;
    if busy || direction.words.begins != 0 {
        direction.last = blind;
        return false;
    }
    let (runs, flows) = (before & RUN != 0, before & FLOWS != 0);
    let goes_on = (len >= PIECE_MIN && (blind != 0 || (runs && len == last))) || (len > HEAD_MAX && flows);
    direction.last = blind | if goes_on { len | RUN } else { 0 };
    runs || goes_on
}

/// The handshake is over, or nothing beside the request that has come with it.
#[inline(always)]
fn shaken(words: &mut Words) {
    words.sets &= !SHAKES;
    words.clears |= SHAKES;
}

/// One side begins to encrypt. The second to do so ends the handshake: the server of TLS 1.2, or the client, in 1.3 as well,
/// where both still say it for those between them.
#[inline(always)]
fn enciphers(state: u32, side: u32, words: &mut Words) {
    words.sets |= side;
    if (state | side) & (CIPHER_IN | CIPHER_OUT) == CIPHER_IN | CIPHER_OUT {
        shaken(words);
    }
}

/// What a server sends.
#[inline(always)]
pub(super) fn read_out(
    state: u32,
    phase: u32,
    direction: &mut Direction,
    fresh: Fresh,
    ticket: u32,
    payload: &impl Payload,
) {
    let busy = phase == BUSY && state & SHAKES == 0;
    let needed = busy || state & ANSWERED == 0;
    payload.records(direction, Seen::new(true, state, busy, needed, ticket), fresh);
    let words = &mut direction.words;
    if words.answers != 0 {
        words.clears |= UNSURE;
        words.sets &= !UNSURE;
        // Whichever is answered first has taken so long; later the answer may be another stream's.
        words.untimed |= u32::from((state | words.sets) & MULTIPLEXED != 0 && state & ANSWERED != 0);
    }
}

/// What a record of the server's says, as in [`record_in`].
#[inline(always)]
pub fn record_out(direction: &mut Direction, seen: Seen, record: u32) {
    let (state, busy, ticket) = (seen.state, seen.busy(), seen.ticket);
    let (kind, len) = ((record >> 16) as u8, record & 0xffff);
    let words = &mut direction.words;
    let state = state & !words.clears | words.sets;
    if kind == HANDSHAKE || kind == CHANGE_CIPHER_SPEC {
        words.handshake |= 1;
        words.sets |= SPOKEN;
        if kind == CHANGE_CIPHER_SPEC {
            enciphers(state, CIPHER_OUT, words);
        }
    } else if kind == ALERT_RECORD {
        words.sets |= ALERT;
        unsure_no_more(state, words);
    } else if kind != DATA || words.answers != 0 {
    } else if state & FINISHED == 0 {
        if state & EARLY != 0 && words.handshake == 0 {
            words.answers |= 1;
        } else if state & CERTIFIED != 0 && state & EARLY == 0 {
            // It goes on, so the client has ended its handshake, by a record that was not recognised.
            words.opaque |= 1;
        } else {
            words.sets |= TLS13;
            halved(state, words, len);
        }
    } else if state & TLS13 != 0 && len == GOODBYE {
        unsure_no_more(state, words);
    } else if state & (OFFERS_HTTP2 | ANSWERED | MULTIPLEXED) == OFFERS_HTTP2 && len <= SETTINGS_MAX {
        // There may be a request behind the preface.
        words.sets = words.sets & !UNSURE | MULTIPLEXED;
        words.clears |= UNSURE;
    } else if state & MULTIPLEXED != 0 && is_no_answer(state, len) {
    } else if state & TLS13 == 0
        || state & (ANSWERED | TICKETED | MULTIPLEXED) != 0
        || !is_ticket(state, busy, direction, len, ticket)
    {
        direction.words.answers |= 1;
    }
}

/// The server's handshake goes on. Its end is mostly the last record before the client's end; a Go server sends its ticket
/// right behind. An earlier record may be as long as the end is.
#[inline(always)]
fn halved(state: u32, words: &mut Words, len: u32) {
    if FINISHED_LENGTHS.contains(&len) {
        words.sets = words.sets & !TICKETED | HALF;
        words.clears |= TICKETED;
    } else if state & HALF != 0 {
        words.sets |= TICKETED;
    }
}

/// Whether a record may be a ticket if another of `known` bytes was.
#[inline(always)]
pub(super) fn is_like(len: u32, known: u32) -> bool {
    len.abs_diff(known) <= TICKET_WANDERS
}

/// The server says goodbye: what may have been a ticket was the answer.
#[inline(always)]
fn unsure_no_more(state: u32, words: &mut Words) {
    if state & UNSURE != 0 {
        words.answers |= 1;
        words.untimed |= 1;
        words.ticket = NO_TICKETS;
    }
}

/// Whether a record that goes out after the client's handshake, and before any answer, is a session ticket. Surely if there
/// is no request yet. Otherwise if it is as long as the fleet's tickets, or as the one before it: most servers send two.
/// Where that is not known yet the first is taken for one, until the next thing that happens says what it was.
#[inline(always)]
fn is_ticket(state: u32, busy: bool, direction: &mut Direction, len: u32, known: u32) -> bool {
    let words = &mut direction.words;
    let before = direction.last;
    direction.last = len;
    if !busy {
        if before == 0 {
            words.ticket = len;
        }
        return true;
    }
    if before == 0 {
        if known == 0 {
            words.sets |= UNSURE;
            return true;
        }
        return known != NO_TICKETS && is_like(len, known);
    }
    let is_second = len == before && state & PAIR == 0;
    if is_second {
        words.sets = (words.sets | PAIR) & !UNSURE;
        words.clears |= UNSURE;
        if state & UNSURE != 0 {
            words.ticket = len;
        }
    }
    is_second
}

/// What is known before a segment's records are read.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Seen {
    /// The connection's.
    pub state: u32,
    /// What is known of the fleet's tickets; the server's need it.
    pub ticket: u32,
    out: u32,
    busy: u32,
    needed: u32,
}

impl Seen {
    #[inline(always)]
    fn new(out: bool, state: u32, busy: bool, needed: bool, ticket: u32) -> Self {
        Seen { state, ticket, out: out.into(), busy: busy.into(), needed: needed.into() }
    }

    /// Whether a request is under way.
    #[must_use]
    #[inline(always)]
    pub fn busy(&self) -> bool {
        self.busy != 0
    }
}

/// Reads the records of a segment.
#[inline(always)]
pub fn read_records(direction: &mut Direction, seen: Seen, fresh: Fresh, payload: &impl Payload) {
    let Seen { state, needed, out, .. } = seen;
    let needed = needed != 0;
    direction.words.sets |= TLS;
    let settled = state & FINISHED != 0;
    if settled && (!needed || fresh.gap) {
        (direction.rest, direction.have) = (LOST, 0);
    }
    if !needed {
        return;
    }
    if !settled && fresh.gap {
        direction.words.opaque |= 1;
        return;
    }
    // A segment that begins like a record is taken for the beginning of one.
    if direction.rest == LOST {
        direction.rest = 0;
    }
    let is_read = headers::<HEADER>(direction, fresh, payload, RECORDS, |direction, header| {
        let (kind, major) = ((header.front >> 24) as u8, (header.front >> 16) as u8);
        let len = (header.front as u32 & 0xff) << 8 | u32::from(header.last);
        direction.rest = len;
        let is_one = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == 3 && len <= RECORD_MAX;
        if is_one {
            let record = u32::from(kind) << 16 | len;
            if out != 0 {
                payload.record_out(direction, seen, record)
            } else {
                payload.record_in(direction, seen, record)
            }
        }
        is_one
    });
    if !is_read {
        (direction.rest, direction.have) = (LOST, 0);
        direction.words.opaque |= u32::from(!settled);
    }
}
