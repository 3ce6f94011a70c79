//! HTTP/2 in the clear: which frames begin and end streams.

use super::{Fresh, HTTP2, Header, LOST, Payload, headers};
use crate::abi::Direction;

/// The first four bytes of a client's preface.
pub(super) const PREFACE: u32 = u32::from_be_bytes(*b"PRI ");
/// What follows the first nine bytes of the preface, which are read as if they were a frame's header.
const PREFACE_REST: u32 = 24 - HEADER as u32;
/// The length of a frame's header.
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;

/// Frames that are read of one segment. A large segment holds four frames of the usual 16 KiB; those of many small streams
/// come in smaller segments. What follows more is not known, as after a gap, until a segment begins like a frame.
const FRAMES: u32 = 12;

/// The longest frame, and the last type, that a segment may begin with to be taken for the beginning of a frame: nobody sends
/// longer ones unless asked to.
const LIKELY_MAX: u64 = 1 << 14;
const LIKELY_TYPE: u8 = 9;

/// How far ahead of the streams that are known such a frame's may be.
const LIKELY_AHEAD: u32 = 1 << 16;

/// Whether the server's first bytes are its settings, which it need not wait with.
#[inline(always)]
pub(super) fn is_settings(fresh: Fresh, payload: &impl Payload) -> bool {
    matches!(payload.load::<HEADER>(fresh.at), Some([0, 0, _, SETTINGS, 0, 0, 0, 0, 0]))
}

/// What a client sends.
#[inline(always)]
pub(super) fn read_in(direction: &mut Direction, fresh: Fresh, payload: &impl Payload) {
    read(direction, fresh, payload, |direction, frame| {
        // A second one of the same stream holds trailers.
        if frame.kind == HEADERS && frame.stream > direction.last {
            direction.last = frame.stream;
            direction.words.begins += 1;
        }
        direction.words.ends += u32::from(frame.kind == RST_STREAM);
    });
}

/// What a server sends.
#[inline(always)]
pub(super) fn read_out(direction: &mut Direction, fresh: Fresh, payload: &impl Payload) {
    read(direction, fresh, payload, |direction, frame| {
        direction.words.answers |= u32::from(frame.kind == HEADERS);
        let ends = frame.kind == RST_STREAM || (frame.kind <= HEADERS && frame.flags & END_STREAM != 0);
        // A server that does not want the rest of a request resets the stream that it has just ended.
        if ends && frame.stream != direction.last {
            direction.last = frame.stream;
            direction.words.ends += 1;
        }
    });
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    #[inline(always)]
    fn of(header: Header) -> Self {
        let stream = ((header.front as u32) << 8 | u32::from(header.last)) & 0x7fff_ffff;
        Frame { kind: (header.front >> 32) as u8, flags: (header.front >> 24) as u8, stream }
    }

    /// Clients begin odd streams, and of those frames that matter each has one.
    #[inline(always)]
    fn is_possible(&self) -> bool {
        self.stream & 1 != 0 || !matches!(self.kind, DATA | HEADERS | RST_STREAM)
    }
}

#[inline(always)]
fn read(direction: &mut Direction, fresh: Fresh, payload: &impl Payload, each: impl Fn(&mut Direction, Frame)) {
    direction.words.sets |= HTTP2;
    direction.words.opaque |= u32::from(fresh.gap);
    let is_lost = fresh.gap || direction.rest == LOST;
    if is_lost && !begins_frame(direction.last, fresh, payload) {
        lose(direction);
        return;
    }
    if is_lost {
        (direction.rest, direction.have) = (0, 0);
    }
    let is_read = headers::<HEADER>(direction, fresh, payload, FRAMES, |direction, header| {
        if (header.front >> 32) as u32 == PREFACE {
            direction.rest = PREFACE_REST;
            return true;
        }
        direction.rest = (header.front >> 40) as u32;
        let frame = Frame::of(header);
        let is_one = frame.is_possible();
        if is_one {
            each(direction, frame);
        }
        is_one
    });
    if !is_read {
        lose(direction);
    }
}

/// Where the next frame begins is not known, nor what else has been said.
#[inline(always)]
fn lose(direction: &mut Direction) {
    (direction.rest, direction.have) = (LOST, 0);
    direction.words.opaque |= 1;
}

/// Whether a segment begins like a frame of a connection on which stream `last` has been seen.
#[inline(always)]
fn begins_frame(last: u32, fresh: Fresh, payload: &impl Payload) -> bool {
    let Some(bytes) = payload.load::<HEADER>(fresh.at) else { return false };
    let [front @ .., last_byte] = bytes;
    let header = Header { front: u64::from_be_bytes(front), last: last_byte };
    let frame = Frame::of(header);
    header.front >> 40 <= LIKELY_MAX
        && frame.kind <= LIKELY_TYPE
        && frame.is_possible()
        && frame.stream < last.saturating_add(LIKELY_AHEAD)
}
