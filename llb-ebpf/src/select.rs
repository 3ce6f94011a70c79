//! Picks the seat for a new connection, and for a waiting one whose listener closes. The choice itself is
//! `llb_common::select`.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{helpers::generated::bpf_loop, programs::SkReuseportContext};
use llb_common::{
    abi::{Group, Listener, MAX_SEATS, NO_GROUP, NO_SEAT, Published, Seat, SeatSet, Seats},
    line::{STANDBY, is_free, is_place},
    outcome::Outcome,
    policy::Policy,
    select::{Awake, Choice, Fleet, Load, STALE_AFTER_NS, Search, Weight, awake, choose, weigh},
    set,
    sticky::Source,
    track::{first_roll_at, is_due, rolled},
};

use crate::{kernel, line, maps, sticky, track, why};

/// Where the flags lie in a TCP header.
const TCP_FLAGS_AT: usize = 13;
const FIN_OR_RST: u8 = 1 | 4;

/// Whether this is the last packet of a connection that is gone: with no socket of its own it comes to the listener,
/// but no connection will come of it. An ACK may be the answer to a cookie, so it is not stray.
#[inline(always)]
pub fn is_stray(ctx: &SkReuseportContext) -> bool {
    // SAFETY: the context is valid during the program's run; its data begin with the transport header.
    unsafe {
        let start = (*ctx.md).__bindgen_anon_1.data as usize;
        let end = (*ctx.md).__bindgen_anon_2.data_end as usize;
        // A migration in a process has no packet.
        start + TCP_FLAGS_AT < end && *((start + TCP_FLAGS_AT) as *const u8) & FIN_OR_RST != 0
    }
}

/// Selects a socket; whatever the outcome, the connection goes on. There are two of it, of which the verifier drops one: where
/// clients are not remembered nothing of that is left.
#[inline(always)]
pub fn steer(ctx: &SkReuseportContext, seats: *const Seats) -> Outcome {
    if sticky::is_on() { steer_as::<true>(ctx, seats) } else { steer_as::<false>(ctx, seats) }
}

#[inline(always)]
fn steer_as<const STICKY: bool>(ctx: &SkReuseportContext, seats: *const Seats) -> Outcome {
    // SAFETY: the context is valid during the program's run.
    let moving = unsafe { (*ctx.md).__bindgen_anon_4.migrating_sk };
    why::begin(seats);
    let known = if moving.is_null() { FOREIGN } else { listener(ctx) };
    let client = if STICKY { sticky::client(ctx) } else { sticky::NOBODY };
    let named = if is_place(known.seat) { line::obey::<STICKY>(ctx, known, client) } else { NO_SEAT };
    let Chosen { seat, outcome } = if named == NO_SEAT {
        choose_and_select::<STICKY>(ctx, known, client, seats)
    } else {
        llb_charge(named, kernel::now());
        Chosen { seat: named, outcome: Outcome::HandedOver }
    };
    why::end(seats, seat, outcome, !moving.is_null());
    if moving.is_null() {
        return outcome;
    }
    if seat == NO_SEAT {
        return Outcome::MigratedByHash;
    }
    // A connection that came to a listener which had not joined is in no seat's books.
    if known.seat != NO_SEAT {
        // SAFETY: the migrating socket of the context, which is not null.
        maps::set_moved(unsafe { kernel::cookie_of(moving) }, seat);
    }
    if named == NO_SEAT { Outcome::Migrated } else { outcome }
}

/// A listener of which nothing is known. Here and below a sentinel stands for an `Option`: of one that is `None` the
/// compiler may spill the value that is not there, and the verifier takes no read of what was never written.
const FOREIGN: Listener = Listener { group: NO_GROUP, seat: NO_SEAT };

/// Where the listener belongs to which the kernel's hash would give the connection.
#[inline(always)]
fn listener(ctx: &SkReuseportContext) -> Listener {
    // SAFETY: the context is valid during the program's run, and `sk` is never null.
    unsafe { maps::listener(kernel::cookie_of((*ctx.md).__bindgen_anon_3.sk)) }.unwrap_or(FOREIGN)
}

/// The seat that was selected and how it came to it, or [`NO_SEAT`] and the reason why the kernel's hash must do.
struct Chosen {
    seat: u32,
    outcome: Outcome,
}

