//! Keeps the books: the pure part is `llb_common::track`, this is its edge to the kernel.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering::Relaxed, atomic_cxchg},
};

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, BPF_TCP_CLOSE_WAIT, BPF_TCP_ESTABLISHED, BPF_TCP_FIN_WAIT1,
        BPF_TCP_LAST_ACK,
    },
    programs::{SkBuffContext, SockOpsContext},
};
use llb_common::{
    abi::{Conn, Seat},
    line::is_place,
    select::ROLL_NS,
    set,
    track::{self, Closer, Delta, Pace, Step},
};

use crate::{kernel, line, maps};

const IPPROTO_TCP: u8 = 6;

/// The socket of a sock_ops context, null if it is not a full one.
#[inline(always)]
pub fn socket(ctx: &SockOpsContext) -> *mut c_void {
    // SAFETY: the context is valid during the program's run.
    unsafe { (*ctx.ops).__bindgen_anon_2.sk }.cast()
}

/// A connection to a worker is established.
#[inline(always)]
pub fn established(ctx: &SockOpsContext) {
    let Some(conn) = maps::conn(socket(ctx)) else { return };
    // Without the flag the close would not be seen and the books never balance: then the connection has none.
    if ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32).is_err() {
        return;
    }
    let now = kernel::now();
    // SAFETY: the context is valid during the program's run. Eighths of microseconds (`tcp_sock.srtt_us`); the handshake
    // is the only sample yet.
    greet(conn.seat, unsafe { (*ctx.ops).srtt_us } >> 3);
    conn.epoch = maps::epoch();
    let step = track::established(now);
    conn.phase = step.phase as u32;
    conn.since = step.since;
    conn.opened_at = now;
    apply(conn.seat, step.delta, now);
    // The packet that completes the handshake passes the filter as one of the listener's.
    if has_brought_payload(ctx) {
        take(conn, |conn| track::bytes_in(conn, now), now);
    }
}

/// Takes a handshake's round trip into the seat's estimate. Where all are near nothing is written: charges live for
/// [`ROLL_NS`] at least.
#[inline(always)]
fn greet(index: u32, round_trip_us: u32) {
    const NEAR_US: u32 = (ROLL_NS / 1_000) as u32;
    // How far away those who wait in line are is known of their workers' other clients.
    let Some(seat) = maps::seat(index).filter(|_| !is_place(index)) else { return };
    // SAFETY: a word of SEATS: an estimate for which the last writer wins.
    unsafe {
        let known = kernel::read(&raw const (*seat).handshake_us);
        if known >= NEAR_US || round_trip_us >= NEAR_US {
            kernel::write(&raw mut (*seat).handshake_us, track::handshake_after(known, round_trip_us));
        }
    }
}

/// Whether the packet that the callback is called for carries payload; its data begin with the TCP header.
#[inline(always)]
fn has_brought_payload(ctx: &SockOpsContext) -> bool {
    // SAFETY: the context is valid during the program's run, and the byte lies before the end, as checked.
    unsafe {
        let start = (*ctx.ops).__bindgen_anon_3.skb_data as usize;
        let end = (*ctx.ops).__bindgen_anon_4.skb_data_end as usize;
        start + TCP_LEN <= end && (*ctx.ops).skb_len > u32::from(*((start + TCP_OFFSET_AT) as *const u8) >> 4) * 4
    }
}

/// A connection's state changes. Who closes is who sends the first FIN; a reset by either side goes to CLOSE at once.
#[inline(always)]
pub fn state_changed(ctx: &SockOpsContext) {
    let (old, new) = (ctx.arg(0), ctx.arg(1));
    let was_open = old == BPF_TCP_ESTABLISHED || old == BPF_TCP_CLOSE_WAIT;
    let closer = match new {
        BPF_TCP_FIN_WAIT1 if old == BPF_TCP_ESTABLISHED => Closer::Worker,
        BPF_TCP_CLOSE if was_open => Closer::Reset,
        BPF_TCP_LAST_ACK | BPF_TCP_CLOSE => Closer::Client,
        _ => return,
    };
    let Some(conn) = maps::conn(socket(ctx)) else { return };
    follow(conn, || kernel::cookie(ctx));
    let now = kernel::now();
    // A close must not be dropped; a packet's step that comes between is tried around once.
    let closing = |conn: &Conn| track::closing(conn, closer, now);
    if take(conn, closing, now) || take(conn, closing, now) {
        // Nothing more needs to be heard. A flag that stays costs a call.
        let _ = ctx.set_cb_flags(0);
    }
}

/// A packet comes in: payload on a connection that waits for a request begins one.
#[inline(always)]
pub fn ingress(ctx: &SkBuffContext) {
    if !segment(ctx).payload {
        return;
    }
    let Some(conn) = maps::conn(packet_socket(ctx)) else { return };
    if track::may_begin(conn) {
        let now = kernel::now();
        follow(conn, || kernel::cookie(ctx));
        take(conn, |conn| track::bytes_in(conn, now), now);
    }
}

