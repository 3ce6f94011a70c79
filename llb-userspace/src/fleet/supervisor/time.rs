//! What time alone brings about.

use std::time::Duration;

use super::{AT_ONCE, Supervisor, leave::scope};
use crate::{
    config::ReadyWhen,
    fleet::{
        effect::Effect,
        worker::{Sight, State, Worker},
    },
    model::{Instant, Seat},
};

/// A worker that has had no listener for so long, and had one, is finishing. One that opens its port anew does so at once.
const WITHOUT_LISTENER: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Time passes. `sight` is what is seen of a worker that drains, `drained` whether a seat has neither requests
    /// nor charges left. Costs next to nothing while nothing is due: a fleet that serves is asked a hundred times a second.
    pub fn tick(&mut self, now: Instant, sight: impl Fn(&Worker) -> Sight, drained: impl Fn(Seat) -> bool) {
        if now < self.due {
            return;
        }
        self.seats.free(now, drained);
        self.seat_the_standing();
        for id in self.ids() {
            let Some(worker) = self.workers.get(&id) else { continue };
            match worker.state {
                State::Starting { deadline } => {
                    // It may have been started; or the one at which it accepted nothing has been closed, or let be for
                    // long enough.
                    if matches!(self.rules.ready_when, ReadyWhen::Started | ReadyWhen::Accepting) {
                        self.advance(id, now);
                    }
                    let starts = |worker: &Worker| matches!(worker.state, State::Starting { .. });
                    if now >= deadline && self.workers.get(&id).is_some_and(starts) {
                        self.is_late(id, now);
                    }
                }
                State::Draining { .. } => {
                    let sight = sight(worker);
                    self.drain(id, sight, now);
                }
                State::Stopping { deadline, .. } if now >= deadline => {
                    self.kill(id, "it has not ended in time after the signal");
                }
                State::Stopping { relaxed, deadline } if now >= relaxed => {
                    self.effects.push_back(Effect::CloseIdle { id, scope: scope(relaxed, deadline, now) });
                }
                State::Serving if worker.deserted_at.is_some_and(|at| now >= at.after(WITHOUT_LISTENER)) => {
                    self.replace_deserted(id, now);
                }
                State::Serving | State::Stopping { .. } | State::Killed => {}
            }
        }
        self.spawn_due(now);
        self.roll_on(now);
        self.due = self.next_due();
    }

    /// When time alone may next change something.
    fn next_due(&self) -> Instant {
        let waits_for_seat =
            |worker: &Worker| worker.listeners.iter().chain(&worker.udp).any(|listener| listener.seat.is_none());
        let workers = self.workers.values().filter_map(|worker| match worker.state {
            State::Starting { deadline } => self.patient_at(worker).into_iter().chain([deadline]).min(),
            State::Stopping { relaxed, .. } => Some(relaxed),
            // It depends on the books of their seats, which change at any time.
            State::Draining { .. } => Some(AT_ONCE),
            State::Serving => {
                let deserted = worker.deserted_at.filter(|_| !worker.is_leaving());
                let seat = waits_for_seat(worker).then_some(AT_ONCE);
                seat.into_iter().chain(deserted.map(|at| at.after(WITHOUT_LISTENER))).min()
            }
            State::Killed => None,
        });
        let seats = self.seats.any_rests().then_some(AT_ONCE);
        let slots = self.slots.iter().filter_map(|entry| entry.spawn_at);
        workers.chain(seats).chain(slots).min().unwrap_or(Instant(u64::MAX))
    }
}
