//! Gives a connection of llb's own to the worker that it is meant for, whatever the policy says. Userspace binds the socket before
//! it enters the address, and nobody else can connect from there.

use aya_ebpf::programs::SkReuseportContext;
use llb_common::abi::{Asker, MAX_SEATS};

use crate::{kernel, maps, select::llb_charge, sticky};

/// What becomes of it.
pub enum Reached {
    /// It is meant for nobody: a client's.
    Nobody,
    /// Its worker gets it.
    Worker,
    /// Its worker cannot get it, and nobody else may: an answer of another one would be taken for that worker's.
    Refused,
}

#[inline(always)]
pub fn reach(ctx: &SkReuseportContext) -> Reached {
    let asker = Asker { source: sticky::source(ctx), port: port(ctx).into() };
    let Some(reach) = maps::reach(&asker) else { return Reached::Nobody };
    // SAFETY: the context is valid during the program's run, and the words are REACHES'.
    unsafe {
        // Its worker's queue is given to others.
        if !(*ctx.md).__bindgen_anon_4.migrating_sk.is_null() {
            return Reached::Refused;
        }
        let place = kernel::read(&raw const (*reach).place);
        if !maps::select_at(ctx, place) {
            return Reached::Refused;
        }
        kernel::write(&raw mut (*reach).is_made, 1);
        llb_charge(place & (MAX_SEATS as u32 - 1), kernel::now());
    }
    Reached::Worker
}

/// The port that it comes from; 0, which is no port, if that is not to be seen.
#[inline(always)]
fn port(ctx: &SkReuseportContext) -> u16 {
    // SAFETY: the context is valid during the program's run; its data begin with the transport header, and that with the port.
    unsafe {
        let moving = (*ctx.md).__bindgen_anon_4.migrating_sk;
        if !moving.is_null() {
            return u16::from_be(kernel::read(&raw const (*moving).dst_port));
        }
        let start = (*ctx.md).__bindgen_anon_1.data as usize;
        let end = (*ctx.md).__bindgen_anon_2.data_end as usize;
        if start + size_of::<u16>() > end {
            return 0;
        }
        u16::from_be((start as *const u16).read_unaligned())
    }
}
