//! Remembers where clients belong, and finds them there: what both sides know of it is `llb_common::sticky`. All of it is behind
//! [`is_on`], a constant when the programs are loaded: the verifier drops what is not asked for.
//!
//! A client is entered when it has completed a handshake, where its connection is established; before that it is a newcomer.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_loop, bpf_skb_load_bytes_relative},
    programs::{SkReuseportContext, SockOpsContext},
};
use llb_common::{
    abi::{Client, MAX_SEATS, NO_SEAT, Sticky},
    policy::Policy,
    set,
    sticky::{AWAY, NEW, NO_HOME, OUT, Source, find, is_known, slot_of},
};

use crate::{kernel, maps};

const AF_INET: u32 = 2;
/// As the context has them, in network byte order.
const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
/// Where the source lies in a header.
const SOURCE4_AT: u32 = 12;
const SOURCE6_AT: u32 = 8;
/// `BPF_HDR_START_NET`
const FROM_NETWORK_HEADER: u32 = 1;

/// A client that comes again within this is not noted anew: the line of memory stays as it is, ns.
const NOTED_EVERY_NS: u64 = 1_000_000_000;

/// Nobody: `::` is no client's address.
pub const NOBODY: Source = Source { hi: 0, lo: 0 };

/// Whether clients are remembered.
#[inline(always)]
pub fn is_on() -> bool {
    maps::prefixes() != 0
}

/// Of the bits that make a client. By way of a function that the verifier takes for itself: behind it a number is any number, and
/// not what each way to it has made of it.
#[inline(always)]
fn masked(source: Source) -> Source {
    let half = |is_lower: u32| core::hint::black_box(llb_masked(source.hi, source.lo, is_lower));
    Source { hi: half(0), lo: half(1) }
}

/// Half of a client's address.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_masked(hi: u64, lo: u64, is_lower: u32) -> u64 {
    let prefixes = maps::prefixes();
    let masked = Source { hi, lo }.masked(prefixes & 0xff, prefixes >> 8);
    if is_lower == 0 { masked.hi } else { masked.lo }
}

#[inline(always)]
fn v6(words: [u32; 4]) -> Source {
    let pair = |high: u32, low: u32| u64::from(u32::from_be(high)) << 32 | u64::from(u32::from_be(low));
    Source::v6(pair(words[0], words[1]), pair(words[2], words[3]))
}

/// The client of the connection that is to be given to somebody.
#[inline(always)]
pub fn client(ctx: &SkReuseportContext) -> Source {
    masked(source(ctx))
}

/// The address that it comes from.
#[inline(always)]
pub fn source(ctx: &SkReuseportContext) -> Source {
    // SAFETY: the context is valid during the program's run. Fields of its sockets are read word by word.
    unsafe {
        let moving = (*ctx.md).__bindgen_anon_4.migrating_sk;
        if moving.is_null() {
            from_packet(ctx, (*ctx.md).eth_protocol)
        } else if kernel::read(&raw const (*moving).family) == AF_INET {
            Source::v4(u32::from_be(kernel::read(&raw const (*moving).dst_ip4)))
        } else {
            v6(kernel::read(&raw const (*moving).dst_ip6))
        }
    }
}

#[inline(always)]
fn from_packet(ctx: &SkReuseportContext, protocol: u32) -> Source {
    let (mut words, is_v6) = ([0u32; 4], protocol == ETH_P_IPV6);
    if !is_v6 && protocol != ETH_P_IP {
        return NOBODY;
    }
    let (at, length) = if is_v6 { (SOURCE6_AT, 16) } else { (SOURCE4_AT, 4) };
    // SAFETY: the helper writes so many bytes at most.
    let read = unsafe {
        bpf_skb_load_bytes_relative(ctx.as_ptr(), at, words.as_mut_ptr().cast::<c_void>(), length, FROM_NETWORK_HEADER)
    };
    match (read, is_v6) {
        (0, true) => v6(words),
        (0, false) => Source::v4(u32::from_be(words[0])),
        _ => NOBODY,
    }
}

/// A connection is established: its client is no newcomer any more.
#[inline(always)]
pub fn established(ctx: &SockOpsContext) {
    // SAFETY: fields of the context, which is valid during the program's run; volatile, so that neither read moves into a
    // branch.
    let (ip4, ip6) =
        unsafe { (kernel::read(&raw const (*ctx.ops).remote_ip4), kernel::read(&raw const (*ctx.ops).remote_ip6)) };
    let source = if ctx.family() == AF_INET { Source::v4(u32::from_be(ip4)) } else { v6(ip6) };
    let client = masked(source);
    let Some(newcomer) = maps::newcomer(&client) else { return };
    // In this order: who looks meanwhile finds it in one of the maps.
    enter(&client, newcomer);
    maps::leave_newcomers(&client);
}

