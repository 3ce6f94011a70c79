//! Picks the seat of a datagram: that of its flow, or one for a new flow. It runs for each datagram, so a known flow costs two
//! lookups and no lock. What is decided is `llb_common::flow`.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::programs::SkReuseportContext;
use llb_common::{
    abi::{FlowSeat, Group, MAX_SEATS, NO_GROUP, NO_SEAT, OWNER_SEAT_SHIFT},
    flow::{Fate, Found, Set, better, draw, find, fresh, is_established, moved, place_for, seat, seen, weight},
};

use crate::{kernel, maps, quic};

/// Selects a socket; whatever the outcome, the datagram is delivered.
#[inline(always)]
pub fn steer(ctx: &SkReuseportContext) -> Fate {
    // SAFETY: the context is valid during the program's run, and `sk` is never null.
    let hash = unsafe { (*ctx.md).hash };
    let Some(said) = maps::flow_seats() else { return Fate::FallbackMap };
    // SAFETY: words of FLOW_SEATS.
    let (window, only_group) =
        unsafe { (kernel::read(&raw const (*said).window) as u32, kernel::read(&raw const (*said).only_group) as u32) };
    // The program is attached to nothing but groups, so in a fleet of one group it need not be looked up.
    let group = if only_group == 0 { group_of(ctx) } else { only_group - 1 };
    if group == NO_GROUP {
        return Fate::FallbackUnknownSocket;
    }
    let known = black_box(llb_find_flow(hash, window));
    if known != 0 {
        let entry = entry_of(hash, known);
        if maps::select(ctx, group, seat(entry)) {
            let after = seen(entry, window);
            if after != entry {
                llb_set_flow(hash, way_of(known), after as u32);
                if !is_established(entry) {
                    add_flow(seat(entry));
                }
            }
            given(seat(entry));
            return Fate::Known;
        }
    }
    let named = quic::named(ctx, said);
    let is_named = named < MAX_SEATS as u32 && maps::select(ctx, group, named);
    let chosen = if is_named {
        named
    } else {
        let Some(members) = maps::group(group) else { return Fate::FallbackMap };
        let (first, second) = candidates(members, hash, kernel::now());
        if first == NO_SEAT {
            return Fate::FallbackNoSeat;
        }
        if maps::select(ctx, group, first) {
            first
        } else if maps::select(ctx, group, second) {
            second
        } else {
            return Fate::FallbackSelectFailed;
        }
    };
    if known == 0 {
        llb_enter_flow(hash, window, fresh(hash, chosen, window) as u32);
    } else {
        llb_set_flow(hash, way_of(known), moved(entry_of(hash, known), chosen, window) as u32);
        add_flow(chosen);
    }
    given(chosen);
    match (is_named, named, known) {
        (true, ..) => Fate::ByServerId,
        (_, quic::NOBODY, _) => Fate::UnknownServerId,
        (.., 0) => Fate::New,
        _ => Fate::Moved,
    }
}

/// The group of the socket that the kernel's hash would give the datagram to, or [`NO_GROUP`].
#[inline(always)]
fn group_of(ctx: &SkReuseportContext) -> u32 {
    // SAFETY: the context is valid during the program's run, and `sk` is never null.
    let cookie = unsafe { kernel::cookie_of((*ctx.md).__bindgen_anon_3.sk) };
    maps::listener(cookie).map_or(NO_GROUP, |socket| socket.group)
}

/// A worker has sent something by its UDP socket: a sign of life.
#[inline(always)]
pub fn sent(sk: *mut c_void) {
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
    }
}

/// The better of two seats that take new flows, and the other; [`NO_SEAT`] if there is none.
#[inline(always)]
fn candidates(members: *const Group, hash: u32, now: u64) -> (u32, u32) {
    // SAFETY: words of GROUPS; the mask keeps the place inside the array of the group.
    let (count, member) = unsafe {
        let seats = (&raw const (*members).seats).cast::<u8>();
        (kernel::read(&raw const (*members).count), move |place: u32| {
            u32::from(kernel::read(seats.add(place as usize & (MAX_SEATS - 1))))
        })
    };
    if count == 0 {
        return (NO_SEAT, NO_SEAT);
    }
    let (first, second) = draw(count, hash);
    let (first, second) = (member(first), member(second));
    let weights = (black_box(llb_flow_weight(first, now)), black_box(llb_flow_weight(second, now)));
    let best = better((first, weights.0), (second, weights.1), hash);
    (best, if best == first { second } else { first })
}

/// A datagram goes to a seat.
#[inline(always)]
fn given(seat: u32) {
    maps::count_datagram(seat);
    let Some(load) = maps::flow_seat(seat) else { return };
    // SAFETY: a word of FLOW_SEATS; of two that write it at once both are right.
    unsafe {
        if kernel::read(&raw const (*load).owed_since) == 0 {
            kernel::write(&raw mut (*load).owed_since, kernel::now());
        }
    }
}

#[inline(always)]
fn add_flow(seat: u32) {
    if let Some(load) = maps::flow_seat(seat) {
        // SAFETY: a word of FLOW_SEATS.
        unsafe { kernel::add(&raw mut (*load).flows, 1) };
    }
}

/// What [`llb_find_flow`] returns: one more than the way, and the lower half of the entry.
#[inline(always)]
fn way_of(known: u64) -> u32 {
    (known >> 32) as u32 - 1
}

#[inline(always)]
fn entry_of(hash: u32, known: u64) -> u64 {
    u64::from(hash) << 32 | (known & u64::from(u32::MAX))
}

/// A copy of the set of a flow.
#[inline(always)]
fn copy(set: *mut Set) -> Set {
    // SAFETY: words of FLOWS, each of which is read once.
    core::array::from_fn(|way| unsafe { kernel::read(set.cast::<u64>().add(way)) })
}

/// Looks a flow up; 0 if it is not known. Global functions, here and below: the verifier takes each for itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_find_flow(hash: u32, window: u32) -> u64 {
    let Some(set) = maps::flows(hash) else { return 0 };
    match find(&copy(set), hash, window) {
        Some(Found { way, entry }) => (way as u64 + 1) << 32 | (entry & u64::from(u32::MAX)),
        None => 0,
    }
}

/// Writes an entry, whose lower half is given.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_set_flow(hash: u32, way: u32, low: u32) -> u32 {
    let Some(set) = maps::flows(hash) else { return 0 };
    // SAFETY: a word of FLOWS. A CPU that writes another flow there at the same moment makes one of the two new again.
    unsafe { kernel::write(maps::way(set, way), u64::from(hash) << 32 | u64::from(low)) };
    1
}

/// The same, of a flow that has no place yet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_enter_flow(hash: u32, window: u32, low: u32) -> u32 {
    let Some(set) = maps::flows(hash) else { return 0 };
    let way = black_box(place_for(&copy(set), window)) as u32;
    // SAFETY: as above.
    unsafe { kernel::write(maps::way(set, way), u64::from(hash) << 32 | u64::from(low)) };
    1
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
            reserved: 0,
        }
    };
    weight(&load, now)
}
