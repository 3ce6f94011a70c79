//! The seats' books and the published costs, mapped into memory: reading and publishing make no system call.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, Release},
    },
};

use aya::maps::{Map, MapData, PerCpuArray};
use llb_common::{
    abi::{BUCKETS, Line, MAX_GROUPS, MAX_SEATS, NO_GROUP, NO_SEAT, Published, Seat as SeatBooks, SeatSet, Seats},
    names,
    outcome::{Outcome, Stage},
    policy::Policy,
    select::outstanding,
    track::{Mark, mark_at},
};

use super::{KernelError, error::map_error};
use crate::{
    model::{Instant, Seat},
    sys::mmap::SharedWords,
};

/// Words of one seat, and where the words of [`Published`] lie.
const SEAT_WORDS: usize = size_of::<SeatBooks>() / 8;
const AT_WORD: usize = 0;
const POLICY_AND_LEAST_WORD: usize = 1;
const NEAR_WORD: usize = std::mem::offset_of!(Published, near) / 8;
const ONLY_GROUP_WORD: usize = std::mem::offset_of!(Published, only_group) / 8;
const COST_WORD: usize = std::mem::offset_of!(Published, cost_ns) / 8;
/// Where the set of the idle seats begins.
const IDLE_WORD: usize = std::mem::offset_of!(Seats, idle) / 8;
/// Where the set of the seats with the fewest open connections begins.
const FEWEST_WORD: usize = std::mem::offset_of!(Seats, fewest) / 8;
/// Where the number of connections is that they are to have.
const LEVEL_WORD: usize = std::mem::offset_of!(Seats, level) / 8;
/// Where it is what the first answer took.
const FIRST_WORD: usize = std::mem::offset_of!(Seats, first_ns) / 8;
/// Where it is beside how many older requests others are answered.
const BESIDE_WORD: usize = std::mem::offset_of!(Seats, beside) / 8;
/// Words of a seat before `mark`: all that a load is made of, but for the charges that are due.
const LOAD_WORDS: usize = std::mem::offset_of!(SeatBooks, mark) / 8;
/// Where words that userspace writes lie within a seat.
const PASSED_WORD: usize = std::mem::offset_of!(SeatBooks, passed) / 8;
const PROGRESS_WORD: usize = std::mem::offset_of!(SeatBooks, progress_at) / 8;
const ALIVE_WORD: usize = std::mem::offset_of!(SeatBooks, alive) / 8;
const DUE_WORD: usize = std::mem::offset_of!(SeatBooks, due_at) / 8;
const SERVICE_WORD: usize = std::mem::offset_of!(SeatBooks, service_ns) / 8;

/// Answers by what they took: see [`llb_common::histogram`]. An example is [there](super#listeners-of-this-process).
pub type Latencies = [u64; BUCKETS];

/// The seats' books and what is published: of one fleet's [`Steering`](super::Steering).
///
/// ```no_run
/// use llb::{config::Policy, kernel::{Books, Publication, Steering}, model::{Instant, Seat}, now};
///
/// /// Has the kernel take seat 0 for ten times as fast as seat 1, by reports.
/// fn publish(books: &Books, now: Instant) {
///     let mut cost_ns = [0; llb_common::abi::MAX_SEATS];
///     (cost_ns[0], cost_ns[1]) = (1_000_000, 10_000_000);
///     let idle = llb_common::set::of([0, 1].into_iter());
///     let near = llb_common::set::of([0].into_iter());
///     books.publish(Policy::LeastLatency, &Publication { least: Some(Seat(0)), near, cost_ns: &cost_ns }, now);
///     books.rest(&idle);
/// }
/// # fn example(steering: &Steering) {
/// publish(steering.books(), now());
/// # }
/// ```
pub struct Books {
    pub(super) seats: Arc<SharedWords>,
    latency: SharedWords,
    published: SharedWords,
    pub(super) lines: SharedWords,
}

impl Books {
    pub(super) fn map(seats: &Map, latency: &Map, published: &Map, lines: &Map) -> Result<Self, KernelError> {
        Ok(Books {
            seats: Arc::new(words(seats, names::SEATS, size_of::<Seats>())?),
            latency: words(latency, names::LATENCY, MAX_SEATS * size_of::<Latencies>())?,
            published: words(published, names::PUBLISHED, size_of::<Published>())?,
            lines: words(lines, names::LINES, MAX_GROUPS * size_of::<Line>())?,
        })
    }

