//! Learns from the books of workers that are asked to end themselves whether they drop what they have:
//! [`graceful`](crate::fleet::graceful).

use std::cell::Cell;

use llb_common::select;

use super::Processes;
use crate::{
    engine::core::Core,
    fleet::{Sight, Worker, graceful::Counts},
    model::{Instant, WorkerId},
    updater::Updater,
};

impl Processes {
    /// Whether a worker of which this is seen may be asked to end itself; of those that have requests `one_asks` lets one in a tick.
    pub(in crate::engine) fn may_be_asked(
        &self,
        worker: &Worker,
        sight: Sight,
        updater: &Updater,
        one_asks: &Cell<bool>,
    ) -> bool {
        let in_flight = counts(worker, updater).in_flight;
        if !self.graceful.may_be_asked(in_flight) {
            return false;
        }
        let is_first = in_flight == 0 || self.graceful.is_known() || !one_asks.get();
        one_asks.set(one_asks.get() || in_flight > 0 && sight.settled);
        is_first
    }

    /// A worker is about to get the signal to end.
    pub(super) fn note_asked(&mut self, core: &Core, id: WorkerId, now: Instant) {
        let Some(worker) = core.supervisor.worker(id) else { return };
        let catches = core.running.get(&id).and_then(|running| running.drain.seen).is_some_and(|look| look.ends_itself);
        if catches && core.config.stop_signal.is_none() && core.updater.steering().keeps_books() {
            self.graceful.ask(id, counts(worker, &core.updater), now);
        }
    }

    /// Looks at those that were asked.
    pub(in crate::engine) fn look_at_asked(&mut self, core: &mut Core, now: Instant) {
        let asked: Vec<WorkerId> = self.graceful.asked().collect();
        for id in asked {
            self.look_at_one_asked(core, id, now);
        }
    }

    /// A worker that may have been asked has ended.
    pub(in crate::engine) fn asked_has_ended(&mut self, core: &mut Core, id: WorkerId, now: Instant) {
        self.look_at_one_asked(core, id, now);
        self.graceful.forget(id);
    }

    fn look_at_one_asked(&mut self, core: &mut Core, id: WorkerId, now: Instant) {
        let Some(worker) = core.supervisor.worker(id) else { return };
        let Some(dropped) = self.graceful.see(id, counts(worker, &core.updater), now) else { return };
        let (slot, signal) = (core.slot(id), core.stop_signal());
        core.warn(format!(
            "slot {slot} was sent {signal}, which its program catches, and dropped {dropped} requests that it had: from now on \
             workers finish first, and are sent it then; if it is better to send it early, say so with --stop-signal"
        ));
    }
}

fn counts(worker: &Worker, updater: &Updater) -> Counts {
    let books = worker.seats().map(|seat| updater.steering().books().seat(seat));
    books.fold(Counts::default(), |sum, books| Counts {
        in_flight: sum.in_flight + select::in_flight(&books),
        begun: sum.begun + books.begun,
        answered: sum.answered + books.answered,
        failed: sum.failed + books.failed,
    })
}
