//! A segment's payload: the part that is new, and the headers of records and frames in it.

use core::hint::black_box;

use super::{Seen, offers_http2, read_frames, read_records, record_in, record_out};
use crate::abi::Direction;

/// [`Direction::rest`]: where the next record begins is not known.
pub const LOST: u32 = u32::MAX;

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
    /// [`offers_http2`]; for it as well.
    #[inline(always)]
    fn offers_http2(&self, fresh: Fresh) -> bool
    where
        Self: Sized,
    {
        offers_http2(fresh, self)
    }
    /// [`read_records`]; for it as well.
    #[inline(always)]
    fn records(&self, direction: &mut Direction, seen: Seen, fresh: Fresh)
    where
        Self: Sized,
    {
        read_records(direction, seen, fresh, self);
    }
    /// [`record_in`]; and for each record, or the verifier follows all that one may be to each that may follow it.
    #[inline(always)]
    fn record_in(&self, direction: &mut Direction, seen: Seen, record: u32) {
        record_in(direction, seen, record);
    }
    /// [`record_out`]
    #[inline(always)]
    fn record_out(&self, direction: &mut Direction, seen: Seen, record: u32) {
        record_out(direction, seen, record);
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

/// The header of a record or frame: its first bytes but the last, big end first, and the last.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub front: u64,
    pub last: u8,
}

/// Reads the headers in a segment, of `N` bytes each, which are at most 9; `each` sets [`Direction::rest`] to what follows one,
/// and says whether it is one. False if it is not, or if there are more than `most`.
#[inline(always)]
pub(super) fn headers<const N: usize>(
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
pub(super) fn gather<const N: usize>(
    direction: &mut Direction,
    at: &mut u32,
    end: u32,
    payload: &impl Payload,
) -> Option<u8> {
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
