//! Whose a datagram is by its QUIC connection id: `llb_common::quic`, and here its edge to the kernel.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_skb_load_bytes,
    programs::{SkBuffContext, SkReuseportContext},
};
use llb_common::{
    abi::{FlowSeats, NO_SEAT},
    quic::{HEAD, LONG_ID_AT, MAX_WORKERS, begins, key, short_id, told, worker_of},
};

use crate::{kernel, segment::IPV6_LEN};

/// Where a datagram's payload begins: the program's data begin with the UDP header.
const PAYLOAD_AT: u32 = 8;

/// [`named`]: nobody that lives.
pub const NOBODY: u32 = NO_SEAT - 1;

/// How a datagram begins. Aligned, so that it is cleared without a call.
#[repr(C, align(8))]
pub struct Head {
    pub octets: [u8; HEAD],
    /// Of the whole datagram; 0 of one that is too short for QUIC.
    length: u32,
}

/// Reads it.
#[inline(always)]
pub fn head(ctx: &SkReuseportContext) -> Head {
    let mut head = Head { octets: [0; HEAD], length: 0 };
    // SAFETY: the context is valid during the program's run, and the helper writes as many bytes as there are, or none.
    let (loaded, length) = unsafe {
        let to = head.octets.as_mut_ptr().cast::<c_void>();
        (bpf_skb_load_bytes(ctx.as_ptr(), PAYLOAD_AT, to, HEAD as u32), (*ctx.md).len)
    };
    if loaded == 0 {
        head.length = length.saturating_sub(PAYLOAD_AT);
    }
    head
}

/// The seat that the connection id names, [`NOBODY`] if that is none, or [`NO_SEAT`] if there is no such id, or nobody wants to
/// know.
#[inline(always)]
pub fn named(head: &Head, said: *const FlowSeats) -> u32 {
    // SAFETY: a word of FLOW_SEATS.
    if unsafe { kernel::read(&raw const (*said).quic_lb) } == 0 {
        return NO_SEAT;
    }
    match worker_of(&head.octets, head.length) {
        None => NO_SEAT,
        Some(number) if number >= MAX_WORKERS as u32 => NOBODY,
        Some(number) => {
            // SAFETY: a word of FLOW_SEATS; the mask keeps the index inside the array.
            let seat = unsafe {
                let workers = (&raw const (*said).worker).cast::<u16>();
                kernel::read(workers.add(black_box(number) as usize & (MAX_WORKERS - 1)))
            };
            if seat == 0 { NOBODY } else { u32::from(seat) - 1 }
        }
    }
}

/// Where the id of a packet with a short header lies in the table of flows, if ids have this length.
#[inline(always)]
pub fn short_key(head: &Head, length: u64, said: *const FlowSeats) -> Option<u32> {
    if head.length == 0 {
        return None;
    }
    // SAFETY: a word of FLOW_SEATS.
    let secret = unsafe { kernel::read(&raw const (*said).secret) };
    short_id(&head.octets, length).map(|id| key(id, secret))
}

/// A packet of a worker's may tell how long the ids are that it chooses: [`told`].
#[inline(always)]
pub fn length_told(ctx: &SkBuffContext) -> Option<u64> {
    let first: u8 = ctx.load(0).ok()?;
    let at = PAYLOAD_AT as usize + if first >> 4 == 6 { IPV6_LEN } else { usize::from(first & 0xf) * 4 };
    let head: [u8; HEAD] = ctx.load(at).ok()?;
    if !begins(&head) {
        return None;
    }
    // Behind the client's id, and that behind its length.
    let theirs = head[LONG_ID_AT - 1];
    ctx.load(at + LONG_ID_AT + usize::from(theirs)).ok().map(told)
}
