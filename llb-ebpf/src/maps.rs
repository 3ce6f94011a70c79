//! The maps; their names and layouts are in `llb_common::{names, abi}`. Map names occur nowhere else.

mod clients;
mod sockets;
mod udp;

pub use self::{
    clients::{
        at_home, client, enter_client, enter_newcomer, leave_newcomers, newcomer, newcomer_ptr, renew_newcomer, sticky,
    },
    sockets::{bind, conn, holds, owner, owner_mut, set_owner, steered_owner, unbind},
    udp::{bump, count_fate, flow_count, flow_seat, flow_seats, flows, way},
};

use core::hint::black_box;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, ReusePortSockArray, RingBuf, SockHash},
    programs::SkLookupContext,
};
use llb_common::{
    abi::{
        Asker, BUCKETS, Endpoint, Group, Histogram, Line, Listener, MAX_GROUPS, MAX_LISTENERS, MAX_OWN_PORTS,
        MAX_SEATS, NO_SEAT, OwnPorts, Place, Published, Reach, Seat, Seats, SocketEvent,
    },
    histogram::bucket,
    line::{PLACES, WORDS, place_of},
    outcome::Outcome,
    select::STALE_AFTER_NS,
    why::Sample,
};

use crate::{kernel, why::Note};

/// `BPF_F_MMAPABLE`: userspace reads and writes the value without system calls.
const MMAPABLE: u32 = 1 << 10;

/// `BPF_NOEXIST`: nothing is overwritten.
const IF_NEW: u64 = 1;

/// Never read: the loader asks for it by name, which carries the version of the ABI.
#[used]
#[unsafe(no_mangle)]
static LLB_ABI_13: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static LLB_LIMITED: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static LLB_CGROUP_LEVEL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static LLB_PREFIXES: Global<u32> = Global::new(0);

/// Where the places of the lines begin in SOCKETS.
const PLACES_AT: u32 = (MAX_GROUPS * MAX_SEATS) as u32;

#[map]
static SOCKETS: ReusePortSockArray = ReusePortSockArray::with_max_entries(PLACES_AT + MAX_GROUPS as u32 * PLACES, 0);
#[map]
static SEATS: Array<Seats> = Array::with_max_entries(1, MMAPABLE);
#[map]
static LATENCY: Array<Histogram> = Array::with_max_entries(MAX_SEATS as u32, MMAPABLE);
#[map]
static PUBLISHED: Array<Published> = Array::with_max_entries(1, MMAPABLE);
#[map]
static GROUPS: Array<Group> = Array::with_max_entries(MAX_GROUPS as u32, 0);
#[map]
static LINES: Array<Line> = Array::with_max_entries(MAX_GROUPS as u32, MMAPABLE);
/// One counter a group, for `round-robin`.
#[map]
static TURNS: Array<u64> = Array::with_max_entries(MAX_GROUPS as u32, 0);
#[map]
static LISTENERS: HashMap<u64, Listener> = HashMap::with_max_entries(MAX_LISTENERS as u32, 0);
/// Where connections went that were migrated, by cookie, until their books follow. A queue holds 4096 at the most by
/// default (`net.core.somaxconn`); this holds four full ones.
#[map]
static MOVED: LruHashMap<u64, u32> = LruHashMap::with_max_entries(16_384, 0);
#[map]
static ENDPOINTS: HashMap<Endpoint, u32> = HashMap::with_max_entries(MAX_GROUPS as u32, 0);
#[map]
static STEERED: HashMap<Endpoint, u8> = HashMap::with_max_entries(256, 0);
#[map]
static OWN_PORTS: Array<OwnPorts> = Array::with_max_entries(MAX_OWN_PORTS as u32, 0);
/// Of every worker, also of one that is ending, so twice as many as seats.
#[map]
static SLOTS: HashMap<u64, u32> = HashMap::with_max_entries(2 * MAX_SEATS as u32, 0);
/// Other fleets rarely listen on more than a few.
#[map]
static TAKEN: HashMap<u32, u32> = HashMap::with_max_entries(1_024, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Outcome::COUNT as u32, 0);
/// Listeners come and go rarely; this holds over a thousand unread events.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);
/// The choice that is being noted.
#[map]
static CHOICE: PerCpuArray<Note> = PerCpuArray::with_max_entries(1, 0);
/// Twenty choices among 256 workers, or 500 among eight: userspace reads them every 10 ms, and a choice is noted every
/// millisecond at the most.
#[map]
static CHOICES: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// Workers that are asked at one moment.
#[map]
static CHECKS: SockHash<Endpoint> = SockHash::with_max_entries(MAX_SEATS as u32, 0);

