//! The line's edge: llb's own listeners in the groups, and what [`crate::line`] decides about who waits there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use llb_common::{
    abi::BUCKETS,
    line::PLACES,
    outcome::Outcome,
    select::{Load, given, in_flight},
    track::{outstanding_at, roll_ns},
};
use socket2::Socket;

use super::{Waiting, closing::Closing, lengthening::places, stock::Stock};
use crate::{
    config::Concurrency,
    engine::core::Core,
    line::{
        Candidate, Rules, Standing, Step, Waiter,
        auto::{Auto, Seen},
        decide,
        places::Places,
    },
    model::{Address, Instant, Seat},
    observe::status::{LatencyStatus, LineStatus, histogram},
    sys::{
        epoll::Epoll,
        limits,
        readable::Readable,
        socket::{self, Heritage},
    },
};

/// A place holds one connection. Should a handshake that was given up be completed after all, there is room.
pub(super) const BACKLOG: i32 = 16;

/// A handshake is given up after so many of the round trips that are usual, and not before the first or after the second of these:
/// a packet may be lost.
const ROUND_TRIPS: u64 = 4;
const LEAST_PATIENCE_NS: u64 = 50_000_000;
const MOST_PATIENCE_NS: u64 = 1_000_000_000;

/// A handshake that was given up may be completed for so long all the same: the kernel repeats its answer five times, each time
/// after twice as long (`net.ipv4.tcp_synack_retries`).
const LATE: Duration = Duration::from_secs(64);

/// What has been handed over is in its worker's books as a charge until it is answered, and is not to be forgotten like one.
/// So long at a time, as it is renewed with every tick.
pub(super) const HELD_FOR: Duration = Duration::from_secs(1);

/// But no longer than this: a client that never asks must not cost its worker for ever, nor one whose note has been lost.
const HELD_AT_MOST: Duration = Duration::from_secs(60);

/// All lines of the fleet.
pub(in crate::engine) struct Lines {
    /// How many requests a worker serves at once; 0 while nobody waits in line.
    pub(super) concurrency: u32,
    /// What finds that out; none if it is given.
    pub(super) auto: Option<Auto>,
    pub(super) open: BTreeMap<Address, Open>,
    /// Groups that cannot have one.
    without: BTreeSet<Address>,
    pub(super) watch: Readable<Epoll>,
    pub(super) stock: Stock,
    /// Places of lines that were closed.
    pub(super) closing: Vec<Closing>,
    pub(super) handed: BTreeMap<Seat, Vec<Handed>>,
    turn: usize,
    given_up: u64,
    /// How long who was handed over has waited, by bucket.
    pub(super) waits: [u64; BUCKETS],
}

/// One group's.
pub(super) struct Open {
    pub(super) group: u32,
    /// By place, up to the last that there is by now.
    pub(super) sockets: Vec<Socket>,
    /// How many there are to be.
    pub(super) places: u32,
    /// What they have of the workers' listeners.
    pub(super) heritage: Heritage,
    /// Places in which somebody has arrived.
    pub(super) arrived: Places,
    /// Until when another than who has the place may arrive there.
    pub(super) late: BTreeMap<u32, Instant>,
    /// Cookies of listeners that have ended, and until when somebody may arrive there.
    pub(super) retired: Vec<(Instant, u64)>,
}

impl Open {
    fn new(group: u32, places: u32, heritage: Heritage) -> Self {
        Open {
            group,
            sockets: Vec::new(),
            places,
            heritage,
            arrived: Places::default(),
            late: BTreeMap::new(),
            retired: Vec::new(),
        }
    }

    /// Whether all places are there.
    pub(super) fn is_complete(&self) -> bool {
        self.sockets.len() >= self.places as usize
    }

    /// The key by which a place's listener is watched.
    pub(super) fn key(&self, place: u32) -> u64 {
        u64::from(self.group * PLACES + place)
    }
}

/// A connection that a seat has been given.
#[derive(Clone, Copy)]
pub(super) struct Handed {
    pub(super) at: Instant,
    /// Requests that had ended there.
    pub(super) ended: u64,
}

