//! QUIC connection ids that name a worker. A client that changes its address or port begins a new flow, and only the connection id
//! in its datagrams says where its connection is: so the server chooses ids that say it.
//!
//! The layout is the plaintext one of QUIC-LB (draft-ietf-quic-load-balancers), with configuration 0, the length described by the id
//! itself, and a server id of two octets:
//!
//! ```text
//! | length of the rest, 6 to 19 (1) | LLB_WORKER, big endian (2) | nonce: random (4 to 17) |
//! ```
//!
//! The server id is the worker's number, and not its slot: a reload's old and new worker share the slot, and a connection of the
//! old one must find the old one. What is read of a packet is the same in every version of QUIC (RFC 8999).
//!
//! Other ids say nothing, but an id that has come with a flow says whose it is when it comes with another one: the client's NAT has given
//! it another port. Behind a short header an id's length is not told, so what counts is how it begins, [`short_id`], and how long the
//! ids are that the worker chooses, which its own long headers tell. A client that moves on purpose takes an id that nobody has seen
//! but its server; nginx's all begin with the number of its socket.
//!
//! ```
//! use llb_common::quic::{ASKED, HEAD, begins, key, short_id, told, worker_of};
//!
//! // A short header, and the id 0x06 0x0103 and four random octets: 1 + 7 octets, and what is encrypted.
//! let short: [u8; HEAD] = [0x40, 6, 1, 3, 0xaa, 0xbb, 0xcc, 0xdd, 0x5e];
//! assert_eq!(worker_of(&short, 1200), Some(0x103));
//! // A long header: the version, and the id's length before it.
//! let long: [u8; HEAD] = [0xc0, 0, 0, 0, 1, 7, 6, 1, 3];
//! assert_eq!(worker_of(&long, 1200), Some(0x103));
//! assert_eq!(worker_of(&[0xc0, 0, 0, 0, 1, 8, 6, 1, 3], 1200), None, "an id of eight octets calls itself seven long");
//!
//! // A connection begins with a long header, and its packets go on with short ones.
//! assert!(begins(&long) && short_id(&long, told(20)).is_none());
//! assert!(!begins(&short) && short_id(&short, told(4)) == Some(0x0601_03aa));
//! assert_eq!(short_id(&short, told(20)), Some(0x0601_03aa_bbcc_dd5e));
//! assert!([0, ASKED, told(0), told(3)].iter().all(|length| short_id(&short, *length).is_none()), "none, or not known");
//! assert_ne!(key(0x0601_03aa, 1), key(0x0601_03aa, 2), "where an id lies in the table is a secret");
//! ```

use crate::abi::MAX_SEATS;

/// So much of a datagram is read: up to the end of the server id behind a long header. No QUIC packet is shorter.
pub const HEAD: usize = 9;

/// Workers that can be named. There are fewer than twice as many as seats, and each has the least number that is free.
pub const MAX_WORKERS: usize = 2 * MAX_SEATS;

/// The first octet of an id, which is the length of the rest: a server id of two octets, a nonce of at least four, and 20 octets in
/// all at the most, as QUIC has it. The three bits above are the number of the configuration, 0.
const RESTS: core::ops::RangeInclusive<u8> = 6..=19;

/// In a long header: the first bit, and where the id's length is.
const LONG: u8 = 0x80;
const LENGTH_AT: usize = 5;

/// Where the receiver's id begins in a long header.
pub const LONG_ID_AT: usize = 6;

/// Where the id begins in a short header.
const SHORT_ID_AT: usize = 1;

/// The number of the worker that the first packet of a datagram is for, if its connection id has the layout. `head` are the first
/// octets of the payload, `length` is all of it.
#[must_use]
#[inline(always)]
pub const fn worker_of(head: &[u8; HEAD], length: u32) -> Option<u32> {
    let is_long = head[0] & LONG != 0;
    let at = if is_long { LONG_ID_AT } else { SHORT_ID_AT };
    // By hand: the verifier wants no index that it does not know.
    let (rest, high, low) = if is_long { (head[6], head[7], head[8]) } else { (head[1], head[2], head[3]) };
    if rest < *RESTS.start() || rest > *RESTS.end() || (is_long && head[LENGTH_AT] != rest + 1) {
        return None;
    }
    // An id is whole, and something comes behind it.
    if length <= at as u32 + rest as u32 + 1 {
        return None;
    }
    Some((high as u32) << 8 | low as u32)
}

/// The bits of a long header's first octet that are set in every version so far.
const FIXED: u8 = 0x40;

/// Versions 1 and 2 (RFC 9000, RFC 9369).
const VERSIONS: [u32; 2] = [1, 0x6b33_43cf];

/// Whether a flow that begins with this datagram is a QUIC connection's.
#[must_use]
#[inline(always)]
pub const fn begins(head: &[u8; HEAD]) -> bool {
    let version = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    head[0] & (LONG | FIXED) == LONG | FIXED && (version == VERSIONS[0] || version == VERSIONS[1])
}

