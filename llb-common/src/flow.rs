//! UDP flows: which worker a datagram goes to. A flow is what comes from one address and port to another; it stays with its
//! worker while it lives. What the kernel side decides about a datagram is here, and what both sides have to know.
//!
//! A flow is named by the kernel's own hash of its four parts, which is keyed with a secret. Two flows that share one, which one
//! of 30,000 does in a full table, share a worker, and that is all.
//!
//! The table is an array of sets of [`WAYS`] flows, each one word: a lookup reads one cache line. A new flow takes the place of
//! a dead one, or else of the longest unused that has sent one datagram only. So datagrams of forged sources replace each other, and
//! flows that go on stay.
//!
//! The ids of QUIC connections lie in the same table ([`crate::quic::key`]): an entry names the worker of the flow that the id came
//! with, for when the client comes from another address.
//!
//! ```
//! use llb_common::abi::FlowSeat;
//! use llb_common::flow::{
//!     Found, Set, better, find, find_among, fresh, id, is_alive, is_established, is_id, is_quic, of_quic, place_for, seat, seen,
//!     set_of, wants_id, weight, window_ns,
//! };
//!
//! let (mut set, window): (Set, u32) = ([0; 8], 7);
//! assert_eq!(find(&set, 0xabcd, window), None);
//! let way = place_for(&set, window);
//! set[way] = fresh(0xabcd, 3, window);
//! // With its second datagram it is more than a newcomer.
//! let Found { way, entry } = find(&set, 0xabcd, window + 1).unwrap();
//! assert_eq!(seat(entry), 3);
//! set[way] = seen(entry, window + 1);
//! assert!(is_established(set[way]) && !is_established(entry));
//! assert!(is_alive(set[way], window + 2) && !is_alive(set[way], window + 6), "it has been idle for too long");
//! assert_eq!(find(&set, 0xabcd, window + 6), None);
//! assert_eq!(find_among(|way| set[way], 0xabcd, window + 2), Some(Found { way, entry: set[way] }));
//! assert_eq!(set_of(0xabcd), set_of(0xf000_abcd), "the low bits of its hash say where it is");
//! assert_eq!(window_ns(40_000) * 4, 40_000);
//!
//! // One that began as a QUIC connection wants its id in the table, which then names the same seat.
//! let flow = of_quic(set[way], false);
//! assert!(is_quic(flow) && wants_id(flow) && !wants_id(of_quic(flow, true)) && !is_quic(set[way]));
//! let learnt = id(0x1234_5678, flow);
//! assert!(is_id(learnt) && !is_id(flow) && seat(learnt) == 3);
//!
//! // Of two seats the first gets a new flow, unless it is late: it has sent nothing for over 10 ms.
//! let quick = FlowSeat { flows: 5, owed_since: 0, talks: 1, id_length: 0 };
//! let late = FlowSeat { owed_since: 1, ..quick };
//! let now = 20_000_000;
//! assert_eq!(better((0, weight(&quick, now)), (1, weight(&late, now)), 0), 0);
//! assert_eq!(better((0, weight(&late, now)), (1, weight(&quick, now)), 0), 1);
//! ```

mod fate;

use core::hint::black_box;

pub use self::fate::Fate;
use crate::abi::FlowSeat;

/// Flows of a set: a cache line.
pub const WAYS: usize = 8;

/// Sets of the table, a power of two. 131,072 flows in 1 MB; more at once evict each other.
pub const SETS: u32 = 1 << 14;

/// A set: words of [`fresh`] and [`seen`], 0 for none.
pub type Set = [u64; WAYS];

/// A flow lives as long as it was seen in this window of time, or one of so many before: windows are a quarter of the idle time.
pub const KEPT_WINDOWS: u32 = 4;

