//! The flows of UDP.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use llb_common::{
    abi::{FlowCount, FlowSeat, FlowSeats, MAX_SEATS},
    flow::{Fate, SETS, Set, WAYS, set_of},
};

use super::MMAPABLE;
use crate::kernel;

#[map]
static FLOWS: Array<Set> = Array::with_max_entries(SETS, MMAPABLE);
#[map]
static FLOW_SEATS: Array<FlowSeats> = Array::with_max_entries(1, MMAPABLE);
#[map]
static FLOW_COUNTS: PerCpuArray<FlowCount> =
    PerCpuArray::with_max_entries(MAX_SEATS as u32 + Fate::ALL.len() as u32, 0);

/// The set of flows that a flow is in.
#[inline(always)]
pub fn flows(hash: u32) -> Option<*mut Set> {
    FLOWS.get_ptr_mut(set_of(hash))
}

/// A place in a set.
///
/// # Safety
/// `set` points into FLOWS.
#[inline(always)]
pub unsafe fn way(set: *mut Set, way: u32) -> *mut u64 {
    // SAFETY: the caller's promise; the mask keeps the index inside the array.
    unsafe { set.cast::<u64>().add(way as usize & (WAYS - 1)) }
}

/// What is said of UDP.
#[inline(always)]
pub fn flow_seats() -> Option<*const FlowSeats> {
    FLOW_SEATS.get_ptr(0)
}

/// A seat's UDP load.
#[inline(always)]
pub fn flow_seat(index: u32) -> Option<*mut FlowSeat> {
    let seats = FLOW_SEATS.get_ptr_mut(0)?;
    // SAFETY: the mask keeps the index inside the array.
    Some(unsafe { (&raw mut (*seats).seat).cast::<FlowSeat>().add(index as usize & (MAX_SEATS - 1)) })
}

/// What this CPU has counted of a seat.
#[inline(always)]
pub fn flow_count(seat: u32) -> Option<*mut FlowCount> {
    FLOW_COUNTS.get_ptr_mut(seat & (MAX_SEATS as u32 - 1))
}

/// Counts what became of a datagram.
#[inline(always)]
pub fn count_fate(fate: Fate) {
    if let Some(count) = FLOW_COUNTS.get_ptr_mut(MAX_SEATS as u32 + fate as u32) {
        // SAFETY: a value of FLOW_COUNTS.
        unsafe { bump(count) };
    }
}

/// One datagram more. Without a lock, as it is one CPU's own and nothing interrupts a datagram's delivery to deliver another.
///
/// # Safety
/// `count` points into FLOW_COUNTS.
#[inline(always)]
pub unsafe fn bump(count: *mut FlowCount) {
    // SAFETY: the caller's promise.
    unsafe {
        let datagrams = &raw mut (*count).datagrams;
        kernel::write(datagrams, kernel::read(datagrams) + 1);
    }
}