/// A packet goes out: payload on a connection with a request in flight answers it, and a reset says who closed it.
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let Segment { payload, reset } = segment(ctx);
    if !payload && !reset {
        return;
    }
    let Some(conn) = maps::conn(packet_socket(ctx)) else { return };
    if payload && track::may_answer(conn) {
        let now = kernel::now();
        follow(conn, || kernel::cookie(ctx));
        take(conn, |conn| track::bytes_out(conn, now), now);
    } else if reset && track::may_fail(conn) {
        let now = kernel::now();
        take(conn, |conn| track::reset_out(conn, now), now);
    }
}

/// Takes a step, unless another CPU took one since the connection was looked at; true if nothing is left to do.
#[inline(always)]
fn take(conn: &mut Conn, step: impl Fn(&Conn) -> Option<Step>, now: u64) -> bool {
    let seen = *conn;
    let Some(step) = step(&seen) else { return true };
    // SAFETY: the word lies in the socket's storage.
    let (_, swapped) =
        unsafe { atomic_cxchg::<u32, { Relaxed }, { Relaxed }>(&raw mut conn.phase, seen.phase, step.phase as u32) };
    if swapped {
        conn.since = step.since;
        apply(seen.seat, step.delta, now);
    }
    swapped
}

/// If the connection was migrated since it was last seen, its books follow it to the new seat.
#[inline(always)]
fn follow(conn: &mut Conn, cookie: impl Fn() -> u64) {
    let epoch = maps::epoch();
    if epoch == conn.epoch {
        return;
    }
    conn.epoch = epoch;
    let Some(seat) = maps::take_moved(cookie()) else { return };
    let (leaves, joins) = track::moved(conn);
    if is_place(conn.seat) {
        // The place's books have been closed when it was handed over.
        carry(seat, joins);
    } else {
        let now = kernel::now();
        apply(conn.seat, leaves, now);
        apply(seat, joins, now);
    }
    conn.seat = seat;
}

/// What a connection that has waited in line brings along. It is no progress of its worker's, which has had it since the choice
/// was charged: if it counted as such, its answer would seem to have taken no time.
#[inline(always)]
fn carry(index: u32, delta: Delta) {
    let Some(seat) = maps::seat(index) else { return };
    // SAFETY: words of SEATS.
    unsafe {
        add(&raw mut (*seat).opened, delta.opened);
        add(&raw mut (*seat).begun, delta.begun);
        add(&raw mut (*seat).settled, delta.settled);
    }
}

/// Adds a step's changes to a seat's books.
#[inline(always)]
fn apply(index: u32, delta: Delta, now: u64) {
    if line::keeps(index, &delta) {
        return;
    }
    let Some(seat) = maps::seat(index) else { return };
    // SAFETY: all words are of SEATS; the counters change by locked additions only, the other two are estimates
    // for which the last writer wins.
    unsafe {
        let busy = in_flight(seat) != 0;
        if delta.answered != 0 || delta.failed != 0 {
            sample(seat, index, delta, now);
        }
        if (delta.begun != 0 && !busy) || delta.ended != 0 {
            kernel::write(&raw mut (*seat).progress_at, now);
        }
        add(&raw mut (*seat).opened, delta.opened);
        add(&raw mut (*seat).closed, delta.closed);
        add(&raw mut (*seat).begun, delta.begun);
        add(&raw mut (*seat).ended, delta.ended);
        add(&raw mut (*seat).settled, delta.settled);
        add(&raw mut (*seat).answered, delta.answered);
        add(&raw mut (*seat).failed, delta.failed);
        if (delta.ended != 0 || delta.settled != 0) && in_flight(seat) == 0 && outstanding(seat) == 0 {
            rest(index);
        }
        if delta.ended != 0 {
            line::tell_of_answer();
        }
    }
}

/// The seat has nothing to do: the next choice may take it without looking at the others. Mostly its bit is set
/// already, as only the selector clears it, and then nothing is written.
#[inline(always)]
fn rest(index: u32) {
    let Some(word) = maps::idle(index) else { return };
    // SAFETY: a word of SEATS.
    unsafe {
        if kernel::read(word) & set::bit(index) == 0 {
            kernel::set_bits(word, set::bit(index));
        }
    }
}

