//! Serves the lines: sees who waits and who is free, and does what [`crate::line`] decides.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, time::Duration};

use llb_common::{
    select::{Load, given, in_flight},
    track::{outstanding_at, roll_ns},
};

use super::{Waiting, in_line::HELD_FOR};
use crate::{
    engine::core::Core,
    line::{Candidate, Rules, Standing, Step, Waiter, decide},
    model::{Address, Instant, Seat},
    sys::socket,
};

/// A handshake is given up after so many of the round trips that are usual, and not before the first or after the second of these:
/// a packet may be lost.
const ROUND_TRIPS: u64 = 4;
const LEAST_PATIENCE_NS: u64 = 50_000_000;
const MOST_PATIENCE_NS: u64 = 1_000_000_000;

/// A handshake that was given up may be completed for so long all the same: the kernel repeats its answer five times, each time
/// after twice as long (`net.ipv4.tcp_synack_retries`).
const LATE: Duration = Duration::from_secs(64);

/// But no longer than this: a client that never asks must not cost its worker for ever, nor one whose note has been lost.
const HELD_AT_MOST: Duration = Duration::from_secs(60);

/// So much is done in a turn of the loop, of some 60 us each; the rest in the next. What is published for the selector must not age
/// meanwhile: it would take llb to hang, and send newcomers past those who wait.
const AT_ONCE: usize = 16;

