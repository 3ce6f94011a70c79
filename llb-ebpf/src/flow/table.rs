//! The table of flows: FLOWS.

use core::{array, hint::black_box};

use llb_common::flow::{find_among, place_for};

use crate::{kernel, maps};

/// Looks a flow up; 0 if it is not known. In its caller, which does so for each datagram: a call takes a third of the time.
#[inline(always)]
pub fn entry(hash: u32, window: u32) -> u64 {
    let Some(set) = maps::flows(hash) else { return 0 };
    // SAFETY: a word of FLOWS.
    let entry = |way| unsafe { kernel::read(set.cast::<u64>().add(way)) };
    find_among(entry, hash, window).map_or(0, |found| found.entry)
}

/// [`entry`]. Global functions, here and below: the verifier takes each for itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_find_flow(hash: u32, window: u32) -> u64 {
    entry(hash, window)
}

/// Writes an entry, whose lower half is given: over the one of its hash, or else where there is room.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_note_flow(hash: u32, window: u32, low: u32) -> u32 {
    let Some(set) = maps::flows(hash) else { return 0 };
    // SAFETY: a word of FLOWS.
    let entry = |way| unsafe { kernel::read(set.cast::<u64>().add(way)) };
    let found = find_among(entry, hash, window);
    // Read again: of a copy that is read once the verifier follows whatever it has learnt of each word, for a tenth of a second.
    let way = found.map_or_else(|| place_for(&array::from_fn(entry), window), |found| found.way);
    // SAFETY: a word of FLOWS. A CPU that writes another flow there at the same moment makes one of the two new again.
    unsafe { kernel::write(maps::way(set, black_box(way) as u32), u64::from(hash) << 32 | u64::from(low)) };
    1
}