/// Connections of llb's own to single workers: as many as ask the control socket at once, and the exporter's.
#[map]
static REACHES: HashMap<Asker, Reach> = HashMap::with_max_entries(2 * MAX_SEATS as u32, 0);

/// Leads a connection that is about to be made to the listener that is meant for whoever makes it, if one is.
#[inline(always)]
pub fn direct(ctx: &SkLookupContext, from: Endpoint, flags: u64) {
    // Where none is meant, the lookup goes on.
    let _ = CHECKS.redirect_sk_lookup(ctx, from, flags);
}

pub fn limited() -> bool {
    LLB_LIMITED.load() != 0
}

pub fn cgroup_level() -> u32 {
    LLB_CGROUP_LEVEL.load()
}

/// How many bits of an address make a client, 0 if clients are not remembered: [`llb_common::names::PREFIXES`].
#[inline(always)]
pub fn prefixes() -> u32 {
    LLB_PREFIXES.load()
}

/// The range of own ports in a place of the list.
#[inline(always)]
pub fn own_ports(index: u32) -> Option<OwnPorts> {
    OWN_PORTS.get(index).copied()
}

/// The slot of a worker's cgroup.
#[inline(always)]
pub fn slot(cgroup: u64) -> Option<u32> {
    // SAFETY: copied at once.
    unsafe { SLOTS.get(cgroup) }.copied()
}

/// Whether another fleet listens on the port.
#[inline(always)]
pub fn is_taken(port: u32) -> bool {
    // SAFETY: only the presence of the key is asked for.
    unsafe { TAKEN.get(port) }.is_some()
}

/// The word of the idle seats that holds a seat's bit.
#[inline(always)]
pub fn idle(seat: u32) -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: the mask keeps the index inside the array.
    Some(unsafe { (&raw mut (*seats).idle).cast::<u64>().add((seat as usize & (MAX_SEATS - 1)) / 64) })
}

/// The word of the seats with the fewest open connections that holds a seat's bit.
#[inline(always)]
pub fn fewest(seat: u32) -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: the mask keeps the index inside the array.
    Some(unsafe { (&raw mut (*seats).fewest).cast::<u64>().add((seat as usize & (MAX_SEATS - 1)) / 64) })
}

/// How many open connections a seat is to have before others come first again.
#[inline(always)]
pub fn level() -> u64 {
    // SAFETY: a field of the value.
    SEATS.get_ptr_mut(0).map_or(0, |seats| unsafe { kernel::read(&raw const (*seats).level) })
}

/// What the first answer took of the seat of which that was last known, ns.
#[inline(always)]
pub fn first() -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: a field of the value.
    Some(unsafe { &raw mut (*seats).first_ns })
}

/// [`Seats::beside`]
#[inline(always)]
pub fn beside() -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: a field of the value.
    Some(unsafe { &raw mut (*seats).beside })
}

/// The seat that was chosen last.
#[inline(always)]
pub fn last() -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: a field of the value.
    Some(unsafe { &raw mut (*seats).last })
}

/// What is known of the fleet's session tickets.
#[inline(always)]
pub fn ticket() -> u32 {
    // SAFETY: a word of SEATS.
    SEATS.get_ptr(0).map_or(0, |seats| unsafe { kernel::read(&raw const (*seats).ticket) } as u32)
}

/// Remembers what was learnt of them. The last writer wins.
#[inline(always)]
pub fn set_ticket(ticket: u32) {
    if let Some(seats) = SEATS.get_ptr_mut(0) {
        // SAFETY: a word of SEATS.
        unsafe { kernel::write(&raw mut (*seats).ticket, ticket.into()) };
    }
}