#[inline(always)]
fn choose_and_select<const STICKY: bool>(
    ctx: &SkReuseportContext,
    known: Listener,
    client: Source,
    seats: *const Seats,
) -> Chosen {
    let hash = |outcome| Chosen { seat: NO_SEAT, outcome };
    let Some(published) = maps::published() else { return hash(Outcome::FallbackMap) };
    // SAFETY: words of PUBLISHED.
    let (policy, least, at, only_group) = unsafe {
        (
            Policy::from_u32(kernel::read(&raw const (*published).policy)),
            kernel::read(&raw const (*published).least),
            kernel::read(&raw const (*published).at),
            kernel::read(&raw const (*published).only_group),
        )
    };
    // The selector is attached to nothing but groups, so in a fleet of one group it need not be looked up.
    let index = match (only_group, known.group) {
        (NO_GROUP, NO_GROUP) => listener(ctx).group,
        (NO_GROUP, group) | (group, _) => group,
    };
    if index == NO_GROUP {
        return hash(Outcome::FallbackUnknownListener);
    }
    // SAFETY: the context is valid during the program's run.
    let spread = unsafe { (*ctx.md).hash };
    let now = kernel::now();
    // Whose slot is up does not wait in line: nobody else may serve it.
    let mut tried = 0;
    if STICKY {
        let (seat, is_home) = sticky::seat_for(client, index, now);
        tried = if seat == NO_SEAT { 0 } else { sticky::TRIED };
        if seat != NO_SEAT && maps::select(ctx, index, seat) {
            llb_charge(seat, now);
            return Chosen { seat, outcome: if is_home { Outcome::Sticky } else { Outcome::PassedOver } };
        }
    }
    // The hash of the connection's addresses is keyed with a secret, so it is as good as a random number.
    let turn = if matches!(policy, Policy::RoundRobin) { maps::turn(index) } else { spread };
    // SAFETY: it points into PUBLISHED. Who is moved is not sent back to wait: it would never end.
    let concurrency = unsafe {
        let moving = !(*ctx.md).__bindgen_anon_4.migrating_sk.is_null();
        if moving { 0 } else { line::concurrency(published, at, now) }
    };
    if concurrency != 0 && line::is_anybody_waiting() {
        let place = line::claim(ctx, index, now);
        if place != NO_SEAT {
            return Chosen { seat: place, outcome: Outcome::Waits };
        }
    }
    let lined_up = concurrency != 0;
    why::look(seats, index, turn, lined_up);
    // Before what that needs is put together. Where nobody listens there is more to do.
    // SAFETY: a word of GROUPS.
    if matches!(policy, Policy::Hash)
        && maps::group(index).is_some_and(|group| unsafe { kernel::read(&raw const (*group).count) } != 0)
    {
        return hash(Outcome::Hash);
    }
    let asked = Asked { index, policy: policy as u32, least, turn, lined_up: lined_up.into(), reserved: 0, now };
    let Some(choice) = chosen(&asked) else { return hash(Outcome::FallbackMap) };
    match choice {
        Choice::Hash => hash(Outcome::Hash),
        Choice::NoSeat => {
            stand_by(ctx, index);
            hash(Outcome::FallbackNoSeat)
        }
        Choice::Seat { seat, first } => {
            let chosen = seat;
            let mut seat = seat;
            if STICKY {
                let settled = sticky::settle(index, chosen, spread);
                // Who is busy gets nobody while another is free.
                if !lined_up || is_free(llb_held(settled, now), concurrency) {
                    seat = settled;
                }
            }
            if lined_up && !is_free(llb_held(seat, now), concurrency) {
                let place = line::claim(ctx, index, now);
                if place != NO_SEAT {
                    return Chosen { seat: place, outcome: Outcome::Waits };
                }
            }
            if !maps::select(ctx, index, seat) {
                stand_by(ctx, index);
                return hash(Outcome::FallbackSelectFailed);
            }
            if STICKY {
                // SAFETY: the context is valid during the program's run.
                let is_made = unsafe { !(*ctx.md).__bindgen_anon_4.migrating_sk.is_null() };
                let made = if is_made { sticky::MADE } else { 0 };
                let noted = sticky::note(client, index, seat, made | tried, now);
                if noted != seat && maps::select(ctx, index, noted) {
                    seat = noted;
                }
            }
            llb_charge(seat, now);
            let is_first = first && seat == chosen;
            Chosen { seat, outcome: if is_first { Outcome::First } else { Outcome::PassedOver } }
        }
    }
}

