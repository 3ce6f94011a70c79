//! Keeps the books: the pure part is `llb_common::track`, this is its edge to the kernel.

use core::{
    ffi::c_void,
    hint::black_box,
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
    select::{self, ROLL_NS},
    set,
    track::{self, Closer, Delta, Mark, Pace, Phase, Step, is_progress, mark_after, numbered},
    wire::{self, NO_TICKETS, OPAQUE, TLS, UNREAD},
};

use crate::{
    flow, kernel, line, maps,
    segment::{Bytes, Segment, TCP_LEN, TCP_OFFSET_AT, segment},
};

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
    // The packet that completes the handshake passes the filter as one of the listener's.
    let brought = brought_payload(ctx);
    // SAFETY: the context is valid during the program's run.
    let (incoming, outgoing) = unsafe { ((*ctx.ops).rcv_nxt, (*ctx.ops).snd_nxt) };
    conn.inward.next = incoming.wrapping_add(brought);
    conn.outward.next = outgoing;
    let step = track::established(now);
    conn.phase = step.phase as u32;
    conn.since = step.since;
    let delta = numbered(conn, step.delta, begun(conn.seat));
    apply(conn.seat, delta, now);
    if brought != 0 {
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

/// How much payload the packet carries that the callback is called for; its data begin with the TCP header, and end with it.
#[inline(always)]
fn brought_payload(ctx: &SockOpsContext) -> u32 {
    // SAFETY: the context is valid during the program's run, and the byte lies before the end, as checked.
    unsafe {
        let start = (*ctx.ops).__bindgen_anon_3.skb_data as usize;
        let end = (*ctx.ops).__bindgen_anon_4.skb_data_end as usize;
        if start + TCP_LEN > end {
            return 0;
        }
        (*ctx.ops).skb_len.saturating_sub(u32::from(*((start + TCP_OFFSET_AT) as *const u8) >> 4) * 4)
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
    if matches!(closer, Closer::Worker) && wire::is_ticketless(conn) && maps::ticket() == 0 {
        maps::set_ticket(NO_TICKETS);
    }
    let now = kernel::now();
    if take_surely(conn, |conn| track::closing(conn, closer, now), now) {
        // Nothing more needs to be heard. A flag that stays costs a call.
        let _ = ctx.set_cb_flags(0);
    }
}

/// A packet comes in: new payload may begin a request.
#[inline(always)]
pub fn ingress(ctx: &SkBuffContext) {
    let segment = segment(ctx);
    if segment.len == 0 {
        return;
    }
    let Some(conn) = maps::conn(packet_socket(ctx)) else { return };
    if conn.phase > BUSY {
        return;
    }
    let Some(fresh) = wire::advance(&mut conn.inward, segment.seq, segment.len) else { return };
    wire::note_ack(conn, segment.ack);
    wire::read_in(conn.state, conn.phase, &mut conn.inward, fresh, &Bytes { ctx, at: segment.at });
    let words = black_box(&mut conn.inward).words;
    if words.matter(conn.state) {
        let now = kernel::now();
        follow(conn, || kernel::cookie(ctx));
        let alive = if conn.phase == BUSY { alive(conn.seat) } else { 0 };
        take_surely(conn, |conn| track::payload_in(conn, &words, alive, now), now);
    }
}

/// A packet goes out: new payload may answer a request, and a reset says who closed a connection.
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let segment = segment(ctx);
    if segment.len == 0 && !segment.reset {
        if segment.is_datagram() {
            flow::sent(ctx, packet_socket(ctx));
        }
        return;
    }
    let Some(conn) = maps::conn(packet_socket(ctx)) else { return };
    if segment.reset {
        if track::may_fail(conn) {
            let now = kernel::now();
            take(conn, |conn| track::reset_out(conn, now), now);
        }
    } else if conn.phase <= BUSY {
        payload_out(ctx, conn, segment);
    }
}

#[inline(always)]
fn payload_out(ctx: &SkBuffContext, conn: &mut Conn, segment: Segment) {
    let Some(fresh) = wire::advance(&mut conn.outward, segment.seq, segment.len) else { return };
    let kind = wire::protocol(conn.state);
    let ticket = if kind == TLS || kind == UNREAD { maps::ticket() } else { 0 };
    wire::read_out(conn.state, conn.phase, &mut conn.outward, fresh, ticket, &Bytes { ctx, at: segment.at });
    let words = black_box(&mut conn.outward).words;
    if let Some(ticket) = wire::learnt(&words, ticket) {
        maps::set_ticket(ticket);
    }
    if words.matter(conn.state) || kind == OPAQUE {
        let now = kernel::now();
        follow(conn, || kernel::cookie(ctx));
        take_surely(conn, |conn| track::payload_out(conn, &words, now), now);
    }
}

/// Takes a step, unless another CPU took one since the connection was looked at; true if nothing is left to do.
#[inline(always)]
fn take(conn: &mut Conn, step: impl Fn(&Conn) -> Option<Step>, now: u64) -> bool {
    let seen = *conn;
    let Some(step) = step(&seen) else { return true };
    let word = |phase: u32, state: u32| u64::from(phase) | u64::from(state) << 32;
    let (old, new) = (word(seen.phase, seen.state), word(step.phase as u32, step.state));
    // SAFETY: the two words lie side by side at the beginning of the socket's storage, which is aligned to eight bytes.
    let (_, swapped) =
        unsafe { atomic_cxchg::<u64, { Relaxed }, { Relaxed }>((&raw mut *conn).cast::<u64>(), old, new) };
    if swapped {
        conn.since = step.since;
        let delta = numbered(conn, step.delta, begun(seen.seat));
        apply(seen.seat, delta, now);
    }
    swapped
}

/// Takes a step that must not be dropped: one that comes between, of the other direction, is tried around once.
#[inline(always)]
fn take_surely(conn: &mut Conn, step: impl Fn(&Conn) -> Option<Step>, now: u64) -> bool {
    // A loop, so that the step is called in one place and becomes a part of its program.
    for _ in 0..2 {
        if take(conn, &step, now) {
            return true;
        }
    }
    false
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
    let joins = numbered(conn, joins, begun(seat));
    if is_place(conn.seat) {
        // The place's books have been closed when it was handed over, to a worker that was free.
        carry(seat, joins);
    } else {
        let now = kernel::now();
        apply(conn.seat, leaves, now);
        apply(seat, joins, now);
        conn.born = u64::MAX;
    }
    conn.seat = seat;
}

/// How many requests of a seat have begun.
#[inline(always)]
fn begun(index: u32) -> u64 {
    // SAFETY: a word of SEATS.
    maps::seat(index).map_or(0, |seat| unsafe { kernel::read(&raw const (*seat).begun) })
}

/// [`Seat::alive`]
#[inline(always)]
fn alive(index: u32) -> u64 {
    // SAFETY: a word of SEATS.
    maps::seat(index).map_or(0, |seat| unsafe { kernel::read(&raw const (*seat).alive) })
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
    // SAFETY: it lives on this stack until the call returns.
    let _ = unsafe { llb_apply(&raw const delta, index, now) };
}

/// [`apply`]. A global function: the verifier takes it for itself, once.
///
/// # Safety
/// `delta` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_apply(delta: *const Delta, index: u32, now: u64) -> u32 {
    // SAFETY: the caller's promise.
    let Some(delta) = (unsafe { delta.as_ref() }) else { return 0 };
    if line::keeps(index, delta) {
        return 1;
    }
    let Some(seat) = maps::seat(index) else { return 0 };
    // SAFETY: all words are of SEATS; the counters change by locked additions only, the other two are estimates
    // for which the last writer wins.
    unsafe {
        let mark = Mark {
            alive: if delta.ended | delta.answered != 0 { kernel::read(&raw const (*seat).alive) } else { 0 },
            passed: kernel::read(&raw const (*seat).passed),
        };
        if delta.answered > delta.untimed || delta.failed != 0 {
            let _ = llb_sample(&raw const *delta, index, now);
        }
        if is_progress(delta, given(seat) != 0) {
            kernel::write(&raw mut (*seat).progress_at, now);
        }
        add(&raw mut (*seat).opened, delta.opened);
        add(&raw mut (*seat).closed, delta.closed);
        add(&raw mut (*seat).begun, delta.begun);
        add(&raw mut (*seat).ended, delta.ended);
        add(&raw mut (*seat).settled, delta.settled);
        add(&raw mut (*seat).answered, delta.answered);
        add(&raw mut (*seat).failed, delta.failed);
        add(&raw mut (*seat).errors, delta.errors);
        pass(seat, mark, delta);
        if (delta.ended != 0 || delta.settled != 0) && in_flight(seat) == 0 && outstanding(seat) == 0 {
            rest(index);
        }
        if delta.ended != 0 {
            line::tell_of_answer();
        }
    }
    1
}