    /// A seat's books as they stand.
    #[must_use]
    pub fn seat(&self, seat: Seat) -> SeatBooks {
        self.read::<SEAT_WORDS>(seat)
    }

    /// What a seat's load is made of ([`llb_common::select::Load::of`]); without charges the rest is 0. That is one line of
    /// memory, which another core has written last, instead of two.
    #[must_use]
    pub(crate) fn load(&self, seat: Seat) -> SeatBooks {
        let load = self.read::<LOAD_WORDS>(seat);
        if outstanding(&load) == 0 { load } else { self.seat(seat) }
    }

    /// What busy seats are taken to cost of which nothing is known, ns ([`Seats::first_ns`]); 0 until anything is.
    pub(crate) fn first_ns(&self) -> u64 {
        self.seats.words()[FIRST_WORD].load(Relaxed)
    }

    /// The worker of a seat has been seen to wait for connections, with none left to accept, when `begun` requests had
    /// begun there: it has read them all. The kernel's words may move on at the same time; the greater ones count.
    pub(crate) fn alive(&self, seat: Seat, begun: u64, now: Instant) {
        let base = (seat.0 as usize % MAX_SEATS) * SEAT_WORDS;
        let Mark { alive, passed } = mark_at(begun);
        let words = &self.seats.words()[base..base + SEAT_WORDS];
        words[PROGRESS_WORD].fetch_max(now.0, Relaxed);
        words[ALIVE_WORD].fetch_max(alive, Relaxed);
        words[PASSED_WORD].fetch_max(passed, Relaxed);
    }

    fn read<const WORDS: usize>(&self, seat: Seat) -> SeatBooks {
        let mut words = [0u64; SEAT_WORDS];
        let base = (seat.0 as usize % MAX_SEATS) * SEAT_WORDS;
        let shared = &self.seats.words()[base..base + WORDS];
        for (word, shared) in words.iter_mut().zip(shared) {
            *word = shared.load(Relaxed);
        }
        bytemuck::must_cast(words)
    }

    /// A seat's answers by what they took, from a request's first byte in to the first byte out.
    #[must_use]
    pub fn latencies(&self, seat: Seat) -> Latencies {
        let base = (seat.0 as usize % MAX_SEATS) * BUCKETS;
        let shared = &self.latency.words()[base..base + BUCKETS];
        std::array::from_fn(|bucket| shared[bucket].load(Relaxed))
    }

    /// Forgets the service time of a seat's last worker, as a new one takes the seat.
    pub fn renew(&self, seat: Seat) {
        self.seats.words()[(seat.0 as usize % MAX_SEATS) * SEAT_WORDS + SERVICE_WORD].store(0, Relaxed);
    }

    /// Has no charge of a seat forgotten until `until`. One that has just been given what waited for another holds requests
    /// that are in its books only as charges: they count as requests when they are answered.
    pub(crate) fn hold(&self, seat: Seat, until: Instant) {
        self.seats.words()[(seat.0 as usize % MAX_SEATS) * SEAT_WORDS + DUE_WORD].store(until.0, Relaxed);
    }

    /// Puts seats among those that the selector takes for idle. It verifies, so one that is not is no harm.
    pub fn rest(&self, idle: &SeatSet) {
        for (word, seats) in self.seats.words()[IDLE_WORD..].iter().zip(idle) {
            // Mostly they are there already, and then the kernel's cache line is left alone.
            if seats & !word.load(Relaxed) != 0 {
                word.fetch_or(*seats, Relaxed);
            }
        }
    }

    /// Says which seats have the fewest open connections, so that of idle ones they come first until they have `level`.
    pub(crate) fn prefer(&self, fewest: &SeatSet, level: u64) {
        self.seats.words()[LEVEL_WORD].store(level, Relaxed);
        for (word, seats) in self.seats.words()[FEWEST_WORD..].iter().zip(fewest) {
            if *seats != word.load(Relaxed) {
                word.store(*seats, Relaxed);
            }
        }
    }

