//! Leads a connection of llb's own to one listener, past its group and the books: to ask a worker that is not in its group
//! yet whether it is ready. Nobody else's connection comes from the address and port that it is made from.

use core::ptr::read_volatile;

use aya_ebpf::{bindings::bpf_sk_lookup, programs::SkLookupContext};
use llb_common::abi::Endpoint;

use crate::maps;

const IPV4: u32 = 2;
const TCP: u32 = 6;

/// `BPF_SK_LOOKUP_F_NO_REUSEPORT`: this listener, and none that its group chooses.
const THIS_ONE: u64 = 1 << 1;

/// The context's fields, each read by a load of its own, as the kernel demands, and all of them before any choice: of two loads
/// in two branches the compiler makes one at an address that is chosen, which the kernel refuses.
macro_rules! read {
    ($lookup:ident, $($field:tt)+) => {
        // SAFETY: the kernel's context is there as long as the program runs.
        unsafe { read_volatile(&raw const (*$lookup).$($field)+) }
    };
}

#[inline(always)]
pub fn direct(ctx: &SkLookupContext) {
    let lookup: *const bpf_sk_lookup = ctx.lookup;
    let (family, protocol) = (read!(lookup, family), read!(lookup, protocol));
    let (from, to) = (read!(lookup, remote_port), read!(lookup, local_port));
    let ip4 = read!(lookup, remote_ip4);
    let ip6 = [
        read!(lookup, remote_ip6[0]),
        read!(lookup, remote_ip6[1]),
        read!(lookup, remote_ip6[2]),
        read!(lookup, remote_ip6[3]),
    ];
    if protocol != TCP {
        return;
    }
    let words = if family == IPV4 { [0, 0, 0xffff_u32.to_be(), ip4] } else { ip6 };
    let mut addr = [0; 16];
    for (bytes, word) in addr.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    maps::direct(ctx, Endpoint { addr, port: u16::from_be(from).into(), scope: to }, THIS_ONE);
}