/// What [`choose`] is asked.
#[repr(C)]
pub struct Asked {
    /// The group's.
    index: u32,
    policy: u32,
    least: u32,
    turn: u32,
    /// See [`Maps::lined_up`].
    lined_up: u32,
    reserved: u32,
    now: u64,
}

#[inline(always)]
fn chosen(asked: &Asked) -> Option<Choice> {
    // SAFETY: it lives on this stack until the call returns.
    match unsafe { black_box(llb_choose(&raw const *asked)) } {
        NO_MAP => None,
        HASH => Some(Choice::Hash),
        NO_SEAT => Some(Choice::NoSeat),
        choice => Some(Choice::Seat { seat: choice & !FIRST, first: choice & FIRST != 0 }),
    }
}

/// [`choose`], as a number: [`NO_MAP`], [`HASH`], [`NO_SEAT`], or a seat and whether it is the [`FIRST`] choice. A global function: the
/// verifier takes it for itself, once, and not with every way to it and on from it.
///
/// # Safety
/// `asked` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_choose(asked: *const Asked) -> u32 {
    // SAFETY: the caller's promise.
    let Some(asked) = (unsafe { asked.as_ref() }) else { return NO_MAP };
    let (Some(published), Some(group)) = (maps::published(), maps::group(asked.index)) else { return NO_MAP };
    // SAFETY: words of PUBLISHED and of GROUPS.
    let (at, count) = unsafe { (kernel::read(&raw const (*published).at), kernel::read(&raw const (*group).count)) };
    let now = asked.now;
    let fresh = now.saturating_sub(at) < STALE_AFTER_NS;
    let fleet = Maps { group, published, fresh, lined_up: asked.lined_up != 0, now };
    match choose(Policy::from_u32(asked.policy), &fleet, count, asked.least, asked.turn, now) {
        Choice::Hash => HASH,
        Choice::NoSeat => NO_SEAT,
        Choice::Seat { seat, first } => seat | if first { FIRST } else { 0 },
    }
}

const HASH: u32 = NO_SEAT - 1;
const NO_MAP: u32 = NO_SEAT - 2;
const FIRST: u32 = 1 << 16;

/// Has a connection wait for a worker where llb stands by, and leaves it to the kernel's hash where it does not. The hash would give
/// it to places of the line too, which are closed one by one when there is no worker.
#[inline(always)]
fn stand_by(ctx: &SkReuseportContext, group: u32) {
    let _ = maps::select_place(ctx, group, STANDBY);
}

/// Adds the choice to the seat's load at once, so that the next one sees it. A global function for the verifier's sake, as
/// below.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_charge(index: u32, now: u64) -> u32 {
    let Some(seat) = maps::seat(index) else { return 0 };
    // SAFETY: words of SEATS.
    unsafe {
        let charges = track::outstanding(seat);
        if charges == 0 {
            if track::given(seat) == 0 {
                kernel::write(&raw mut (*seat).progress_at, now);
            }
            // Nobody rolls a seat without charges, so what is due is of another time.
            let handshake_us = kernel::read(&raw const (*seat).handshake_us);
            kernel::write(&raw mut (*seat).mark, kernel::read(&raw const (*seat).charged));
            kernel::write(&raw mut (*seat).due_at, first_roll_at(handshake_us, now));
        }
        kernel::add(&raw mut (*seat).charged, 1);
        // Without the lock that a claim needs: a bit that comes back is one more choice of that seat.
        if let Some(word) = maps::fewest(index) {
            let fewest = kernel::read(word);
            if fewest & set::bit(index) != 0 {
                let closed = kernel::read(&raw const (*seat).closed);
                let open = kernel::read(&raw const (*seat).opened).saturating_sub(closed);
                // With this one, which is charged and not yet open.
                if open + charges + 1 >= maps::level() {
                    kernel::write(word, fewest & !set::bit(index));
                }
            }
        }
        if let Some(last) = maps::last()
            && kernel::read(last) != u64::from(index)
        {
            kernel::write(last, index.into());
        }
    }
    1
}