/// Bits of an entry: the hash above, then the window, what it is, and the seat.
const WINDOW_SHIFT: u32 = 16;
const WINDOW_MASK: u64 = 0xffff;
const ESTABLISHED: u64 = 1 << ESTABLISHED_SHIFT;
const ESTABLISHED_SHIFT: u32 = 8;
/// It was seen in more than one window.
const LASTING: u64 = 1 << LASTING_SHIFT;
const LASTING_SHIFT: u32 = 9;
/// It began as a QUIC connection does.
const QUIC: u64 = 1 << 10;
/// Its connection id is in the table.
const LEARNT: u64 = 1 << 11;
/// It is no flow, but a connection id.
const ID: u64 = 1 << 12;

/// A worker that has been given something and has sent nothing for so long gets no new flow while another has. Most servers
/// answer within this, and one that does not while it works on something loses nothing but a turn.
pub const LATE_NS: u64 = 10_000_000;

/// An entry that is found, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the set.
    pub way: usize,
    /// The entry.
    pub entry: u64,
}

/// The entry of a new flow.
#[must_use]
#[inline(always)]
pub const fn fresh(hash: u32, seat: u32, window: u32) -> u64 {
    (hash as u64) << 32 | (window as u64 & WINDOW_MASK) << WINDOW_SHIFT | (seat as u64 & 0xff)
}

/// The same entry when another datagram has come in this window.
#[must_use]
#[inline(always)]
pub const fn seen(entry: u64, window: u32) -> u64 {
    let dated = entry & !(WINDOW_MASK << WINDOW_SHIFT) | (window as u64 & WINDOW_MASK) << WINDOW_SHIFT;
    let lasting = if dated == entry { 0 } else { LASTING };
    dated | lasting | ESTABLISHED
}

/// The same flow as one of a QUIC connection, whose id is in the table or not yet.
#[must_use]
#[inline(always)]
pub const fn of_quic(entry: u64, is_learnt: bool) -> u64 {
    entry | QUIC | if is_learnt { LEARNT } else { 0 }
}

/// Whether it is a flow of a QUIC connection.
#[must_use]
#[inline(always)]
pub const fn is_quic(entry: u64) -> bool {
    entry & QUIC != 0
}

/// Whether it is one whose connection id is not in the table yet.
#[must_use]
#[inline(always)]
pub const fn wants_id(entry: u64) -> bool {
    entry & (QUIC | LEARNT) == QUIC
}

/// The entry of a connection id that has come with a flow: it is at the same seat, and stays as long as the flow would.
#[must_use]
#[inline(always)]
pub const fn id(key: u32, flow: u64) -> u64 {
    (key as u64) << 32 | flow & 0xffff_ffff & !(QUIC | LEARNT) | ID
}

/// Whether it is a connection id.
#[must_use]
#[inline(always)]
pub const fn is_id(entry: u64) -> bool {
    entry & ID != 0
}

/// The same flow at another seat.
#[must_use]
#[inline(always)]
pub const fn moved(entry: u64, seat: u32, window: u32) -> u64 {
    seen(entry, window) & !0xff | (seat as u64 & 0xff)
}

/// The seat of an entry.
#[must_use]
#[inline(always)]
pub const fn seat(entry: u64) -> u32 {
    (entry & 0xff) as u32
}

/// Whether more than one datagram has come.
#[must_use]
#[inline(always)]
pub const fn is_established(entry: u64) -> bool {
    entry & ESTABLISHED != 0
}

/// How many windows ago it was last seen. Those of another CPU may be one ahead.
#[inline(always)]
const fn age(entry: u64, window: u32) -> u32 {
    window.wrapping_add(1).wrapping_sub((entry >> WINDOW_SHIFT) as u32) & WINDOW_MASK as u32
}

/// Whether a flow lives.
#[must_use]
#[inline(always)]
pub const fn is_alive(entry: u64, window: u32) -> bool {
    entry != 0 && age(entry, window) <= KEPT_WINDOWS + 1
}

/// The set of a flow.
#[must_use]
#[inline(always)]
pub const fn set_of(hash: u32) -> u32 {
    hash & (SETS - 1)
}

/// Looks a flow up.
#[must_use]
#[inline(always)]
pub fn find(set: &Set, hash: u32, window: u32) -> Option<Found> {
    find_among(|way| set[way], hash, window)
}