/// How many places are taken in all lines.
#[inline(always)]
pub fn waiting() -> Option<*mut u64> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: a field of the value.
    Some(unsafe { &raw mut (*seats).waiting })
}

/// Whether a connection of llb's own is meant for one worker.
///
/// # Safety
/// `seats` points into SEATS.
#[inline(always)]
pub unsafe fn is_anybody_reaching(seats: *const Seats) -> bool {
    // SAFETY: the caller's promise.
    unsafe { kernel::read(&raw const (*seats).reaching) != 0 }
}

/// What worker a connection from there is meant for.
#[inline(always)]
pub fn reach(asker: &Asker) -> Option<*mut Reach> {
    REACHES.get_ptr_mut(asker)
}

/// Selects the socket of a group's seat by its place; false if there is none, or it is in another group.
#[inline(always)]
pub fn select_at(ctx: &aya_ebpf::programs::SkReuseportContext, place: u32) -> bool {
    SOCKETS.select_reuseport(ctx, place).is_ok()
}

/// A group's line.
#[inline(always)]
pub fn line(group: u32) -> Option<*mut Line> {
    LINES.get_ptr_mut(group)
}

/// A place in a line.
///
/// # Safety
/// `line` points into LINES.
#[inline(always)]
pub unsafe fn place_at(line: *mut Line, place: u32) -> *mut Place {
    // SAFETY: the caller's promise; the mask keeps the index inside the array.
    unsafe { (&raw mut (*line).place).cast::<Place>().add(place as usize & (PLACES as usize - 1)) }
}

/// The word of free places that has a place's bit.
///
/// # Safety
/// `line` points into LINES.
#[inline(always)]
pub unsafe fn free_at(line: *mut Line, place: u32) -> *mut u64 {
    // SAFETY: the caller's promise; the mask keeps the index inside the array.
    unsafe { (&raw mut (*line).free).cast::<u64>().add(place as usize / 64 & (WORDS - 1)) }
}

/// The place of a number that a connection or a listener carries.
#[inline(always)]
pub fn place(number: u32) -> Option<*mut Place> {
    let (group, place) = place_of(number)?;
    let line = line(group)?;
    // SAFETY: a value of LINES.
    Some(unsafe { place_at(line, black_box(place)) })
}

/// A seat's books.
#[inline(always)]
pub fn seat(index: u32) -> Option<*mut Seat> {
    let seats = SEATS.get_ptr_mut(0)?;
    // SAFETY: the mask keeps the index inside the array.
    Some(unsafe { (&raw mut (*seats).seat).cast::<Seat>().add(index as usize & (MAX_SEATS - 1)) })
}

#[inline(always)]
pub fn published() -> Option<*const Published> {
    PUBLISHED.get_ptr(0)
}

/// How many connections have been migrated.
#[inline(always)]
pub fn epoch() -> u64 {
    // SAFETY: a word of PUBLISHED.
    published().map_or(0, |published| unsafe { kernel::read(&raw const (*published).epoch) })
}

/// The cost that is published for a seat, ns; 0 if there is none that is to be believed.
#[inline(always)]
pub fn published_cost(index: u32, now: u64) -> u64 {
    match published() {
        // SAFETY: words of PUBLISHED; the mask keeps the index inside the array.
        Some(published) => unsafe {
            if now.saturating_sub(kernel::read(&raw const (*published).at)) >= STALE_AFTER_NS {
                return 0;
            }
            let costs = (&raw const (*published).cost_ns).cast::<u64>();
            kernel::read(costs.add(index as usize & (MAX_SEATS - 1)))
        },
        None => 0,
    }
}

#[inline(always)]
pub fn group(index: u32) -> Option<*const Group> {
    GROUPS.get_ptr(index)
}

/// The next turn of a group.
#[inline(always)]
pub fn turn(group: u32) -> u32 {
    match TURNS.get_ptr_mut(group) {
        // SAFETY: a value of TURNS.
        Some(turn) => unsafe { kernel::fetch_add(turn, 1) as u32 },
        None => 0,
    }
}