impl Waiting {
    /// Whether the last turn has left something to do.
    pub(in crate::engine) fn has_to_serve(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.has_more)
    }

    /// What was handed over stays in its worker's books.
    pub(super) fn hold_what_was_handed(&mut self, core: &Core, now: Instant) {
        let Some(lines) = &mut self.lines else { return };
        let books = core.updater.steering().books();
        lines.handed.retain(|seat, handed| {
            let counts = books.seat(*seat);
            let under_way = outstanding_at(&counts, now.0) > 0;
            handed.retain(|one| under_way && one.is_due(counts.ended) && now < one.at.after(HELD_AT_MOST));
            if !handed.is_empty() {
                books.hold(*seat, now.after(HELD_FOR));
            }
            !handed.is_empty()
        });
    }

    /// Hands over those for whose request somebody is free.
    pub(in crate::engine) fn serve_lines(&mut self, core: &mut Core, now: Instant) {
        let Some(lines) = &mut self.lines else { return };
        lines.has_more = false;
        let is_quiet = lines.open.values().all(|open| open.arrived.is_empty());
        if is_quiet && core.updater.steering().books().waiting().load(Relaxed) == 0 {
            return;
        }
        let waiters = self.waiters(core, now);
        let books = core.updater.steering().books();
        let handshakes = || core.updater.views().iter().map(|view| books.seat(view.seat).handshake_us).max();
        let is_coming = waiters.iter().any(|waiter| waiter.standing == Standing::Coming);
        let patience_ns = patience_ns(is_coming.then(handshakes).flatten().unwrap_or(0));
        let Some(lines) = &mut self.lines else { return };
        lines.turn = lines.turn.wrapping_add(1);
        let rules = Rules { concurrency: lines.concurrency, patience_ns, turn: lines.turn };
        let open = lines.open.iter().map(|(address, open)| (open.group, (*address, open.sockets.len())));
        let open: BTreeMap<u32, (Address, usize)> = open.collect();
        let candidates = |group: u32| open.get(&group).map_or_else(Vec::new, |(at, _)| self.candidates(core, *at, now));
        let places = |group: u32| open.get(&group).map_or(0, |(_, places)| *places);
        let mut steps = decide(waiters, candidates, places, rules, now);
        let has_more = steps.len() > AT_ONCE;
        steps.truncate(AT_ONCE);
        for (waiter, step) in steps {
            let Some((address, _)) = open.get(&waiter.group) else { continue };
            match step {
                Step::HandOver(choice) => self.hand_over(core, *address, waiter, choice, now),
                Step::TakeBack => self.take_back(core, *address, waiter, now),
                Step::SeeOff => self.see_off(core, *address, waiter),
            }
        }
        let Some(lines) = &mut self.lines else { return };
        lines.has_more = has_more;
        // One turn that comes late is late for all who wait.
        if let (Some(gap_ns), Some(auto)) = (lines.gap_ns.take(), &mut lines.auto) {
            auto.handed_over(gap_ns);
        }
    }

    /// Who waits.
    fn waiters(&mut self, core: &Core, now: Instant) -> Vec<Waiter> {
        let (Some(lines), books) = (&mut self.lines, core.updater.steering().books()) else { return Vec::new() };
        let mut waiters = Vec::new();
        for open in lines.open.values_mut() {
            let length = |place: u32| {
                socket::accept_queue(&open.sockets[place as usize]).map_or(0, |queue| u64::from(queue.length))
            };
            let free = books.free_places(open.group);
            let taken = !free | open.arrived;
            for place in taken.iter().take_while(|place| (*place as usize) < open.sockets.len()) {
                if free.contains(place) {
                    // By the kernel's hash, or late.
                    if length(place) == 0 {
                        open.arrived.remove(place);
                        continue;
                    }
                    books.take_place(open.group, place, now);
                }
                let counts = books.place(open.group, place);
                if counts.claimed_at == 0 {
                    // It is just being claimed.
                    continue;
                }
                let since = Instant(counts.claimed_at);
                // That it has arrived is told once; who is late is asked for.
                let late = !open.arrived.contains(place) && now.since(since) > LEAST_PATIENCE_NS;
                if late && length(place) > 0 {
                    open.arrived.insert(place);
                }
                let standing = match open.arrived.contains(place) {
                    true if counts.closed > 0 && counts.closed >= length(place) => Standing::Gone,
                    true => Standing::Waiting,
                    false => Standing::Coming,
                };
                waiters.push(Waiter { group: open.group, place, since, standing });
            }
        }
        waiters
    }

    /// The workers of a group.
    fn candidates(&self, core: &Core, address: Address, now: Instant) -> Vec<Candidate> {
        let handed = |seat: Seat| self.lines.as_ref().and_then(|lines| lines.handed.get(&seat)).map_or(0, Vec::len);
        let books = core.updater.steering().books();
        let (first_ns, beside) = (books.first_ns(), books.beside());
        let candidate = |seat: Seat| {
            let counts = books.load(seat);
            let mut load = Load::of(&counts, core.updater.cost_ns(seat, &counts));
            let charges = outstanding_at(&counts, now.0);
            load.requests = given(&counts) + charges;
            load.queued_ns = 0;
            let load = load.or_like(first_ns).beside(beside);
            // What was handed over is a charge until it is seen to have begun.
            Candidate { seat, load, certain: in_flight(&counts) + charges.min(handed(seat) as u64) }
        };
        core.updater.steering().members(address).iter().map(|member| candidate(member.seat)).collect()
    }

    /// Frees a place that nobody has come to.
    fn take_back(&mut self, core: &mut Core, address: Address, waiter: Waiter, now: Instant) {
        let Waiter { group, place, .. } = waiter;
        if let Some(open) = self.lines.as_mut().and_then(|lines| lines.open.get_mut(&address)) {
            open.late.insert(place, now.after(LATE));
        }
        core.updater.steering().books().free_place(group, place);
    }

    /// Takes the connection of a client who has gone, so that no worker need.
    fn see_off(&mut self, core: &Core, address: Address, waiter: Waiter) {
        let Waiter { group, place, .. } = waiter;
        let Some(lines) = &mut self.lines else { return };
        let Some(open) = lines.open.get_mut(&address) else { return };
        open.arrived.remove(place);
        while open.sockets[place as usize].accept().is_ok() {
            lines.given_up += 1;
        }
        core.updater.steering().books().free_place(group, place);
    }
}

/// How long a handshake may take where this is the usual round trip, ns.
fn patience_ns(handshake_us: u32) -> u64 {
    (ROUND_TRIPS * roll_ns(handshake_us)).clamp(LEAST_PATIENCE_NS, MOST_PATIENCE_NS)
}