impl Lines {
    /// Those of a fleet, if its clients are ever to wait in line.
    pub(in crate::engine) fn of(concurrency: Concurrency, now: Instant) -> io::Result<Option<Self>> {
        match concurrency {
            Concurrency::Off => Ok(None),
            Concurrency::Auto => Lines::new(0, Some(Auto::new(now))).map(Some),
            Concurrency::Fixed(concurrency) => Lines::new(concurrency, None).map(Some),
        }
    }

    fn new(concurrency: u32, auto: Option<Auto>) -> io::Result<Self> {
        Ok(Lines {
            concurrency,
            auto,
            open: BTreeMap::new(),
            without: BTreeSet::new(),
            watch: Readable::new(Epoll::new()?)?,
            stock: Stock::default(),
            closing: Vec::new(),
            handed: BTreeMap::new(),
            turn: 0,
            given_up: 0,
            waits: [0; BUCKETS],
        })
    }

    /// How many requests a worker serves at once; 0 while nobody waits in line.
    pub(in crate::engine) fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Notes who has arrived.
    fn arrived(&mut self, keys: &[u64]) {
        for open in self.open.values_mut() {
            let here = keys.iter().filter(|key| **key / u64::from(PLACES) == u64::from(open.group));
            here.for_each(|key| open.arrived.insert((key % u64::from(PLACES)) as u32));
        }
    }
}

/// Waits until somebody has arrived in a line.
pub(in crate::engine) async fn arrival(lines: &mut Option<Lines>) -> io::Result<()> {
    let Some(lines) = lines else { return std::future::pending().await };
    let keys = lines.watch.readable(Epoll::take).await?;
    lines.arrived(&keys);
    Ok(())
}

impl Waiting {
    /// What is done with every tick.
    pub(in crate::engine) fn tend_lines(&mut self, core: &mut Core, now: Instant) {
        if self.lines.is_none() {
            return;
        }
        self.find_out(core, now);
        self.open_and_close_lines(core, now);
        self.close_places(core, now);
        self.lengthen_lines(core, now);
        self.hold_what_was_handed(core, now);
        self.serve_lines(core, now);
    }

    /// A line is there as long as its group has somebody to serve it, one request at a time.
    fn open_and_close_lines(&mut self, core: &mut Core, now: Instant) {
        let Some(lines) = &self.lines else { return };
        let groups = core.updater.steering().groups();
        let (is_open, is_on) = (|address: &Address| lines.open.contains_key(address), lines.concurrency > 0);
        let may_open = |address: &Address| !lines.without.contains(address) && !lines.is_closing(*address);
        let (mut to_open, mut to_close) = (Vec::new(), Vec::new());
        for (address, members) in groups {
            match members.first() {
                Some(member) if is_on && !is_open(&address) && may_open(&address) => {
                    to_open.push((address, member.cookie));
                }
                None if is_open(&address) => to_close.push(address),
                _ if !is_on && is_open(&address) => to_close.push(address),
                _ => {}
            }
        }
        to_close.into_iter().for_each(|address| self.close_line(core, address, now));
        for (address, cookie) in to_open {
            // One that is just going is no pattern; there may be another with the next tick.
            let Some(pattern) = core.copy_of(cookie) else { continue };
            if let Err(error) = self.open_line(core, address, &pattern) {
                self.give_up_line(core, address, &error, now);
            }
        }
    }

    /// Opens a line without places.
    fn open_line(&mut self, core: &mut Core, address: Address, pattern: &OwnedFd) -> anyhow::Result<()> {
        let new = core.make_own(address, 1)?;
        let heritage = new.first().map_or_else(Heritage::default, |new| Heritage::of(pattern, new));
        let Some(group) = core.updater.steering().group_index(address) else { return Ok(()) };
        let places = places(limits::files()?, core.updater.steering().groups().count());
        if let Some(lines) = &mut self.lines {
            lines.open.insert(address, Open::new(group, places, heritage));
            core.updater.steering().books().open_line(group);
        }
        Ok(())
    }

