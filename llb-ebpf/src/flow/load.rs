//! What a seat has of UDP: FLOW_SEATS, and what is counted of it.

use core::ffi::c_void;

use aya_ebpf::programs::SkBuffContext;
use llb_common::{
    abi::{FlowSeat, OWNER_SEAT_SHIFT},
    flow::weight,
    quic::ASKED,
};

use crate::{kernel, maps, quic};

/// A datagram of a known flow goes to a seat. Whether that owes something is seen to once in a tick.
#[inline(always)]
pub fn given(seat: u32) {
    let Some(count) = maps::flow_count(seat) else { return };
    let tick = kernel::ticks();
    // SAFETY: a value of FLOW_COUNTS.
    unsafe {
        maps::bump(count);
        let looked_in = &raw mut (*count).looked_in;
        if kernel::read(looked_in) != tick {
            kernel::write(looked_in, tick);
            owes(seat);
        }
    }
}

/// The same of a new flow: what its seat owes decides about the next one.
#[inline(always)]
pub fn given_new(seat: u32) {
    if let Some(count) = maps::flow_count(seat) {
        // SAFETY: a value of FLOW_COUNTS.
        unsafe { maps::bump(count) };
    }
    owes(seat);
}

#[inline(always)]
fn owes(seat: u32) {
    let Some(load) = maps::flow_seat(seat) else { return };
    // SAFETY: a word of FLOW_SEATS; of two that write it at once both are right.
    unsafe {
        if kernel::read(&raw const (*load).owed_since) == 0 {
            kernel::write(&raw mut (*load).owed_since, kernel::now());
        }
    }
}

/// A flow of the seat goes on.
#[inline(always)]
pub fn add_flow(seat: u32) {
    if let Some(load) = maps::flow_seat(seat) {
        // SAFETY: a word of FLOW_SEATS.
        unsafe { kernel::add(&raw mut (*load).flows, 1) };
    }
}

/// A QUIC connection begins: of the first of a worker its answer tells how long ids are.
#[inline(always)]
pub fn ask_length(seat: u32) {
    let Some(load) = maps::flow_seat(seat) else { return };
    // SAFETY: a word of FLOW_SEATS.
    unsafe {
        if kernel::read(&raw const (*load).id_length) == 0 {
            kernel::write(&raw mut (*load).id_length, ASKED);
        }
    }
}

/// How long the ids are that a worker chooses.
#[inline(always)]
pub fn id_length(seat: u32) -> u64 {
    // SAFETY: a word of FLOW_SEATS.
    maps::flow_seat(seat).map_or(0, |load| unsafe { kernel::read(&raw const (*load).id_length) })
}

/// A worker has sent something by its UDP socket: a sign of life.
#[inline(always)]
pub fn sent(ctx: &SkBuffContext, sk: *mut c_void) {
    let Some(owner) = maps::owner(sk) else { return };
    let seat = (owner.flags >> OWNER_SEAT_SHIFT) as u32;
    if seat == 0 {
        return;
    }
    let Some(load) = maps::flow_seat(seat - 1) else { return };
    // SAFETY: words of FLOW_SEATS, which are written only if they change.
    unsafe {
        if kernel::read(&raw const (*load).owed_since) != 0 {
            kernel::write(&raw mut (*load).owed_since, 0);
        }
        if kernel::read(&raw const (*load).talks) == 0 {
            kernel::write(&raw mut (*load).talks, 1);
        }
        if kernel::read(&raw const (*load).id_length) == ASKED
            && let Some(length) = quic::length_told(ctx)
        {
            kernel::write(&raw mut (*load).id_length, length);
        }
    }
}

/// [`weight`] of a seat.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_flow_weight(index: u32, now: u64) -> u64 {
    let Some(load) = maps::flow_seat(index) else { return 0 };
    // SAFETY: words of FLOW_SEATS.
    let load = unsafe {
        FlowSeat {
            flows: kernel::read(&raw const (*load).flows),
            owed_since: kernel::read(&raw const (*load).owed_since),
            talks: kernel::read(&raw const (*load).talks),
            id_length: 0,
        }
    };
    weight(&load, now)
}