/// What the seat costs after an answer or a failure. A seat that has answered nothing starts from what is published
/// for it, the fleet's median: a first request that happens to be a long one must not make its worker look slow.
///
/// # Safety
/// `seat` points into SEATS, and `index` is its index.
#[inline(always)]
unsafe fn sample(seat: *mut Seat, index: u32, delta: Delta, now: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if delta.answered != 0 {
            maps::count_latency(index, now.saturating_sub(delta.answered_since));
        }
        let progress_at = kernel::read(&raw const (*seat).progress_at);
        let books = Seat {
            service_ns: kernel::read(&raw const (*seat).service_ns),
            queued_ns: kernel::read(&raw const (*seat).queued_ns),
            overtaking: kernel::read(&raw const (*seat).overtaking),
            ..Seat::default()
        };
        let start_ns = if books.service_ns == 0 { maps::published_cost(index) } else { 0 };
        let pace = track::pace_after(Pace::of(&books, start_ns), progress_at, &delta, now);
        kernel::write(&raw mut (*seat).service_ns, pace.service_ns);
        kernel::write(&raw mut (*seat).queued_ns, pace.queued_ns);
        kernel::write(&raw mut (*seat).overtaking, pace.overtaking);
    }
}

/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
pub unsafe fn in_flight(seat: *const Seat) -> u64 {
    // SAFETY: the caller's promise. `ended` first: what begins between the two reads can only add.
    unsafe {
        let ended = kernel::read(&raw const (*seat).ended);
        kernel::read(&raw const (*seat).begun).saturating_sub(ended)
    }
}

/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
pub unsafe fn outstanding(seat: *const Seat) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { kernel::read(&raw const (*seat).charged).saturating_sub(kernel::read(&raw const (*seat).settled)) }
}

/// # Safety
/// `word` points into a map value.
#[inline(always)]
unsafe fn add(word: *mut u64, by: u64) {
    if by != 0 {
        // SAFETY: the caller's promise.
        unsafe { kernel::add(word, by) };
    }
}

/// The socket of a packet, null if there is none. It may be less than a full one; such have no storage, and the helper
/// that looks for it says so.
#[inline(always)]
fn packet_socket(ctx: &SkBuffContext) -> *mut c_void {
    // SAFETY: the context is valid during the program's run.
    unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk }.cast()
}

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
/// Where the header length, in words of four bytes in the upper half, lies in a TCP header.
const TCP_OFFSET_AT: usize = 12;
/// Where its flags lie, and the one of a reset.
const TCP_FLAGS_AT: usize = 13;
const TCP_RST: u8 = 4;

/// What matters of a TCP segment.
#[derive(Clone, Copy)]
struct Segment {
    payload: bool,
    reset: bool,
}

const NOTHING: Segment = Segment { payload: false, reset: false };

/// A cgroup's packets begin with the IP header. Those with IPv4 options, IPv6 extension headers, or headers that are not
/// in the packet's linear part, none of which Linux does unless told to, are read the slow way, or read as nothing.
#[inline(always)]
fn segment(ctx: &SkBuffContext) -> Segment {
    // SAFETY: the context is valid during the program's run.
    let (start, end) = unsafe { ((*ctx.skb.skb).data as usize, (*ctx.skb.skb).data_end as usize) };
    if start + IPV4_LEN + TCP_LEN > end {
        return segment_slowly(ctx);
    }
    // SAFETY: each byte lies before `end`, as checked; the verifier checks it again.
    let byte = |at: usize| unsafe { *((start + at) as *const u8) };
    let (protocol, ip_len, offset, flags) = match byte(0) {
        0x45 => (byte(9), IPV4_LEN, byte(IPV4_LEN + TCP_OFFSET_AT), byte(IPV4_LEN + TCP_FLAGS_AT)),
        first if first >> 4 == 6 && start + IPV6_LEN + TCP_LEN <= end => {
            (byte(6), IPV6_LEN, byte(IPV6_LEN + TCP_OFFSET_AT), byte(IPV6_LEN + TCP_FLAGS_AT))
        }
        _ => return segment_slowly(ctx),
    };
    if protocol == IPPROTO_TCP { segment_of(ctx, ip_len, offset, flags) } else { NOTHING }
}

#[inline(always)]
fn segment_of(ctx: &SkBuffContext, ip_len: usize, offset: u8, flags: u8) -> Segment {
    let headers = ip_len + usize::from(offset >> 4) * 4;
    Segment { payload: ctx.len() as usize > headers, reset: flags & TCP_RST != 0 }
}

#[inline(always)]
fn segment_slowly(ctx: &SkBuffContext) -> Segment {
    let Ok(first) = ctx.load::<u8>(0) else { return NOTHING };
    let (protocol_at, ip_len) = if first >> 4 == 4 { (9, usize::from(first & 0xf) * 4) } else { (6, IPV6_LEN) };
    if !matches!(ctx.load::<u8>(protocol_at), Ok(IPPROTO_TCP)) {
        return NOTHING;
    }
    match (ctx.load::<u8>(ip_len + TCP_OFFSET_AT), ctx.load::<u8>(ip_len + TCP_FLAGS_AT)) {
        (Ok(offset), Ok(flags)) => segment_of(ctx, ip_len, offset, flags),
        _ => NOTHING,
    }
}