/// Enters a client, if none is there yet.
#[inline(always)]
fn enter(client: &Source, entry: Client) {
    if maps::enter_client(client, &entry) {
        count(entry.home);
    }
}

/// Counts a slot's new client.
#[inline(always)]
fn count(home: u32) {
    let Some(sticky) = maps::sticky() else { return };
    // SAFETY: words of STICKY; the mask keeps the slot inside.
    unsafe {
        let clients = (&raw mut (*sticky).clients).cast::<u64>();
        kernel::add(clients.add(slot_of(home) as usize & (MAX_SEATS - 1)), 1);
        kernel::add(&raw mut (*sticky).entered, 1);
    }
}

/// The home of a seat, or [`NO_HOME`].
///
/// # Safety
/// `sticky` points to STICKY.
#[inline(always)]
unsafe fn home_of(sticky: *const Sticky, seat: u32) -> u32 {
    // SAFETY: the caller's promise; the mask keeps the seat inside.
    let home = unsafe {
        let homes = (&raw const (*sticky).home).cast::<u16>();
        kernel::read(homes.add(seat as usize & (MAX_SEATS - 1)))
    };
    u32::from(home).wrapping_sub(1)
}

/// How long a client is known, and how many slots there are.
///
/// # Safety
/// `sticky` points to STICKY.
#[inline(always)]
unsafe fn terms(sticky: *const Sticky) -> (u64, u32) {
    // SAFETY: the caller's promise.
    unsafe { (kernel::read(&raw const (*sticky).ttl_ns), kernel::read(&raw const (*sticky).slots) as u32) }
}

/// [`find`] of a client in a group. It and the following are global functions for the verifier's sake, as those of the choice.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_find(hi: u64, lo: u64, group: u32, now: u64) -> u32 {
    let client = Source { hi, lo };
    let (Some(sticky), Some(published)) = (maps::sticky(), maps::published()) else { return NEW };
    // SAFETY: a word of PUBLISHED. When a fleet ends the hash chooses.
    let policy = Policy::from_u32(unsafe { kernel::read(&raw const (*published).policy) });
    if client == NOBODY || matches!(policy, Policy::Hash) {
        return NEW;
    }
    // It may change from one map to the other between two looks.
    let entry = maps::client(&client).or_else(|| maps::newcomer_ptr(&client)).or_else(|| maps::client(&client));
    let Some(entry) = entry else { return NEW };
    // SAFETY: words of STICKY and of a client's entry, which another may write at the same time: each is one word.
    unsafe {
        let (ttl_ns, slots) = terms(sticky);
        let known = Client {
            used_at: kernel::read(&raw const (*entry).used_at),
            home: kernel::read(&raw const (*entry).home),
            away: kernel::read(&raw const (*entry).away),
        };
        let found = find(&known, ttl_ns, slots, now, |home| maps::at_home(group, home));
        if found == NEW {
            return NEW;
        }
        if now.saturating_sub(known.used_at) > NOTED_EVERY_NS {
            kernel::write(&raw mut (*entry).used_at, now);
        }
        if found >= AWAY {
            kernel::add(&raw mut (*sticky).moved, 1);
        } else if known.away != NO_HOME {
            // It is well again.
            kernel::write(&raw mut (*entry).away, NO_HOME);
        }
        found
    }
}

/// The seat that a new client gets for the one that was chosen for it: of the same slot, if that has not too many clients already,
/// or of the one that has the fewest.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_settle(group: u32, seat: u32, turn: u32) -> u32 {
    let (Some(sticky), Some(members)) = (maps::sticky(), maps::group(group)) else { return seat };
    // SAFETY: words of STICKY and GROUPS.
    let (chosen, bound, count) = unsafe {
        (home_of(sticky, seat), kernel::read(&raw const (*sticky).bound), kernel::read(&raw const (*members).count))
    };
    let mut fewest = Fewest { group, home: chosen, place: 0, count, clients: clients_of(chosen) };
    if chosen == NO_HOME || count == 0 {
        return seat;
    }
    if fewest.clients >= bound {
        fewest.place = turn % count;
        // SAFETY: the callback takes what is passed here, which lives on this stack until the call returns.
        unsafe { bpf_loop(count, look as *mut c_void, (&raw mut fewest).cast(), 0) };
    }
    match maps::at_home(group, fewest.home) {
        NO_SEAT => seat,
        newest => newest,
    }
}

/// The search for the slot with the fewest clients.
struct Fewest {
    group: u32,
    home: u32,
    place: u32,
    count: u32,
    clients: u64,
}

