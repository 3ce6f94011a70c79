//! Whose a datagram is by its QUIC connection id: `llb_common::quic`, and here its edge to the kernel.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{EbpfContext, helpers::generated::bpf_skb_load_bytes, programs::SkReuseportContext};
use llb_common::{
    abi::{FlowSeats, NO_SEAT},
    quic::{HEAD, MAX_WORKERS, worker_of},
};

use crate::kernel;

/// Where a datagram's payload begins: the program's data begin with the UDP header.
const PAYLOAD_AT: u32 = 8;

/// [`named`]: nobody that lives.
pub const NOBODY: u32 = NO_SEAT - 1;

/// The seat that the connection id names, [`NOBODY`] if that is none, or [`NO_SEAT`] if there is no such id, or nobody wants to
/// know.
#[inline(always)]
pub fn named(ctx: &SkReuseportContext, said: *const FlowSeats) -> u32 {
    // SAFETY: a word of FLOW_SEATS.
    if unsafe { kernel::read(&raw const (*said).quic_lb) } == 0 {
        return NO_SEAT;
    }
    let mut head = [0u8; HEAD];
    // SAFETY: the context is valid during the program's run, and the helper writes as many bytes as there are, or none.
    let (loaded, length) = unsafe {
        let to = head.as_mut_ptr().cast::<c_void>();
        (bpf_skb_load_bytes(ctx.as_ptr(), PAYLOAD_AT, to, HEAD as u32), (*ctx.md).len)
    };
    if loaded != 0 {
        return NO_SEAT;
    }
    match worker_of(&head, length.saturating_sub(PAYLOAD_AT)) {
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
