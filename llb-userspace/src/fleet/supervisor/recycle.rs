//! Replaces workers that have reached a limit, a few at a time.

use std::cmp::Reverse;

use super::{Instant, Kind, Phase, Slot, State, Supervisor, WorkerId, slots::DesiredState};
use crate::fleet::recycle::Excess;

/// Of so many slots one is recycled at a time, and one in a smaller fleet: new workers that all load their code at once take
/// the processors from those that serve, and code that fails now is found out by few.
const ONE_OF: usize = 8;

impl Supervisor {
    /// Replaces those of these workers that may be replaced now, the furthest beyond their limit first. The replacement comes
    /// first, so none serves less meanwhile.
    pub fn recycle(&mut self, mut due: Vec<(WorkerId, Excess)>, now: Instant) {
        // A reload replaces all.
        if self.phase != Phase::Up || self.roll.is_some() {
            return;
        }
        let going =
            self.workers.values().filter(|worker| worker.state == State::Serving && worker.is_leaving()).count();
        let room = (self.slots.len() / ONE_OF).max(1).saturating_sub(going);
        due.retain(|(id, _)| self.may_be_recycled(*id));
        due.sort_by_key(|(_, excess)| Reverse(excess.permille));
        for (id, Excess { cause, .. }) in due.into_iter().take(room) {
            self.note_worker(Kind::Recycling, id, &cause);
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.is_recycled = true;
            }
            self.replace_by_design(id, &format!("recycled: {cause}"), now);
        }
    }

    /// Whether a worker is its slot's only one, and serves. The worker that it replaced has ended by then: with a low limit and a
    /// long drain time there would be ever more of them.
    fn may_be_recycled(&self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get(&id) else { return false };
        let entry = self.slots.get(worker.slot.0 as usize);
        worker.state == State::Serving
            && !worker.is_leaving()
            && entry.is_some_and(|entry| entry.desired == DesiredState::Filled && entry.spawn_at.is_none())
            && self.in_slot(worker.slot).len() == 1
    }

    /// Whether the next worker of a slot is the first one in place of one that is recycled. A second one, as the first has
    /// failed, is a restart.
    pub(super) fn replaces_recycled(&mut self, slot: Slot) -> bool {
        let mut recycled = self.workers.values_mut().filter(|worker| worker.slot == slot && worker.is_recycled);
        recycled.next().is_some_and(|worker| std::mem::take(&mut worker.is_recycled))
    }
}
