//! From reports and the kernel's samples to what the selector reads.

use std::time::Duration;

use llb_common::{abi::Seat as SeatBooks, select, set, track};

use super::Engine;
use crate::{
    kernel::{Books, Publication},
    model::{Instant, Seat, WorkerId},
    policy::{self, Table, View},
};

/// How often costs are published: at least every ten milliseconds, and the runtime's timers may be one late. That is
/// well below the second after which the kernel holds them for stale.
pub(super) const EVERY: Duration = Duration::from_millis(9);

/// After this long without an answer, and with nothing in flight, what the kernel has measured of a worker says
/// nothing about it any more. Without this a worker that was slow once, as at its start, is passed over for ever,
/// because only an answer could mend its name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// A worker's seat, as the publisher needs it a hundred times a second: a fleet's worth of them fits into some lines of
/// memory, where its workers and what runs them lie all over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated {
    seat: Seat,
    joined: bool,
    /// Whose reports and pongs say something about it, if any do.
    spoken: Option<WorkerId>,
}

impl Engine {
    /// Notes who sits where: after each change of the workers' lives.
    pub(super) fn arrange(&mut self) {
        self.seated.clear();
        for worker in self.lives.workers() {
            let spoken = self.spoken.contains(&worker.id).then_some(worker.id);
            let joined = |seat| worker.takes(seat) && !self.rescue.is_out(seat);
            self.seated.extend(worker.seats().map(|seat| Seated { seat, joined: joined(seat), spoken }));
        }
    }

    /// Publishes what is known now.
    pub(super) fn publish(&mut self, now: Instant) {
        self.turn = self.turn.wrapping_add(1);
        let mut views = std::mem::take(&mut self.views);
        views.clear();
        views.extend(self.seated.iter().map(|seated| self.view(*seated, now)));
        self.table = policy::table(&views, now, self.turn);
        let Table { least, near, cost_ns } = &self.table;
        let books = self.steering.books();
        books.publish(self.config.policy, &Publication { least: *least, near: *near, cost_ns }, now);
        books.rest(&set::of(views.iter().filter(|view| view.in_flight == 0).map(|view| view.seat.0)));
        self.views = views;
    }

    fn view(&self, Seated { seat, joined, spoken }: Seated, now: Instant) -> View {
        let books = self.steering.books();
        let mut counts = books.load(seat);
        if is_forgotten(&counts, now) {
            books.renew(seat);
            counts.service_ns = 0;
        }
        let running = spoken.and_then(|id| self.running.get(&id));
        let owed = running.and_then(|running| running.pinger.outstanding());
        View {
            seat,
            estimate_ns: running.and_then(|running| running.estimate.get_at(now, owed)),
            at_least_ns: running.map_or(0, |running| running.estimate.at_least(now, owed)),
            kernel_ns: (counts.service_ns != 0).then_some(counts.service_ns),
            in_flight: select::in_flight(&counts) + track::outstanding_at(&counts, now.0),
            progress_at: Instant(counts.progress_at),
            joined,
        }
    }
}

/// Whether a seat has neither requests nor charges left. The selector does not look at a seat that has left its groups,
/// so charges that no request has settled are forgotten here only.
pub(super) fn is_drained(books: &Books, seat: Seat, now: Instant) -> bool {
    let books = books.seat(seat);
    select::in_flight(&books) == 0 && track::outstanding_at(&books, now.0) == 0
}

fn is_forgotten(books: &SeatBooks, now: Instant) -> bool {
    books.service_ns != 0 && select::in_flight(books) == 0 && now >= Instant(books.progress_at).after(FORGOTTEN_AFTER)
}
