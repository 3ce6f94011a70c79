//! Looks at workers of which no byte says what they do.

use super::Copied;
use crate::{
    engine::Engine,
    fleet::{hang::Watch, quiet::Quiet},
    model::{Instant, Seat, WorkerId},
    sys::activity::{self, Activity},
};

impl Engine {
    /// Begins to watch seats that were given connections of which nothing has been seen since.
    pub(super) fn watch_arrivals(&mut self, now: Instant) {
        let Engine { rescue, updater, .. } = self;
        for seat in updater.views().iter().filter(|view| view.joined).map(|view| view.seat) {
            let books = updater.steering().books();
            if rescue.arrivals.are_late(seat, &books.load(seat), now) {
                rescue.watches.entry(seat).or_insert_with(|| Watch::accepting(&books.seat(seat), now));
            }
        }
    }

    /// Finds out which workers stand still for connections that they keep.
    pub(in crate::engine) fn look_at_the_quiet(&mut self, now: Instant) {
        let is_quiet = |seat: &Seat| !self.rescue.watches.contains_key(seat);
        let views = self.updater.views().iter().filter(|view| view.joined && view.in_flight == 0 && view.open > 0);
        let seats = views.map(|view| (view.seat, view.progress_at)).filter(|(seat, _)| is_quiet(seat));
        let owner = |seat| self.lives.workers().find(|worker| worker.takes(seat)).map(|worker| worker.id);
        let quiet: Vec<Quiet> =
            seats.filter_map(|(seat, progress_at)| Some(Quiet { seat, worker: owner(seat)?, progress_at })).collect();
        for Quiet { seat, worker, .. } in self.rescue.keepers.due(&quiet, now) {
            let copies = self.copies(worker, seat);
            match self.activity(worker, &copies) {
                Activity::Waits => self.rescue.keepers.waits(worker),
                Activity::Blocked => self.rescue.keepers.stands_still(seat),
                Activity::Runs | Activity::Unknown => self.rescue.keepers.is_not_known(seat),
            }
        }
        self.updater.hold(self.rescue.keepers.held());
    }

    /// What the worker of these listeners does.
    pub(super) fn activity(&self, id: WorkerId, copies: &[Copied]) -> Activity {
        let inodes: Vec<u64> = copies.iter().filter_map(Copied::inode).collect();
        match self.running.get(&id).and_then(|running| running.cgroup.processes().ok()) {
            Some(processes) if !inodes.is_empty() => activity::of(&processes, &inodes),
            _ => Activity::Unknown,
        }
    }
}