    /// [`Seats::beside`]
    pub(crate) fn beside(&self) -> u64 {
        self.seats.words()[BESIDE_WORD].load(Relaxed)
    }

    /// Sets it, unless an answer is faster: the next one sets it again.
    pub(crate) fn set_beside(&self, beside: u64) {
        self.seats.words()[BESIDE_WORD].store(beside, Relaxed);
    }

    /// Says whether there is only one group, and which.
    pub(super) fn set_only_group(&self, group: Option<u32>) {
        let [_, concurrency]: [u32; 2] = bytemuck::must_cast(self.published.words()[ONLY_GROUP_WORD].load(Relaxed));
        let word: u64 = bytemuck::must_cast([group.unwrap_or(NO_GROUP), concurrency]);
        self.published.words()[ONLY_GROUP_WORD].store(word, Release);
    }

    /// Says how many requests a worker serves at once, if who finds none free is to wait; 0: nobody is.
    pub(crate) fn set_concurrency(&self, concurrency: u32) {
        let [group, _]: [u32; 2] = bytemuck::must_cast(self.published.words()[ONLY_GROUP_WORD].load(Relaxed));
        self.published.words()[ONLY_GROUP_WORD].store(bytemuck::must_cast([group, concurrency]), Release);
    }

    /// Publishes the costs, then the seats that come first, then the time, which makes them count. Costs that have not
    /// changed are not stored: every other core would have to fetch them anew for its next choice.
    pub fn publish(&self, policy: Policy, publication: &Publication<'_>, now: Instant) {
        let words = self.published.words();
        for (word, cost) in words[COST_WORD..].iter().zip(publication.cost_ns) {
            if word.load(Relaxed) != *cost {
                word.store(*cost, Relaxed);
            }
        }
        for (word, near) in words[NEAR_WORD..].iter().zip(publication.near) {
            word.store(near, Relaxed);
        }
        let least = publication.least.map_or(NO_SEAT, |seat| seat.0);
        let word: u64 = bytemuck::must_cast([policy.as_u32(), least]);
        words[POLICY_AND_LEAST_WORD].store(word, Relaxed);
        words[AT_WORD].store(now.0, Release);
    }
}

/// What is published; see [`Published`]. An example is at [`Books`].
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The least-latency worker's seat.
    pub least: Option<Seat>,
    /// The seats whose cost is not clearly above the least.
    pub near: SeatSet,
    /// By seat, ns; 0 where the kernel is to use its own number.
    pub cost_ns: &'a [u64; MAX_SEATS],
}

pub(super) fn words(map: &Map, name: &'static str, bytes: usize) -> Result<SharedWords, KernelError> {
    let Map::Array(data) = map else { return Err(KernelError::Missing { what: "map", name }) };
    let words = NonZeroUsize::new(bytes / 8).expect("map values are not empty");
    SharedWords::map(data.fd().as_fd(), words).map_err(|source| KernelError::Mmap { map: name, source })
}

/// How often each [`Outcome`] came about.
///
/// ```
/// use llb::kernel::{Counters, Outcome, Stage};
///
/// /// Connections that no policy has chosen a worker for, though one was to.
/// fn fallbacks(counters: &Counters) -> u64 {
///     let chosen = [Outcome::First, Outcome::PassedOver, Outcome::Hash].map(|outcome| counters.get(outcome));
///     counters.total(Stage::Select) - chosen.iter().sum::<u64>()
/// }
/// assert_eq!(fallbacks(&Counters::default()), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Outcome::COUNT]);

impl Counters {
    /// One outcome's count.
    #[must_use]
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index() as usize]
    }

    /// Connections that entered a stage.
    #[must_use]
    pub fn total(&self, stage: Stage) -> u64 {
        Outcome::ALL.iter().filter(|outcome| outcome.stage() == stage).map(|outcome| self.get(*outcome)).sum()
    }
}

pub(super) fn counters(map: &PerCpuArray<MapData, u64>) -> Result<Counters, KernelError> {
    let mut counters = Counters::default();
    for outcome in Outcome::ALL {
        let values = map.get(&outcome.index(), 0).map_err(map_error(names::COUNTERS))?;
        counters.0[outcome.index() as usize] = values.iter().sum();
    }
    Ok(counters)
}
