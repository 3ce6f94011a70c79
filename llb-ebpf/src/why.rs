//! Notes what a choice reads and which seat it takes, while `llb why` runs: `llb_common::why`. While nobody does, each of the
//! three hooks in [`crate::select`] is one word that is read: they are handed the place, which the selector has looked up anyway.
//!
//! The hooks call global functions, each of which the verifier takes for itself, once. A packet that interrupts a migration in a
//! process overwrites its note: that one is lost or wrong, and nothing else depends on it.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::helpers::generated::bpf_loop;
use llb_common::{
    abi::{Group, MAX_SEATS, Seats},
    outcome::Outcome,
    select::{Fleet, STALE_AFTER_NS},
    why::{HEAD, LINED_UP, Look, MOVING, Sample},
};

use crate::{
    kernel, maps,
    select::{Maps, load},
};

/// A choice that is being noted.
#[repr(C)]
pub struct Note {
    /// Not 0: it is.
    wanted: u64,
    sample: Sample,
}

/// Whether somebody asks, as far as is known without a look at the clock. Read anew each time: of a word that it knows the verifier
/// would follow each way to the end.
#[inline(always)]
fn is_on(seats: *const Seats) -> bool {
    // SAFETY: a word of SEATS.
    unsafe { kernel::read(&raw const (*seats).why_until) != 0 }
}

/// A choice begins.
#[inline(always)]
pub fn begin(seats: *const Seats) {
    if is_on(seats) {
        llb_why_begin();
    }
}

/// It comes to the policy, in this group.
#[inline(always)]
pub fn look(seats: *const Seats, group: u32, turn: u32, lined_up: bool) {
    if is_on(seats) {
        llb_why_sets(group, turn, lined_up.into());
        llb_why_look(group);
    }
}

/// It is made.
#[inline(always)]
pub fn end(seats: *const Seats, seat: u32, outcome: Outcome, is_moving: bool) {
    if is_on(seats) {
        llb_why_end(seat, outcome.index(), is_moving.into());
    }
}

/// Whether this choice is to be noted is decided here, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_why_begin() -> u32 {
    let (Some(seats), Some(note)) = (maps::seats(), maps::note()) else { return 0 };
    let now = kernel::now();
    // SAFETY: words of SEATS and CHOICE. Two CPUs may note a choice at the same time.
    unsafe {
        let is_due = now >= kernel::read(&raw const (*seats).why_next);
        let wanted = is_due && now < kernel::read(&raw const (*seats).why_until);
        if wanted {
            let every = kernel::read(&raw const (*seats).why_every);
            kernel::write(&raw mut (*seats).why_next, now.wrapping_add(every));
        }
        kernel::write(&raw mut (*note).wanted, wanted.into());
        kernel::write(&raw mut (*note).sample.at, now);
        kernel::write(&raw mut (*note).sample.count, 0);
    }
    1
}

/// What [`look_at`] gets.
struct Looking {
    group: *const Group,
    note: *mut Note,
    now: u64,
}

/// Notes what is known of all members at once. Apart from [`llb_why_look`], as the stack of all functions that call each other is
/// small.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_why_sets(index: u32, turn: u32, lined_up: u32) -> u32 {
    let (Some(group), Some(published), Some(note)) = (maps::group(index), maps::published(), maps::note()) else {
        return 0;
    };
    // SAFETY: words of CHOICE and PUBLISHED.
    unsafe {
        if kernel::read(&raw const (*note).wanted) == 0 {
            return 0;
        }
        let now = kernel::read(&raw const (*note).sample.at);
        let fresh = now.saturating_sub(kernel::read(&raw const (*published).at)) < STALE_AFTER_NS;
        let fleet = Maps { group, published, fresh, lined_up: lined_up != 0, now };
        let sample = &raw mut (*note).sample;
        kernel::write(&raw mut (*sample).idle, fleet.idle(false));
        kernel::write(&raw mut (*sample).near, fleet.idle(true));
        kernel::write(&raw mut (*sample).fewest, fleet.fewest());
        kernel::write(&raw mut (*sample).last, fleet.last());
        kernel::write(&raw mut (*sample).least, kernel::read(&raw const (*published).least));
        kernel::write(&raw mut (*sample).policy, kernel::read(&raw const (*published).policy));
        kernel::write(&raw mut (*sample).turn, turn);
        kernel::write(&raw mut (*sample).group, index);
        kernel::write(&raw mut (*sample).flags, if lined_up != 0 { LINED_UP } else { 0 });
    }
    1
}

/// Notes what is known of each.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_why_look(index: u32) -> u32 {
    let (Some(group), Some(note)) = (maps::group(index), maps::note()) else { return 0 };
    // SAFETY: words of CHOICE and GROUPS, and `bpf_loop` passes on what it is given, which lives on this stack until it returns.
    unsafe {
        if kernel::read(&raw const (*note).wanted) == 0 {
            return 0;
        }
        let now = kernel::read(&raw const (*note).sample.at);
        let count = kernel::read(&raw const (*group).count);
        let mut looking = Looking { group, note, now };
        bpf_loop(count, look_at as *mut c_void, (&raw mut looking).cast(), 0);
        kernel::write(&raw mut (*note).sample.count, count);
    }
    1
}

/// Notes what is known of one member.
extern "C" fn look_at(place: u32, looking: *mut Looking) -> i64 {
    let place = place as usize & (MAX_SEATS - 1);
    // SAFETY: `bpf_loop` passes on what `llb_why_look` gave it; the mask keeps the place inside the arrays.
    unsafe {
        let Looking { group, note, now } = *looking;
        let seat = u32::from(kernel::read((&raw const (*group).seats).cast::<u8>().add(place)));
        let look = Look::of(seat, load(seat, maps::published_cost(seat, now), now));
        kernel::write((&raw mut (*note).sample.looks).cast::<Look>().add(place), look);
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_why_end(seat: u32, outcome: u32, is_moving: u32) -> u32 {
    let Some(note) = maps::note() else { return 0 };
    // SAFETY: words of CHOICE; the length is checked.
    unsafe {
        if kernel::read(&raw const (*note).wanted) == 0 {
            return 0;
        }
        kernel::write(&raw mut (*note).wanted, 0);
        let sample = &raw mut (*note).sample;
        let count = black_box(kernel::read(&raw const (*sample).count));
        if count as usize > MAX_SEATS {
            return 0;
        }
        let flags = if count == 0 { 0 } else { kernel::read(&raw const (*sample).flags) };
        kernel::write(&raw mut (*sample).flags, flags | if is_moving != 0 { MOVING } else { 0 });
        kernel::write(&raw mut (*sample).seat, seat);
        kernel::write(&raw mut (*sample).outcome, outcome);
        maps::send_choice(sample, HEAD + count as usize * size_of::<Look>());
    }
    1
}
