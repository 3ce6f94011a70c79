//! Picks the seat for a new connection, and for a waiting one whose listener closes. The choice itself is
//! `llb_common::select`.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_loop, programs::SkReuseportContext};
use llb_common::{
    abi::{Group, Listener, MAX_SEATS, NO_SEAT, Published, Seat},
    outcome::Outcome,
    policy::Policy,
    select::{Choice, Fleet, Load, STALE_AFTER_NS, Search, choose},
    track::roll,
};

use crate::{kernel, maps, track};

/// Selects a socket; whatever the outcome, the connection goes on.
#[inline(always)]
pub fn steer(ctx: &SkReuseportContext) -> Outcome {
    // SAFETY: the context is valid during the program's run, and `sk` is never null.
    let (listener, moving) = unsafe {
        (maps::listener(kernel::cookie_of((*ctx.md).__bindgen_anon_3.sk)), (*ctx.md).__bindgen_anon_4.migrating_sk)
    };
    if moving.is_null() {
        return choose_and_select(ctx, listener).map_or_else(|fallback| fallback, |(_, outcome)| outcome);
    }
    let Ok((seat, _)) = choose_and_select(ctx, listener) else { return Outcome::MigratedByHash };
    // A connection that came to a listener which had not joined is in no seat's books.
    let old = listener.filter(|listener| listener.seat != NO_SEAT);
    if let Some(old) = old.and_then(|listener| maps::seat(listener.seat)) {
        // SAFETY: a word of SEATS, and the migrating socket of the context.
        unsafe {
            maps::set_moved(kernel::cookie_of(moving), seat);
            kernel::add(&raw mut (*old).epoch, 1);
        }
    }
    Outcome::Migrated
}

/// The seat that was selected and how it came to it, or the reason why the kernel's hash must do.
#[inline(always)]
fn choose_and_select(ctx: &SkReuseportContext, listener: Option<Listener>) -> Result<(u32, Outcome), Outcome> {
    let Some(Listener { group: index, .. }) = listener else { return Err(Outcome::FallbackUnknownListener) };
    let (Some(group), Some(published)) = (maps::group(index), maps::published()) else {
        return Err(Outcome::FallbackMap);
    };
    let now = kernel::now();
    // SAFETY: words of GROUPS and PUBLISHED.
    let (count, policy, least, at) = unsafe {
        (
            kernel::read(&raw const (*group).count),
            Policy::from_u32(kernel::read(&raw const (*published).policy)),
            kernel::read(&raw const (*published).least),
            kernel::read(&raw const (*published).at),
        )
    };
    let turn = if matches!(policy, Policy::RoundRobin) { maps::turn(index) } else { kernel::random() };
    let fleet = Maps { group, published, fresh: now.saturating_sub(at) < STALE_AFTER_NS, now };
    match choose(policy, &fleet, count, least, turn, now) {
        Choice::Hash => Err(Outcome::Hash),
        Choice::NoSeat => Err(Outcome::FallbackNoSeat),
        Choice::Seat { seat, first } => {
            if !maps::select(ctx, index, seat) {
                return Err(Outcome::FallbackSelectFailed);
            }
            charge(seat, now);
            Ok((seat, if first { Outcome::First } else { Outcome::PassedOver }))
        }
    }
}

/// Adds the choice to the seat's load at once, so that the next one sees it.
#[inline(always)]
fn charge(seat: u32, now: u64) {
    let Some(seat) = maps::seat(seat) else { return };
    // SAFETY: words of SEATS.
    unsafe {
        if track::in_flight(seat) == 0 && outstanding(seat) == 0 {
            kernel::write(&raw mut (*seat).progress_at, now);
        }
        kernel::add(&raw mut (*seat).charged, 1);
        kernel::add(&raw mut (*seat).chosen, 1);
    }
}

/// # Safety
/// `seat` points into SEATS.
#[inline(always)]
unsafe fn outstanding(seat: *const Seat) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { kernel::read(&raw const (*seat).charged).saturating_sub(kernel::read(&raw const (*seat).settled)) }
}

/// The maps as the choice reads them.
#[derive(Clone, Copy)]
struct Maps {
    group: *const Group,
    published: *const Published,
    /// Whether the published costs are still to be believed.
    fresh: bool,
    now: u64,
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

impl Fleet for Maps {
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
    fn load(&self, index: u32) -> Load {
        let Some(books) = maps::seat(index) else { return Load::default() };
        // SAFETY: words of SEATS and PUBLISHED; the mask keeps the index inside. Forgetting charges races with
        // other CPUs that forget or settle; the next roll mends what is lost.
        unsafe {
            let seat = Seat {
                charged: kernel::read(&raw const (*books).charged),
                settled: kernel::read(&raw const (*books).settled),
                mark: kernel::read(&raw const (*books).mark),
                rolled_at: kernel::read(&raw const (*books).rolled_at),
                ended: kernel::read(&raw const (*books).ended),
                begun: kernel::read(&raw const (*books).begun),
                progress_at: kernel::read(&raw const (*books).progress_at),
                service_ns: kernel::read(&raw const (*books).service_ns),
                ..Seat::default()
            };
            if let Some((settled, mark)) = roll(&seat, self.now) {
                kernel::write(&raw mut (*books).rolled_at, self.now);
                kernel::write(&raw mut (*books).settled, settled);
                kernel::write(&raw mut (*books).mark, mark);
            }
            let published = (&raw const (*self.published).cost_ns).cast::<u64>();
            let cost = kernel::read(published.add(index as usize & (MAX_SEATS - 1)));
            Load::of(&seat, if self.fresh { cost } else { 0 })
        }
    }
}