/// [`crate::abi::FlowSeat::id_length`]: a connection has begun, so the worker's next long header tells.
pub const ASKED: u64 = 1 << 8;

/// [`crate::abi::FlowSeat::id_length`]: so many octets.
#[must_use]
#[inline(always)]
pub const fn told(octets: u8) -> u64 {
    octets as u64 | ASKED << 1
}

/// What is read of ids: eight octets where there are, or four. Of shorter ones too many are alike.
pub const PREFIXES: [u64; 2] = [told(8), told(4)];

/// How the connection id behind a short header begins, where it has this length. The header's fixed bit may be clear (RFC 9287).
#[must_use]
#[inline(always)]
pub const fn short_id(head: &[u8; HEAD], length: u64) -> Option<u64> {
    let [first, a, b, c, d, e, f, g, h] = *head;
    if first & LONG != 0 || length < PREFIXES[1] {
        return None;
    }
    let four = u32::from_be_bytes([a, b, c, d]) as u64;
    let eight = four << 32 | u32::from_be_bytes([e, f, g, h]) as u64;
    Some(if length < PREFIXES[0] { four } else { eight })
}

/// What takes the place of a flow's hash for an id, in the table of flows.
#[must_use]
#[inline(always)]
pub const fn key(id: u64, secret: u64) -> u32 {
    let mixed = (secret ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// An id as a server makes it.
    fn id(worker: u16, nonce: &[u8]) -> Vec<u8> {
        [&[2 + nonce.len() as u8][..], &worker.to_be_bytes(), nonce].concat()
    }

    fn long(first: u8, version: u32, id: &[u8], behind: &[u8]) -> Vec<u8> {
        [&[first | LONG][..], &version.to_be_bytes(), &[id.len() as u8], id, behind].concat()
    }

    fn read(packet: &[u8]) -> Option<u32> {
        worker_of(packet.first_chunk()?, packet.len() as u32)
    }

    proptest! {
        #[test]
        fn an_id_is_read_behind_either_header(
            worker: u16, nonce in proptest::collection::vec(any::<u8>(), 4..=17), first: u8, version: u32,
            behind in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let id = id(worker, &nonce);
            let short = [&[first & !LONG][..], &id, &behind].concat();
            prop_assert_eq!(read(&short), Some(worker.into()));
            prop_assert_eq!(read(&long(first, version, &id, &behind)), Some(worker.into()));
            // One that is cut off names nobody.
            prop_assert_eq!(read(&short[..=id.len()]), None);
            prop_assert_eq!(read(&long(first, version, &id, &[])), None);
        }

        #[test]
        fn whatever_comes_is_read_or_not(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(worker) = read(&packet) {
                let id = if packet[0] & LONG == 0 { &packet[1..] } else { &packet[6..] };
                prop_assert!(RESTS.contains(&id[0]) && id.len() > id[0] as usize);
                prop_assert_eq!(worker, u32::from(id[1]) << 8 | u32::from(id[2]));
            }
        }
    }

    proptest! {
        #[test]
        fn a_short_id_is_how_it_begins(id in proptest::collection::vec(any::<u8>(), 4..=20), first: u8, more: [u8; 8]) {
            let packet = |first: u8, id: &[u8], more: &[u8]| [&[first & !LONG], id, more].concat();
            let read = |packet: &[u8]| short_id(packet.first_chunk().expect("a head"), told(id.len() as u8));
            let counts = if id.len() < 8 { 4 } else { 8 };
            let read_id = read(&packet(first, &id, &more));
            let value = id[..counts].iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
            prop_assert_eq!(read_id, Some(value));
            prop_assert_eq!(read(&packet(!first, &id[..counts], &[more, more].concat())), read_id, "what comes behind");
            prop_assert_eq!(read(&[&[first | LONG], &id[..], &more].concat()), None);
        }
    }

    #[test]
    fn queries_begin_no_connection() {
        assert!(!begins(b"\xc2\x34\x01\0\0\x01\0\0\0"), "a query of DNS");
        assert!(!begins(b"\x80\0\0\0\x01\x08\0\0\0"), "without the fixed bit");
        assert!(begins(b"\xd0\x6b\x33\x43\xcf\x08\0\0\0"), "version 2");
    }

    #[test]
    fn ids_of_other_layouts_name_nobody() {
        let nonce = [7; 5];
        for first in [0, 5, 20, 31, 1 << 5 | 7, 7 << 5 | 7] {
            let mut other = id(3, &nonce);
            other[0] = first;
            assert_eq!(read(&[&[0x40], &other[..], &[0; 30]].concat()), None, "{first:#x}");
        }
        assert_eq!(read(&long(0xc0, 1, &[], &[0; 30])), None, "no id");
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\x07example\0\0\x01\0\x01";
        assert_eq!(read(query), None, "a query of DNS");
    }
}