/// One step of it, as `bpf_loop` calls it.
extern "C" fn look(_: u32, fewest: *mut Fewest) -> i64 {
    // SAFETY: `bpf_loop` passes on what is given to it above.
    let fewest = unsafe { &mut *fewest };
    let (Some(sticky), Some(members)) = (maps::sticky(), maps::group(fewest.group)) else { return 1 };
    fewest.place = if fewest.place + 1 >= fewest.count { 0 } else { fewest.place + 1 };
    // SAFETY: words of GROUPS and STICKY; the mask keeps the place inside.
    let home = unsafe {
        let seats = (&raw const (*members).seats).cast::<u8>();
        home_of(sticky, u32::from(kernel::read(seats.add(fewest.place as usize & (MAX_SEATS - 1)))))
    };
    let clients = clients_of(home);
    if clients < fewest.clients {
        (fewest.home, fewest.clients) = (home, clients);
    }
    0
}

/// How many clients the slot of a home has; of no home more than any.
#[inline(always)]
fn clients_of(home: u32) -> u64 {
    let Some(sticky) = maps::sticky().filter(|_| home != NO_HOME) else { return u64::MAX };
    // SAFETY: words of STICKY; the mask keeps the slot inside.
    unsafe {
        let clients = (&raw const (*sticky).clients).cast::<u64>();
        kernel::read(clients.add(slot_of(home) as usize & (MAX_SEATS - 1)))
    }
}

/// [`llb_note`]: its connection is established, so it is no newcomer.
pub const MADE: u32 = 1;
/// [`llb_note`]: where it was found could not be chosen.
pub const TRIED: u32 = 2;

/// Notes where a client goes that was not found at home, and returns that: `at` is its group, and in the lower half the seat that
/// was chosen. Where another of its connections was faster, on another CPU, it goes where that has gone. One whose slot is out only
/// stays away until it is well again.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_note(hi: u64, lo: u64, at: u64, how: u32, now: u64) -> u32 {
    let client = Source { hi, lo };
    let (group, seat) = ((at >> 32) as u32, at as u32);
    let Some(sticky) = maps::sticky().filter(|_| client != NOBODY) else { return seat };
    // SAFETY: words of STICKY and of a client's entry.
    unsafe {
        let home = home_of(sticky, seat);
        if home == NO_HOME {
            return seat;
        }
        let Some(entry) = maps::client(&client) else {
            let entry = Client { used_at: now, home, away: NO_HOME };
            if how & MADE != 0 {
                enter(&client, entry);
            } else if !maps::enter_newcomer(&client, &entry) {
                let (found, _) = seat_for(client, group, now);
                if found != NO_SEAT {
                    return found;
                }
                // It came long ago.
                maps::renew_newcomer(&client, &entry);
            }
            kernel::add(&raw mut (*sticky).new, 1);
            return seat;
        };
        let (ttl_ns, slots) = terms(sticky);
        let known = Client {
            used_at: kernel::read(&raw const (*entry).used_at),
            home: kernel::read(&raw const (*entry).home),
            away: NO_HOME,
        };
        if is_known(&known, ttl_ns, slots, now) {
            if how & TRIED == 0 {
                let (found, _) = seat_for(client, group, now);
                if found != NO_SEAT {
                    return found;
                }
            }
            kernel::write(&raw mut (*entry).away, home);
            return seat;
        }
        kernel::add(&raw mut (*sticky).new, 1);
        kernel::write(&raw mut (*entry).home, home);
        kernel::write(&raw mut (*entry).away, NO_HOME);
        kernel::write(&raw mut (*entry).used_at, now);
        count(home);
    }
    seat
}

/// [`llb_note`]
#[inline(always)]
pub fn note(client: Source, group: u32, seat: u32, how: u32, now: u64) -> u32 {
    let at = u64::from(group) << 32 | u64::from(seat);
    core::hint::black_box(llb_note(client.hi, client.lo, at, how, now)) & (MAX_SEATS as u32 - 1)
}

/// Where a client of a group goes that is known: its seat, and whether that is of its own slot. [`NO_SEAT`] of others.
#[inline(always)]
pub fn seat_for(client: Source, group: u32, now: u64) -> (u32, bool) {
    let found = core::hint::black_box(llb_find(client.hi, client.lo, group, now));
    if found >= OUT { (NO_SEAT, false) } else { (found & (MAX_SEATS as u32 - 1), found & AWAY == 0) }
}

/// [`llb_settle`]
#[inline(always)]
pub fn settle(group: u32, seat: u32, turn: u32) -> u32 {
    core::hint::black_box(llb_settle(group, seat, turn)) & (MAX_SEATS as u32 - 1)
}

/// Whether a seat is in the set of a group's members.
///
/// # Safety
/// `group` points into GROUPS.
#[inline(always)]
pub unsafe fn is_member(group: *const llb_common::abi::Group, seat: u32) -> bool {
    // SAFETY: the caller's promise; the mask keeps the index inside.
    unsafe {
        let members = (&raw const (*group).members).cast::<u64>();
        kernel::read(members.add((seat as usize & (MAX_SEATS - 1)) / 64)) & set::bit(seat) != 0
    }
}
