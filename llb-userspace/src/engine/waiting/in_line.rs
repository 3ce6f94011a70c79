//! The lines: llb's own listeners in the groups, and when there are any.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    time::Duration,
};

use llb_common::{abi::BUCKETS, line::PLACES};
use socket2::Socket;

use super::{Waiting, closing::Closing, lengthening::places, stock::Stock};
use crate::{
    config::Concurrency,
    engine::core::Core,
    line::{auto::Auto, places::Places},
    model::{Address, Instant, Seat},
    sys::{epoll::Epoll, limits, readable::Readable, socket::Heritage},
};

/// A place holds one connection. Should a handshake that was given up be completed after all, there is room.
pub(super) const BACKLOG: i32 = 16;

/// What has been handed over is in its worker's books as a charge until it is answered, and is not to be forgotten like one.
/// So long at a time, as it is renewed with every tick.
pub(super) const HELD_FOR: Duration = Duration::from_secs(1);

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
    pub(super) turn: usize,
    /// Whether the last turn has left something to do.
    pub(super) has_more: bool,
    /// How long the worker that was free for longest has been so when it was handed somebody in this turn, if any was.
    pub(super) gap_ns: Option<u64>,
    pub(super) given_up: u64,
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
    /// Requests that will have ended there before it: once there are more, it is no more.
    pub(super) ended: u64,
}

impl Handed {
    /// Whether its own answer is still to come, where so many requests have ended.
    pub(super) fn is_due(&self, ended: u64) -> bool {
        ended <= self.ended
    }
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
            has_more: false,
            gap_ns: None,
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
}
