//! Looks at workers of which no byte says what they do.

use super::Rescue;
use crate::{
    engine::core::Core,
    fleet::{
        hang::SeatWatch,
        quiet::{Counts, Quiet},
    },
    model::{Instant, Seat},
    sys::activity::Activity,
};

impl Rescue {
    /// Begins to watch seats that were given connections of which nothing has been seen since.
    pub(super) fn watch_arrivals(&mut self, core: &Core, now: Instant) {
        let updater = &core.updater;
        let books = updater.steering().books();
        for view in updater.views().iter().filter(|view| view.joined) {
            let (seat, counts) = (view.seat, Counts { opened: view.opened, ended: view.ended });
            if self.arrivals.are_late(seat, counts, now) {
                self.watches.entry(seat).or_insert_with(|| SeatWatch::accepting(&books.seat(seat), now));
            }
        }
    }

    /// Finds out which workers stand still for connections that they keep.
    pub(super) fn find_keepers(&mut self, core: &mut Core, now: Instant) {
        let is_quiet = |seat: &Seat| !self.watches.contains_key(seat);
        let views = core.updater.views().iter().filter(|view| view.joined && view.in_flight == 0 && view.open > 0);
        let seats = views.map(|view| (view.seat, view.progress_at)).filter(|(seat, _)| is_quiet(seat));
        let quiet: Vec<Quiet> = seats
            .filter_map(|(seat, progress_at)| Some(Quiet { seat, worker: core.taker(seat)?, progress_at }))
            .collect();
        for Quiet { seat, worker, .. } in self.keepers.due(&quiet, now) {
            let copies = core.copies(worker, seat);
            match core.activity_of(worker, &copies) {
                Some(Activity::Waits) => self.keepers.waits(worker),
                Some(Activity::Blocked) => self.keepers.stands_still(seat),
                Some(Activity::Runs | Activity::Unknown) | None => self.keepers.is_not_known(seat),
            }
        }
        core.updater.hold(self.keepers.held());
    }
}
