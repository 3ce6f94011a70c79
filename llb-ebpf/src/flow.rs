//! Picks the seat of a datagram: that of its flow, or one for a new flow. It runs for each datagram, so a known flow costs few
//! lookups, no lock, and no word that another CPU has just written. What is decided is `llb_common::flow`.

mod load;
mod table;

use core::hint::black_box;

use aya_ebpf::programs::SkReuseportContext;
use llb_common::{
    abi::{FlowSeats, Group, MAX_SEATS, NO_GROUP, NO_SEAT},
    flow::{Fate, better, draw, fresh, id, is_established, is_id, is_quic, moved, of_quic, seat, seen, wants_id},
    quic::{ASKED, PREFIXES, begins},
};

pub use self::load::sent;
use self::{
    load::{add_flow, given, given_new, llb_flow_weight},
    table::{llb_find_flow, llb_note_flow},
};
use crate::{
    kernel, maps,
    quic::{self, Head},
};

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
    let known = table::entry(hash, window);
    if known != 0 && maps::select(ctx, group, seat(known)) {
        if seen(known, window) != known || wants_id(known) {
            go_on(ctx, said, known, window);
        }
        given(seat(known));
        return Fate::Known;
    }
    let head = quic::head(ctx);
    let (named, learnt) = (quic::named(&head, said), learnt_seat(&head, said, window));
    let leads = |seat: u32| seat < MAX_SEATS as u32 && maps::select(ctx, group, seat);
    let (chosen, fate) = if leads(named) {
        (named, Fate::ByServerId)
    } else if named == NO_SEAT && leads(learnt) {
        (learnt, Fate::ByLearntId)
    } else {
        let Some(members) = maps::group(group) else { return Fate::FallbackMap };
        let (first, second) = candidates(members, hash, kernel::now());
        let chosen = if first == NO_SEAT {
            return Fate::FallbackNoSeat;
        } else if maps::select(ctx, group, first) {
            first
        } else if maps::select(ctx, group, second) {
            second
        } else {
            return Fate::FallbackSelectFailed;
        };
        match (named, known) {
            (quic::NOBODY, _) => (chosen, Fate::UnknownServerId),
            (_, 0) => (chosen, Fate::New),
            _ => (chosen, Fate::Moved),
        }
    };
    let flow = if known == 0 {
        let is_learnt = matches!(fate, Fate::ByLearntId);
        let flow = fresh(hash, chosen, window);
        if is_learnt || begins(&head.octets) {
            load::ask_length(chosen);
            of_quic(flow, is_learnt)
        } else {
            flow
        }
    } else {
        add_flow(chosen);
        moved(known, chosen, window)
    };
    llb_note_flow(hash, window, flow as u32);
    given_new(chosen);
    fate
}

/// Notes that a known flow goes on; and of a QUIC connection, by which id its client calls it now. That is looked at once in a
/// window, and at first until there is one.
#[inline(always)]
fn go_on(ctx: &SkReuseportContext, said: *const FlowSeats, entry: u64, window: u32) {
    let mut after = seen(entry, window);
    if is_quic(entry)
        && let length = load::id_length(seat(entry))
        && length > ASKED
        && let Some(key) = quic::short_key(&quic::head(ctx), length, said)
    {
        after = of_quic(after, true);
        learn(key, after, window);
    }
    if after != entry {
        llb_note_flow((entry >> 32) as u32, window, after as u32);
        if !is_established(entry) {
            add_flow(seat(entry));
        }
    }
}

/// Enters the connection id that has come with a flow.
#[inline(always)]
fn learn(key: u32, flow: u64, window: u32) {
    let known = black_box(llb_find_flow(key, window));
    // A flow may have this hash, too.
    if known == 0 || is_id(known) {
        llb_note_flow(key, window, id(key, flow) as u32);
    }
}

/// The seat of the flow that the connection id came with last, or [`NO_SEAT`].
#[inline(always)]
fn learnt_seat(head: &Head, said: *const FlowSeats, window: u32) -> u32 {
    for length in PREFIXES {
        let Some(key) = quic::short_key(head, length, said) else { return NO_SEAT };
        let known = black_box(llb_find_flow(key, window));
        if known != 0 && is_id(known) {
            return seat(known);
        }
    }
    NO_SEAT
}

/// The group of the socket that the kernel's hash would give the datagram to, or [`NO_GROUP`].
#[inline(always)]
fn group_of(ctx: &SkReuseportContext) -> u32 {
    // SAFETY: the context is valid during the program's run, and `sk` is never null.
    let cookie = unsafe { kernel::cookie_of((*ctx.md).__bindgen_anon_3.sk) };
    maps::listener(cookie).map_or(NO_GROUP, |socket| socket.group)
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