/// The maps as the choice reads them.
#[derive(Clone, Copy)]
pub struct Maps {
    pub group: *const Group,
    pub published: *const Published,
    /// Whether the published costs are still to be believed.
    pub fresh: bool,
    /// Whether there is a line: then nobody waits at a worker, be it as awake as it may.
    pub lined_up: bool,
    pub now: u64,
}

/// What [`look`] gets.
struct Looking {
    search: Search,
    fleet: Maps,
}

/// One step of the search, as `bpf_loop` calls it: 1 ends the loop.
extern "C" fn look(index: u32, looking: *mut Looking) -> i64 {
    // SAFETY: `bpf_loop` passes on what `search` below gave it.
    let looking = unsafe { &mut *looking };
    i64::from(looking.search.step(&looking.fleet, index, looking.fleet.now))
}

/// [`set::draw`], [`NO_SEAT`] of nothing. A global function, as below: the verifier takes it for itself, once, and not
/// with every way by which the selector comes to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_draw(one: u64, two: u64, three: u64, four: u64, turn: u32) -> u32 {
    set::draw(&[one, two, three, four], turn).unwrap_or(NO_SEAT)
}

/// [`awake`] of a seat, as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_awake(seat: u32, now: u64) -> u32 {
    awake(load(seat, 0, now), now) as u32
}

/// [`weigh`] of a seat: its weight, and as the lowest bits whether it is awake and whether it is idle. `flags` are [`BY_COUNT`] and
/// [`LINED_UP`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_weigh(seat: u32, flags: u32, now: u64) -> u64 {
    let mut load = load(seat, maps::published_cost(seat, now), now);
    if flags & LINED_UP != 0 {
        load.queued_ns = 0;
    }
    let Weight { weight, is_idle, is_awake } = weigh(load, flags & BY_COUNT != 0, now);
    weight << 2 | u64::from(is_awake) << 1 | u64::from(is_idle)
}

const BY_COUNT: u32 = 1;
const LINED_UP: u32 = 2;

/// [`Load::held`] of a seat.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_held(seat: u32, now: u64) -> u64 {
    load(seat, 0, now).held()
}

impl Fleet for Maps {
    #[inline(always)]
    fn held(&self, seat: u32, now: u64) -> u64 {
        llb_held(seat, now)
    }

    #[inline(always)]
    fn awake(&self, seat: u32, now: u64) -> Awake {
        match llb_awake(seat, now) {
            0 => Awake::Never,
            1 => Awake::Elsewhere,
            _ => Awake::Here,
        }
    }

    #[inline(always)]
    fn weigh(&self, seat: u32, by_count: bool, now: u64) -> Weight {
        let flag = |flag: u32, is_set: bool| if is_set { flag } else { 0 };
        let flags = flag(BY_COUNT, by_count) | flag(LINED_UP, self.lined_up);
        let weight = black_box(llb_weigh(seat, flags, now));
        Weight { weight: weight >> 2, is_idle: weight & 1 != 0, is_awake: weight & 2 != 0 }
    }

    #[inline(always)]
    fn draw(&self, set: &SeatSet, turn: u32) -> Option<u32> {
        // The compiler sees into the function and would drop the masks of the index, the verifier does not.
        match black_box(llb_draw(set[0], set[1], set[2], set[3], turn)) {
            NO_SEAT => None,
            seat => Some(seat),
        }
    }

    #[inline(always)]
    fn search(&self, search: &mut Search, times: u32, _: u64) {
        let mut looking = Looking { search: *search, fleet: *self };
        // SAFETY: the callback takes what is passed here, which lives on this stack until the call returns.
        unsafe { bpf_loop(times, look as *mut c_void, (&raw mut looking).cast(), 0) };
        *search = looking.search;
    }

    #[inline(always)]
    fn member(&self, place: u32) -> u32 {
        // SAFETY: the mask keeps the place inside the array of the group.
        unsafe {
            let seats = (&raw const (*self.group).seats).cast::<u8>();
            u32::from(kernel::read(seats.add(place as usize & (MAX_SEATS - 1))))
        }
    }