/// The same, of a set that is read only as far as it has to be.
#[must_use]
#[inline(always)]
pub fn find_among(entry: impl Fn(usize) -> u64, hash: u32, window: u32) -> Option<Found> {
    let mut way = 0;
    while way < WAYS {
        let entry = entry(way);
        if (entry >> 32) as u32 == hash && is_alive(entry, window) {
            return Some(Found { way, entry });
        }
        way += 1;
    }
    None
}

/// The place for a new flow: of a dead one, or else of the longest unused newcomer, or else of the longest unused of those that were
/// seen in one window only, or else of the longest unused.
#[must_use]
#[inline(always)]
pub fn place_for(set: &Set, window: u32) -> usize {
    /// More than the rank of any that lives.
    const DEAD: u64 = u32::MAX as u64;
    /// More than any age.
    const RANK_SHIFT: u32 = 16;
    const WAY_BITS: u32 = WAYS.ilog2();
    let mut best: u64 = 0;
    let mut way = 0;
    while way < WAYS {
        let entry = set[way];
        let age = u64::from(age(entry, window));
        let standing = (entry >> ESTABLISHED_SHIFT & 1) + (entry >> LASTING_SHIFT & 1);
        let is_empty = less(entry >> 32 | entry & 0xffff_ffff, 1);
        let is_dead = is_empty | less(KEPT_WINDOWS as u64 + 1, age);
        let rank = (((2 - standing) << RANK_SHIFT) + age) | (is_dead * DEAD);
        // Of equal ones the first.
        let place = rank << WAY_BITS | (WAYS - 1 - way) as u64;
        best = best.wrapping_add(place.wrapping_sub(best).wrapping_mul(less(best, place)));
        way += 1;
    }
    WAYS - 1 - (best as usize & (WAYS - 1))
}

/// 1 if one number is less than another, or 0; both are below 2^63. It is no comparison, of which the verifier would follow both ends:
/// of two dozen that takes it a tenth of a second.
#[inline(always)]
fn less(one: u64, other: u64) -> u64 {
    black_box(one.wrapping_sub(other) >> 63)
}

/// By so many flows more than a quarter one of two seats must have more to count as the busier one.
const MARGIN: u64 = 8;

/// [`weight`]: whoever is late.
const LATE: u64 = 1 << 63;

/// What counts against a seat: less is better. Whoever is late comes after all who are not, the longest late last; else it goes by
/// how many flows it has.
#[must_use]
#[inline(always)]
pub const fn weight(load: &FlowSeat, now: u64) -> u64 {
    let owed = if load.talks != 0 && load.owed_since != 0 { now.saturating_sub(load.owed_since) } else { 0 };
    if owed > LATE_NS { LATE | owed >> 1 } else { load.flows }
}

/// Two of `count` places to choose from, by a number that is as good as random.
#[must_use]
#[inline(always)]
pub const fn draw(count: u32, spread: u32) -> (u32, u32) {
    if count < 2 {
        return (0, 0);
    }
    let first = spread % count;
    let second = first + 1 + (spread >> 16) % (count - 1);
    (first, if second >= count { second - count } else { second })
}

/// Which of two seats, each with its weight, a new flow goes to: the first, unless that is late and the other less so; or is clearly
/// busier, and then every second time. Most flows of some protocols are a single datagram and count nowhere, so whoever has
/// fewer flows than all others, as one that has just come, must not get everything: it gets half as much again at the most.
#[must_use]
#[inline(always)]
pub const fn better(first: (u32, u64), second: (u32, u64), spread: u32) -> u32 {
    let is_busier = first.1 > second.1.saturating_add(second.1 / 4 + MARGIN) && spread & 1 << 15 != 0;
    let is_late = first.1 & LATE != 0 && second.1 < first.1;
    if is_late || is_busier { second.0 } else { first.0 }
}

/// How long a window is, of an idle time.
#[must_use]
pub const fn window_ns(idle_ns: u64) -> u64 {
    let window = idle_ns / KEPT_WINDOWS as u64;
    if window == 0 { 1 } else { window }
}

#[cfg(test)]
mod tests;
