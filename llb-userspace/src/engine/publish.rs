//! Who sits where, and what is known of them, for the updater.

use std::time::Duration;

use super::Engine;
use crate::{
    model::{Instant, Seat, WorkerId},
    updater::Seated as Known,
};

/// How often costs are published: at least every ten milliseconds, and the runtime's timers may be one late. That is
/// well below the second after which the kernel holds them for stale.
pub(super) const EVERY: Duration = Duration::from_millis(9);

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
        let Engine { updater, steering, seated, running, .. } = self;
        let known = seated.iter().map(|Seated { seat, joined, spoken }| {
            let running = spoken.and_then(|id| running.get(&id));
            Known {
                seat: *seat,
                joined: *joined,
                estimate: running.map(|running| &running.estimate),
                owed: running.and_then(|running| running.pinger.outstanding()),
            }
        });
        updater.update(steering.books(), known, now);
    }
}
