//! HTTP/2 in the clear: which frames begin and end streams.

use super::{Fresh, HTTP2, Payload, headers};
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

/// Frames that are read of one segment: more make the connection opaque. A large segment holds four frames of the usual
/// 16 KiB; those of many small streams come in smaller segments.
const FRAMES: u32 = 12;

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

#[inline(always)]
fn read(direction: &mut Direction, fresh: Fresh, payload: &impl Payload, each: impl Fn(&mut Direction, Frame)) {
    direction.words.sets |= HTTP2;
    let is_read = !fresh.gap
        && headers::<HEADER>(direction, fresh, payload, FRAMES, |direction, header| {
            if (header.front >> 32) as u32 == PREFACE {
                direction.rest = PREFACE_REST;
                return true;
            }
            direction.rest = (header.front >> 40) as u32;
            let stream = ((header.front as u32) << 8 | u32::from(header.last)) & 0x7fff_ffff;
            let frame = Frame { kind: (header.front >> 32) as u8, flags: (header.front >> 24) as u8, stream };
            // Clients begin odd streams, and of those frames that matter each has one.
            let is_odd = frame.stream & 1 != 0 || !matches!(frame.kind, DATA | HEADERS | RST_STREAM);
            if is_odd {
                each(direction, frame);
            }
            is_odd
        });
    direction.words.opaque |= u32::from(!is_read);
}