    #[inline(always)]
    fn has(&self, seat: u32) -> bool {
        // SAFETY: it points into GROUPS.
        unsafe { sticky::is_member(self.group, seat) }
    }

    #[inline(always)]
    fn idle(&self, near_only: bool) -> SeatSet {
        let Some(idle) = maps::idle(0) else { return [0; 4] };
        // What is near is not known of stale costs.
        if near_only && !self.fresh {
            return [0; 4];
        }
        // SAFETY: words of SEATS, GROUPS and PUBLISHED, four each.
        let word = |word: usize| unsafe {
            let members = kernel::read((&raw const (*self.group).members).cast::<u64>().add(word));
            let near = kernel::read((&raw const (*self.published).near).cast::<u64>().add(word));
            kernel::read(idle.add(word)) & members & if near_only { near } else { u64::MAX }
        };
        [word(0), word(1), word(2), word(3)]
    }

    #[inline(always)]
    fn fewest(&self) -> SeatSet {
        let Some(fewest) = maps::fewest(0) else { return [0; 4] };
        if !self.fresh {
            return [0; 4];
        }
        // SAFETY: words of SEATS, four.
        let word = |word: usize| unsafe { kernel::read(fewest.add(word)) };
        [word(0), word(1), word(2), word(3)]
    }

    #[inline(always)]
    fn last(&self) -> u32 {
        // SAFETY: words of SEATS and PUBLISHED; the mask keeps the index inside.
        unsafe {
            let Some(last) = maps::last() else { return NO_SEAT };
            let last = kernel::read(last) as u32 & (MAX_SEATS as u32 - 1);
            let near = kernel::read((&raw const (*self.published).near).cast::<u64>().add(last as usize / 64));
            let is_near = near & set::bit(last) != 0;
            if self.fresh && !self.lined_up && is_near && self.has(last) { last } else { NO_SEAT }
        }
    }

    #[inline(always)]
    fn claim(&self, seat: u32) -> bool {
        // SAFETY: a word of SEATS.
        maps::idle(seat).is_some_and(|word| unsafe { kernel::take_bits(word, set::bit(seat)) != 0 })
    }

    #[inline(always)]
    fn load(&self, seat: u32) -> Load {
        load(seat, 0, self.now)
    }
}

/// A seat's load, with the cost that is published for it or 0.
#[inline(always)]
pub fn load(index: u32, published_ns: u64, now: u64) -> Load {
    let Some(books) = maps::seat(index) else { return Load::default() };
    // SAFETY: words of SEATS. Forgetting charges races with other CPUs that forget or settle; the next roll mends what
    // is lost.
    unsafe {
        let mut seat = Seat {
            charged: kernel::read(&raw const (*books).charged),
            settled: kernel::read(&raw const (*books).settled),
            ended: kernel::read(&raw const (*books).ended),
            passed: kernel::read(&raw const (*books).passed),
            begun: kernel::read(&raw const (*books).begun),
            progress_at: kernel::read(&raw const (*books).progress_at),
            service_ns: kernel::read(&raw const (*books).service_ns),
            queued_ns: kernel::read(&raw const (*books).queued_ns),
            overtaking: kernel::read(&raw const (*books).overtaking),
            ..Seat::default()
        };
        // The second line of the seat is read only if there is something to forget.
        if seat.charged != seat.settled {
            seat.due_at = kernel::read(&raw const (*books).due_at);
        }
        if seat.charged != seat.settled && is_due(&seat, now) {
            seat.mark = kernel::read(&raw const (*books).mark);
            seat.handshake_us = kernel::read(&raw const (*books).handshake_us);
            seat = rolled(&seat, now);
            kernel::write(&raw mut (*books).due_at, seat.due_at);
            kernel::write(&raw mut (*books).settled, seat.settled);
            kernel::write(&raw mut (*books).mark, seat.mark);
        }
        // Of interest only where something is in flight.
        let beside = if seat.begun == seat.ended { 0 } else { maps::beside().map_or(0, |beside| kernel::read(beside)) };
        let load = Load::of(&seat, published_ns).beside(beside);
        if load.cost_ns != 0 { load } else { load.or_like(maps::first().map_or(0, |first| kernel::read(first))) }
    }
}
