//! Which workers are the homes of remembered clients (`--sticky`).

use super::Core;
use crate::{kernel::Resident, observe::status::StickyStatus};

impl Core {
    /// Tells the selector which seats are whose. Before a seat takes connections, and whenever somebody has come or gone.
    pub(in crate::engine) fn settle_clients(&mut self) {
        if !self.updater.steering().remembers_clients() {
            return;
        }
        let residents = self.supervisor.workers().flat_map(|worker| {
            let (worker, slot, mut seats) = (worker.id, worker.slot, worker.seats().collect::<Vec<_>>());
            seats.sort_unstable();
            (0..).zip(seats).map(move |(lane, seat)| Resident { seat, slot, worker, lane })
        });
        let residents: Vec<Resident> = residents.collect();
        self.updater.steering_mut().settle(&residents, self.supervisor.slot_count());
    }

    /// For the status; `sticky` connections went to their clients' slots.
    pub(in crate::engine) fn sticky_status(&self, sticky: u64) -> Option<StickyStatus> {
        let recognised = self.updater.steering().recognised()?;
        let by = self.config.sticky?;
        Some(StickyStatus {
            by: by.to_string(),
            ttl_s: by.ttl.as_secs_f64(),
            hits: sticky,
            new: recognised.new,
            moved: recognised.moved,
            entered: recognised.entered,
        })
    }
}
