//! The line's kernel side: a newcomer takes a place, and who is handed over goes where userspace says. What both sides know is
//! `llb_common::line`.

use core::hint::black_box;

use aya_ebpf::programs::SkReuseportContext;
use llb_common::{
    abi::{EVENT_ANSWER, Listener, NO_SEAT, Published, SocketEvent},
    line::{PLACES, STALE_AFTER_NS, TRIES, WORDS, free_bit, is_place, number, place},
    sticky::Source,
    track::Delta,
};

use crate::{kernel, maps, sticky};

/// How many requests a worker serves at once, if newcomers wait who find none free; 0 if they do not.
///
/// # Safety
/// `published` points into PUBLISHED.
#[inline(always)]
pub unsafe fn concurrency(published: *const Published, at: u64, now: u64) -> u32 {
    // SAFETY: the caller's promise.
    let concurrency = unsafe { kernel::read(&raw const (*published).concurrency) };
    if now.saturating_sub(at) < STALE_AFTER_NS { concurrency } else { 0 }
}

/// Whether somebody waits, in whichever line: first come, first served.
#[inline(always)]
pub fn is_anybody_waiting() -> bool {
    // SAFETY: a word of SEATS.
    maps::waiting().is_some_and(|waiting| unsafe { kernel::read(waiting) != 0 })
}

/// Selects a free place in the line of a group; its number, or [`NO_SEAT`] if there is none.
#[inline(always)]
pub fn claim(ctx: &SkReuseportContext, group: u32, now: u64) -> u32 {
    let (Some(line), Some(waiting)) = (maps::line(group), maps::waiting()) else { return NO_SEAT };
    let claimed = black_box(llb_claim(group));
    if claimed == NO_SEAT {
        return NO_SEAT;
    }
    let claimed = claimed & (PLACES - 1);
    // SAFETY: words of LINES and SEATS; the mask keeps the place inside.
    unsafe {
        if !maps::select_place(ctx, group, claimed) {
            kernel::set_bits(maps::free_at(line, claimed), 1 << (claimed % 64));
            return NO_SEAT;
        }
        kernel::write(&raw mut (*maps::place_at(line, claimed)).claimed_at, now);
        kernel::add(waiting, 1);
        number(group, claimed)
    }
}

/// Claims a free place of a group's line, [`NO_SEAT`] of none. A global function: the verifier takes it for itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_claim(group: u32) -> u32 {
    let Some(line) = maps::line(group) else { return NO_SEAT };
    for word in 0..WORDS {
        // SAFETY: a value of LINES.
        if let Some(bit) = unsafe { claim_bit(maps::free_at(line, word as u32 * 64)) } {
            return place(word, bit);
        }
    }
    NO_SEAT
}

/// Takes a bit out of a word of free places.
///
/// # Safety
/// `free` points into LINES.
#[inline(always)]
unsafe fn claim_bit(free: *mut u64) -> Option<u64> {
    for _ in 0..TRIES {
        // SAFETY: the caller's promise.
        unsafe {
            let first = free_bit(kernel::read(free));
            if first == 0 {
                return None;
            }
            if kernel::take_bits(free, first) != 0 {
                return Some(first);
            }
        }
    }
    None
}

/// Selects the worker that userspace has named for what waits in a place; its seat, or [`NO_SEAT`] if the policy is to
/// choose. The word counts once, so that it is never two that go there.
#[inline(always)]
pub fn obey<const STICKY: bool>(ctx: &SkReuseportContext, known: Listener, client: Source) -> u32 {
    let Some(place) = maps::place(known.seat) else { return NO_SEAT };
    // SAFETY: a word of LINES.
    let target = unsafe { kernel::take_bits(&raw mut (*place).target, u64::MAX) } as u32;
    let mut seat = target.wrapping_sub(1);
    if STICKY && target != 0 {
        let now = kernel::now();
        // While it waited another of its connections may have found a home.
        let (home, _) = sticky::seat_for(client, known.group, now);
        if home == NO_SEAT {
            sticky::note(client, known.group, seat, sticky::MADE, now);
        } else {
            seat = home;
        }
    }
    if target != 0 && maps::select(ctx, known.group, seat) { seat } else { NO_SEAT }
}

/// Keeps the books of a connection that waits; true if it does.
#[inline(always)]
pub fn keeps(index: u32, delta: &Delta) -> bool {
    if !is_place(index) {
        return false;
    }
    if let Some(place) = maps::place(index) {
        // SAFETY: words of LINES. Down is up by the complement.
        unsafe {
            if delta.begun != delta.ended {
                kernel::add(&raw mut (*place).begun, delta.begun.wrapping_sub(delta.ended));
            }
            if delta.closed != 0 {
                kernel::add(&raw mut (*place).closed, delta.closed);
            }
        }
    }
    true
}

/// A worker has answered: if somebody waits, userspace must hear of it at once.
#[inline(always)]
pub fn tell_of_answer() {
    if is_anybody_waiting() {
        // A full buffer holds such a word already.
        let _ = maps::send(&SocketEvent { kind: EVENT_ANSWER, ..SocketEvent::default() });
    }
}
