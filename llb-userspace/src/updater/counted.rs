//! What a worker's seats have counted since it took them.

use std::collections::{BTreeMap, btree_map::Entry};

use llb_common::{
    abi::{BUCKETS, Seat as SeatBooks},
    select,
};

use super::Updater;
use crate::{
    kernel::{Books, Latencies},
    model::{Seat, WorkerId},
    observe::status::sum_of,
};

/// What a seat had counted for others before.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Its books.
    pub books: SeatBooks,
    /// The answers that they had seen.
    pub latencies: Latencies,
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline { books: SeatBooks::default(), latencies: [0; BUCKETS] }
    }
}

/// Of what a seat had counted for others before, what its publication needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Requests answered.
    pub answered: u64,
    /// Connections closed without an answer.
    pub failed: u64,
    /// Connections closed.
    pub closed: u64,
}

/// What each seat of a worker had counted when it took it.
#[derive(Clone, Debug, Default)]
pub(super) struct Baselines(BTreeMap<Seat, Box<Baseline>>);

impl Baselines {
    /// Begins a seat's books anew, unless the worker sits there already; whether it has.
    pub(super) fn begin(&mut self, books: &Books, seat: Seat) -> bool {
        let Entry::Vacant(entry) = self.0.entry(seat) else { return false };
        books.renew(seat);
        entry.insert(Box::new(Baseline { books: books.seat(seat), latencies: books.latencies(seat) }));
        true
    }

    /// What a seat had counted before the worker took it.
    pub(super) fn before(&self, seat: Seat) -> Before {
        self.0.get(&seat).map_or(Before::default(), |baseline| {
            let SeatBooks { answered, failed, closed, .. } = baseline.books;
            Before { answered, failed, closed }
        })
    }

    /// The worker does not sit there after all.
    pub(super) fn end(&mut self, seat: Seat) {
        self.0.remove(&seat);
    }
}

/// What the kernel has counted of a worker; all but `chosen` and `cost_ns` are 0 where it keeps no books.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Connections that the selector gave to it.
    pub chosen: u64,
    /// Connections established.
    pub opened: u64,
    /// Connections open.
    pub open: u64,
    /// Requests begun and not yet answered.
    pub in_flight: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections that it closed without an answer.
    pub failed: u64,
    /// Answers that called themselves errors: "HTTP/1.x 5".
    pub errors: u64,
    /// Its answers, by how long they took.
    pub latencies: Latencies,
    /// What a request costs there as the kernel's choice sees it, ns; 0 if nothing is known.
    pub cost_ns: u64,
}

impl Updater {
    /// What the kernel has counted of a worker on these seats since it took them.
    #[must_use]
    pub fn counted(&self, worker: WorkerId, seats: &[Seat]) -> Counted {
        let books = self.steering.books();
        let nothing = [0; BUCKETS];
        let before = |seat| self.baseline(worker, seat).map_or(&nothing, |baseline| &baseline.latencies);
        let sum = |count| self.sum(worker, seats, count);
        Counted {
            chosen: sum(|books| books.charged),
            opened: sum(|books| books.opened),
            open: self.open(worker, seats),
            // What others had there in flight is answered, or given up.
            in_flight: seats.iter().map(|seat| select::in_flight(&books.seat(*seat))).sum(),
            answered: sum(|books| books.answered),
            failed: sum(|books| books.failed),
            errors: sum(|books| books.errors),
            latencies: sum_of(seats.iter().map(|seat| {
                let (now, before) = (books.latencies(*seat), before(*seat));
                std::array::from_fn(|bucket| now[bucket].saturating_sub(before[bucket]))
            })),
            cost_ns: seats.first().map_or(0, |seat| self.cost_ns(*seat, &books.seat(*seat))),
        }
    }

    /// Connections of a worker that are open on these seats: [`Counted::open`] alone, for whoever asks often.
    pub(crate) fn open(&self, worker: WorkerId, seats: &[Seat]) -> u64 {
        let sum = |count| self.sum(worker, seats, count);
        sum(|books| books.opened).saturating_sub(sum(|books| books.closed))
    }

    /// Requests that a worker has answered on these seats: [`Counted::answered`] alone.
    pub(crate) fn answered(&self, worker: WorkerId, seats: &[Seat]) -> u64 {
        self.sum(worker, seats, |books| books.answered)
    }

    fn sum(&self, worker: WorkerId, seats: &[Seat], count: fn(&SeatBooks) -> u64) -> u64 {
        let before = |seat| self.baseline(worker, seat).map_or(0, |baseline| count(&baseline.books));
        seats.iter().map(|seat| count(&self.steering.books().seat(*seat)).saturating_sub(before(*seat))).sum()
    }

    /// What a request costs at a seat of these books as the kernel's choice sees it, ns; 0 if nothing is known.
    #[must_use]
    pub fn cost_ns(&self, seat: Seat, books: &SeatBooks) -> u64 {
        match self.table().cost_ns[seat.0 as usize] {
            0 => books.service_ns,
            published => published,
        }
    }

    /// What a seat had counted when the worker took it; nothing if it has not.
    #[must_use]
    pub fn baseline(&self, worker: WorkerId, seat: Seat) -> Option<&Baseline> {
        self.baselines.get(&worker)?.0.get(&seat).map(Box::as_ref)
    }

    /// A worker has had these seats since before this updater began: as the one that did wrote down.
    pub fn adopt(&mut self, worker: WorkerId, seats: impl IntoIterator<Item = (Seat, Baseline)>) {
        let seats = seats.into_iter().map(|(seat, baseline)| (seat, Box::new(baseline)));
        self.baselines.entry(worker).or_default().0.extend(seats);
        let baselines = &self.baselines[&worker];
        for taken in self.taken.iter_mut().filter(|taken| taken.worker == worker) {
            taken.before = baselines.before(taken.seat);
        }
    }
}
