//! Who sits where, for the updater.

use super::Engine;
use crate::{model::Instant, updater::Place};

impl Engine {
    /// Tells the updater who sits where, and publishes: after each change of the workers' lives.
    pub(super) fn publish_anew(&mut self, now: Instant) {
        self.settle_clients();
        let Engine { lives, rescue, updater, .. } = self;
        updater.arrange(lives.workers().flat_map(|worker| {
            let joined = |seat| worker.takes(seat) && !rescue.is_out(seat);
            worker.seats().map(move |seat| Place { seat, worker: worker.id, joined: joined(seat) })
        }));
        updater.publish(now);
    }
}