#[inline(always)]
pub fn listener(cookie: u64) -> Option<Listener> {
    // SAFETY: copied at once; userspace replaces entries, it does not change them in place.
    unsafe { LISTENERS.get(cookie) }.copied()
}

/// Makes a new listener known to the selector at once, if its address is that of a group: the kernel may ask the
/// selector by way of this listener before userspace has heard of it.
#[inline(always)]
pub fn expect(cookie: u64, endpoint: &Endpoint) {
    // SAFETY: copied at once.
    if let Some(group) = unsafe { ENDPOINTS.get(endpoint) }.copied() {
        // A full map leaves the listener to be entered by userspace.
        let _ = LISTENERS.insert(cookie, Listener { group, seat: NO_SEAT }, 0);
    }
}

/// Remembers where a connection was moved to, and then says that one was.
#[inline(always)]
pub fn set_moved(cookie: u64, seat: u32) {
    // A full LRU map drops its oldest entry; an entry that is lost leaves a count with the old seat until it closes.
    let _ = MOVED.insert(cookie, seat, 0);
    if let Some(published) = PUBLISHED.get_ptr_mut(0) {
        // SAFETY: a word of PUBLISHED.
        unsafe { kernel::add(&raw mut (*published).epoch, 1) };
    }
}

/// Where a connection was moved to, once.
#[inline(always)]
pub fn take_moved(cookie: u64) -> Option<u32> {
    // SAFETY: copied at once.
    let seat = unsafe { MOVED.get(cookie) }.copied()?;
    let _ = MOVED.remove(cookie);
    Some(seat)
}

#[inline(always)]
pub fn steered(endpoint: &Endpoint) -> bool {
    // SAFETY: only the presence of the key is asked for.
    unsafe { STEERED.get(endpoint) }.is_some()
}

#[inline(always)]
pub fn count(outcome: Outcome) {
    if let Some(counter) = COUNTERS.get_ptr_mut(outcome.index()) {
        // SAFETY: a value of COUNTERS. Locked all the same: a migration in a process can be interrupted by a packet.
        unsafe { kernel::add(counter, 1) };
    }
}

/// Selects the socket of a seat in a group; false if there is none.
#[inline(always)]
pub fn select(ctx: &aya_ebpf::programs::SkReuseportContext, group: u32, seat: u32) -> bool {
    SOCKETS.select_reuseport(ctx, group * MAX_SEATS as u32 + seat).is_ok()
}

/// Selects the socket of a place in a group's line; false if there is none.
#[inline(always)]
pub fn select_place(ctx: &aya_ebpf::programs::SkReuseportContext, group: u32, place: u32) -> bool {
    SOCKETS.select_reuseport(ctx, PLACES_AT + group * PLACES + place).is_ok()
}

/// Counts an answer of a seat that took `ns`.
#[inline(always)]
pub fn count_latency(seat: u32, ns: u64) {
    if let Some(histogram) = LATENCY.get_ptr_mut(seat) {
        // SAFETY: a word of LATENCY; the mask keeps the index inside.
        unsafe {
            let counts = (&raw mut (*histogram).counts).cast::<u64>();
            kernel::add(counts.add(bucket(ns) as usize & (BUCKETS - 1)), 1);
        }
    }
}

/// All seats, and what is known of them together.
#[inline(always)]
pub fn seats() -> Option<*mut Seats> {
    SEATS.get_ptr_mut(0)
}

/// The choice that is being noted on this CPU.
#[inline(always)]
pub fn note() -> Option<*mut Note> {
    CHOICE.get_ptr_mut(0)
}

/// Sends the first `length` bytes of a note; a full buffer takes none.
///
/// # Safety
/// `sample` points into CHOICE, and `length` is at most the size of a sample.
#[inline(always)]
pub unsafe fn send_choice(sample: *const Sample, length: usize) {
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(sample.cast::<u8>(), length) };
    let _ = CHOICES.output::<[u8]>(bytes, 0);
}

/// Sends an event; false if the buffer is full.
#[inline(always)]
pub fn send(event: &SocketEvent) -> bool {
    EVENTS.output::<SocketEvent>(event, 0).is_ok()
}
