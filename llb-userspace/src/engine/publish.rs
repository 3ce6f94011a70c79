//! From reports and the kernel's samples to what the selector reads.

use std::time::Duration;

use llb_common::{abi::Seat as SeatBooks, select, set, track};

use super::{Engine, worker::Running};
use crate::{
    kernel::{Books, Publication},
    model::{Instant, Seat},
    policy::{self, View},
};

/// How often costs are published: at least every ten milliseconds, and the runtime's timers may be one late. That is
/// well below the second after which the kernel holds them for stale.
pub(super) const EVERY: Duration = Duration::from_millis(9);

/// After this long without an answer, and with nothing in flight, what the kernel has measured of a worker says
/// nothing about it any more. Without this a worker that was slow once, as at its start, is passed over for ever,
/// because only an answer could mend its name.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

impl Engine {
    /// Publishes what is known now.
    pub(super) fn publish(&mut self, now: Instant) {
        self.turn = self.turn.wrapping_add(1);
        let mut views = Vec::new();
        for worker in self.lives.workers() {
            let running = self.running.get(&worker.id);
            views.extend(worker.seats().map(|seat| self.view(seat, running, worker.takes(seat), now)));
        }
        let table = policy::table(&views, now, self.turn);
        let books = self.steering.books();
        books.publish(
            self.config.policy,
            &Publication { least: table.least, near: table.near, cost_ns: &table.cost_ns },
            now,
        );
        books.rest(&set::of(views.iter().filter(|view| view.in_flight == 0).map(|view| view.seat.0)));
        self.table = table;
    }

    fn view(&self, seat: Seat, running: Option<&Running>, joined: bool, now: Instant) -> View {
        let books = self.steering.books();
        let mut counts = books.seat(seat);
        if is_forgotten(&counts, now) {
            books.renew(seat);
            counts.service_ns = 0;
        }
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

/// Whether a seat has neither requests nor charges left.
pub(super) fn is_drained(books: &Books, seat: Seat) -> bool {
    let books = books.seat(seat);
    select::in_flight(&books) == 0 && select::outstanding(&books) == 0
}

fn is_forgotten(books: &SeatBooks, now: Instant) -> bool {
    books.service_ns != 0 && select::in_flight(books) == 0 && now >= Instant(books.progress_at).after(FORGOTTEN_AFTER)
}
