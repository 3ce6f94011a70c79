//! The PROXY protocol: with its header a balancer says whose connection it hands on. It may send the header at once, and the
//! client its request minutes later. While the header is not whole the connection stays unread: of version 1
//! [`Direction::head`] holds how much has come; of version 2 [`Direction::have`] does as long as its length is missing, and
//! then [`Direction::rest`] what is still to come.

use super::{Fresh, Payload};
use crate::abi::Direction;

/// How version 1 begins, a line of text.
const LINE: [u8; 6] = *b"PROXY ";

/// The longest line that there may be.
const LINE_MAX: u32 = 107;

/// How version 2 begins. Four bytes follow, the last two of them the length of the rest.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Where the length lies in version 2, and where the rest begins.
const LENGTH_AT: u32 = 14;
const REST_AT: u32 = 16;

/// How many bytes of a segment of an unread connection belong to such a header. A line is one only if it ends with its
/// segment: else its end is not looked for, and the answer says what the connection speaks.
#[inline(always)]
pub(super) fn header(direction: &mut Direction, fresh: Fresh, payload: &impl Payload) -> u32 {
    let len = fresh.end - fresh.at;
    if direction.rest != 0 {
        let part = direction.rest.min(len);
        direction.rest -= part;
        return part;
    }
    let Some([first]) = payload.load::<1>(fresh.at) else { return 0 };
    if direction.have != 0 || first == SIGNATURE[0] {
        binary(direction, first, fresh, payload)
    } else if direction.head != 0 || first == LINE[0] {
        text(direction, first, fresh, payload)
    } else {
        0
    }
}

#[inline(always)]
fn text(direction: &mut Direction, first: u8, fresh: Fresh, payload: &impl Payload) -> u32 {
    const BEGINNING: u64 = word([LINE[0], LINE[1], LINE[2], LINE[3], LINE[4], LINE[5], 0, 0]);
    let (len, seen) = (fresh.end - fresh.at, direction.head as u32);
    direction.head = 0;
    let is_line = if seen >= LINE.len() as u32 {
        true
    } else if seen == 0 && len >= LINE.len() as u32 {
        payload.load::<6>(fresh.at) == Some(LINE)
    } else {
        // Of less than that its ends must do: what is mistaken for a header is known by its answer.
        let place = (seen + len - 1).min(LINE.len() as u32 - 1);
        first == byte(BEGINNING, seen) && payload.load::<1>(fresh.at + place - seen) == Some([byte(BEGINNING, place)])
    };
    if !is_line || seen + len > LINE_MAX {
        return 0;
    }
    if !matches!(payload.load::<1>(fresh.end - 1), Some([b'\n'])) {
        direction.head = (seen + len).into();
        return len;
    }
    // A request of HTTP/1 ends with an empty line.
    let is_followed = len >= 4 && matches!(payload.load::<4>(fresh.end - 4), Some([_, b'\n', ..]));
    if is_followed { 0 } else { len }
}

#[inline(always)]
fn binary(direction: &mut Direction, first: u8, fresh: Fresh, payload: &impl Payload) -> u32 {
    const FRONT: u64 = word(*b"\r\n\r\n\0\r\nQ");
    const BACK: u64 = word(*b"UIT\n\0\0\0\0");
    let (len, seen) = (fresh.end - fresh.at, direction.have);
    let mut size = direction.head as u32;
    (direction.have, direction.head) = (0, 0);
    let is_header = if seen == 0 && len >= SIGNATURE.len() as u32 {
        payload.load::<12>(fresh.at) == Some(SIGNATURE)
    } else {
        seen >= SIGNATURE.len() as u32 || first == byte(if seen < 8 { FRONT } else { BACK }, seen & 7)
    };
    if !is_header {
        return 0;
    }
    let end = seen + len;
    for place in [LENGTH_AT, LENGTH_AT + 1] {
        if place >= seen
            && place < end
            && let Some([byte]) = payload.load::<1>(fresh.at + place - seen)
        {
            size = size << 8 | u32::from(byte);
        }
    }
    if end < REST_AT {
        (direction.have, direction.head) = (end, size.into());
        return len;
    }
    let left = REST_AT + (size & 0xffff) - seen;
    let part = left.min(len);
    direction.rest = left - part;
    part
}

const fn word(bytes: [u8; 8]) -> u64 {
    u64::from_be_bytes(bytes)
}

/// A byte of a word, by its place.
#[inline(always)]
fn byte(word: u64, place: u32) -> u8 {
    (word >> (56 - 8 * (place & 7))) as u8
}