/// Moves the seat's mark on. What has ended is added; what it proves of others is set, unless another CPU or userspace,
/// which has seen the worker wait, was faster: the next answer proves it again.
///
/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
unsafe fn pass(seat: *mut Seat, mark: Mark, delta: &Delta) {
    let next = mark_after(mark, delta);
    if next.passed == mark.passed && next.alive == mark.alive {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        if next.passed == mark.passed + delta.ended {
            add(&raw mut (*seat).passed, delta.ended);
        } else {
            replace(&raw mut (*seat).passed, mark.passed, next.passed);
        }
        if next.alive != mark.alive {
            replace(&raw mut (*seat).alive, mark.alive, next.alive);
        }
    }
}

/// Sets a word unless it has changed.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
unsafe fn replace(word: *mut u64, seen: u64, next: u64) {
    // SAFETY: the caller's promise.
    let _ = unsafe { atomic_cxchg::<u64, { Relaxed }, { Relaxed }>(word, seen, next) };
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
/// for it, the fleet's median: a first request that happens to be a long one must not make its worker look slow. A global
/// function as well.
///
/// # Safety
/// As of [`llb_apply`].
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_sample(delta: *const Delta, index: u32, now: u64) -> u32 {
    // SAFETY: the caller's promise.
    let Some(delta) = (unsafe { delta.as_ref() }) else { return 0 };
    let Some(seat) = maps::seat(index) else { return 0 };
    // SAFETY: words of SEATS.
    unsafe {
        if delta.answered != 0 {
            maps::count_latency(index, now.saturating_sub(delta.answered_since));
        }
        let books = Seat {
            service_ns: kernel::read(&raw const (*seat).service_ns),
            queued_ns: kernel::read(&raw const (*seat).queued_ns),
            overtaking: kernel::read(&raw const (*seat).overtaking),
            progress_at: kernel::read(&raw const (*seat).progress_at),
            begun: kernel::read(&raw const (*seat).begun),
            ended: kernel::read(&raw const (*seat).ended),
            alive: kernel::read(&raw const (*seat).alive),
            penalty: kernel::read(&raw const (*seat).penalty),
            samples: kernel::read(&raw const (*seat).samples),
            ..Seat::default()
        };
        let beside = track::beside(&books, delta);
        if let Some(most) = maps::beside().filter(|most| beside > kernel::read(*most)) {
            kernel::write(most, beside);
        }
        let start_ns = if books.service_ns == 0 { maps::published_cost(index, now) } else { 0 };
        let pace = track::pace_after(Pace::of(&books, start_ns), &books, delta, now);
        kernel::write(&raw mut (*seat).service_ns, pace.service_ns);
        if let Some(first) = maps::first().filter(|_| books.service_ns == 0 && pace.service_ns != 0) {
            kernel::write(first, pace.service_ns);
        }
        kernel::write(&raw mut (*seat).queued_ns, pace.queued_ns);
        kernel::write(&raw mut (*seat).overtaking, pace.overtaking);
        kernel::write(&raw mut (*seat).penalty, pace.penalty);
        if pace.samples != books.samples {
            kernel::write(&raw mut (*seat).samples, pace.samples);
        }
    }
    0
}

/// Requests of a seat in flight.
///
/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
unsafe fn in_flight(seat: *const Seat) -> u64 {
    // SAFETY: the caller's promise. `ended` first: what begins between the two reads can only add.
    unsafe {
        let ended = kernel::read(&raw const (*seat).ended);
        kernel::read(&raw const (*seat).begun).saturating_sub(ended)
    }
}

/// [`select::given`] of a seat.
///
/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
pub unsafe fn given(seat: *const Seat) -> u64 {
    // SAFETY: the caller's promise. `begun` last: what begins between the reads can only add.
    unsafe {
        let ended = kernel::read(&raw const (*seat).ended);
        let passed = kernel::read(&raw const (*seat).passed);
        let begun = kernel::read(&raw const (*seat).begun);
        select::given(&Seat { begun, ended, passed, ..Seat::default() })
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

const BUSY: u32 = Phase::Busy as u32;