    /// An address has no line any more, as that is not possible.
    pub(super) fn give_up_line(&mut self, core: &mut Core, address: Address, error: &anyhow::Error, now: Instant) {
        tracing::warn!(%address, "nobody waits in line, connections wait at workers: {error:#}");
        self.close_line(core, address, now);
        if let Some(lines) = &mut self.lines {
            lines.without.insert(address);
        }
    }

    fn hold_what_was_handed(&mut self, core: &Core, now: Instant) {
        let Some(lines) = &mut self.lines else { return };
        let books = core.updater.steering().books();
        lines.handed.retain(|seat, handed| {
            let counts = books.seat(*seat);
            let under_way = outstanding_at(&counts, now.0) > 0;
            handed.retain(|one| under_way && counts.ended == one.ended && now < one.at.after(HELD_AT_MOST));
            if !handed.is_empty() {
                books.hold(*seat, now.after(HELD_FOR));
            }
            !handed.is_empty()
        });
    }

    /// Hands over those for whose request somebody is free.
    pub(in crate::engine) fn serve_lines(&mut self, core: &mut Core, now: Instant) {
        let Some(lines) = &self.lines else { return };
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
        let (rules, addresses) = (
            Rules { concurrency: lines.concurrency, patience_ns, turn: lines.turn },
            lines.open.iter().map(|(address, open)| (open.group, *address)).collect::<BTreeMap<u32, Address>>(),
        );
        let candidates = |group: u32| addresses.get(&group).map_or_else(Vec::new, |at| self.candidates(core, *at, now));
        let steps = decide(waiters, candidates, rules, now);
        for (waiter, step) in steps {
            let Some(address) = addresses.get(&waiter.group) else { continue };
            match step {
                Step::HandOver(seat) => self.hand_over(core, *address, waiter, seat, now),
                Step::TakeBack => self.take_back(core, *address, waiter, now),
                Step::SeeOff => self.see_off(core, *address, waiter),
            }
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
        let candidate = |seat: Seat| {
            let counts = core.updater.steering().books().load(seat);
            let mut load = Load::of(&counts, core.updater.cost_ns(seat, &counts));
            let charges = outstanding_at(&counts, now.0);
            load.requests = given(&counts) + charges;
            load.queued_ns = 0;
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

    /// What a worker on these seats was seen to do while it held a request, and how often: only what was seen.
    pub(in crate::engine) fn looks(&self, seats: &[Seat]) -> BTreeMap<String, u64> {
        let auto = self.lines.as_ref().and_then(|lines| lines.auto.as_ref());
        let seen: Vec<Seen> = auto.iter().flat_map(|auto| seats.iter().map(|seat| auto.seen(*seat))).collect();
        let counts = [
            ("works", seen.iter().map(|seen| seen.works).sum::<u64>()),
            ("waits", seen.iter().map(|seen| seen.waits).sum()),
            ("hidden", seen.iter().map(|seen| seen.hidden).sum()),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| (what.to_owned(), count)).collect()
    }

    /// The lines as they are shown; none where nobody waits in line.
    pub(in crate::engine) fn line_status(&self, core: &Core, counted: impl Fn(Outcome) -> u64) -> Option<LineStatus> {
        let lines = self.lines.as_ref()?;
        Some(LineStatus {
            concurrency: lines.concurrency,
            is_open: lines.concurrency == 0
                || core.updater.steering().groups().all(|(at, _)| lines.open.get(&at).is_some_and(Open::is_complete)),
            why: lines.auto.as_ref().map(Auto::why),
            waiting: core.updater.steering().books().waiting().load(Relaxed),
            waited: counted(Outcome::Waits),
            handed_over: counted(Outcome::HandedOver),
            given_up: lines.given_up,
            wait_us: LatencyStatus::of(&lines.waits),
            wait_histogram: histogram(&lines.waits),
        })
    }
}

/// How long a handshake may take where this is the usual round trip, ns.
fn patience_ns(handshake_us: u32) -> u64 {
    (ROUND_TRIPS * roll_ns(handshake_us)).clamp(LEAST_PATIENCE_NS, MOST_PATIENCE_NS)
}
