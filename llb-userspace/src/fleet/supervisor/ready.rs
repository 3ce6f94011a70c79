//! When a worker is ready, and its listeners join their groups.

use std::collections::VecDeque;

use super::{Phase, Supervisor};
use crate::{
    config::ReadyWhen,
    fleet::{
        effect::{Effect, Failure},
        note::Kind,
        worker::{Listener, State, Worker},
    },
    model::{Instant, WorkerId},
    registry::Seats,
};

impl Supervisor {
    /// The worker has not become ready in time.
    pub(super) fn is_late(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.late = true;
        let generation = worker.generation;
        if self.roll.as_ref().is_some_and(|roll| roll.generation == generation) {
            self.roll_back("a new worker has not become ready in time", now);
        } else if self.phase == Phase::ComingUp && self.slots.iter().all(|entry| !entry.was_ready) {
            self.effects.push_back(Effect::Fail(Failure::NotReady { id }));
            self.end("a worker has not become ready in time", now);
        } else {
            self.terminate(id, "it has not become ready in time", now);
        }
    }

    /// Makes a starting worker ready if it is, and joins the listeners of a ready one.
    pub(super) fn advance(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (starting, serving) = (matches!(worker.state, State::Starting { .. }), worker.state == State::Serving);
        let (listens, receives) = (!worker.listeners.is_empty(), !worker.udp.is_empty());
        let awaits = worker.awaits_datagrams().then(|| "it waits for datagrams".into());
        let ready = match self.rules.ready_when {
            ReadyWhen::Accepting => self.attends(worker, now).or(awaits),
            ReadyWhen::Listening => listens.then(|| "it listens".into()).or(awaits),
            ReadyWhen::Ready => {
                (worker.said_ready && (listens || receives)).then(|| "it listens and has said so".into())
            }
            ReadyWhen::Started => worker.is_spawned.then(|| "it has been started".into()),
        };
        // One that serves has been ready, whatever else it listens on now.
        let cause = match ready {
            Some(cause) if starting && self.rules.ready_check => match &worker.answer {
                Some(answer) => format!("{cause}, and answers {answer}"),
                None => return self.ask(id),
            },
            Some(cause) if starting => cause,
            _ if serving => String::new(),
            _ => return,
        };
        if starting && self.rules.ready_when == ReadyWhen::Accepting {
            self.note_unattended(id);
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.state = State::Serving;
        worker.was_ready = true;
        give_seats(worker, &mut self.seats, &mut self.effects);
        if starting {
            let slot = worker.slot;
            if let Some(entry) = self.entry(slot) {
                (entry.was_ready, entry.failures) = (true, 0);
            }
            self.note_worker(Kind::Ready, id, &cause);
            self.retire_leaving(slot, now);
            self.retire_elders(id, now);
            self.come_up();
            self.order_replacement(id, now);
            self.spawn_due(now);
            self.roll_on(now);
        }
    }

    /// Gives a seat to the listeners that found none free before.
    pub(super) fn seat_the_standing(&mut self) {
        for worker in self.workers.values_mut().filter(|worker| worker.state == State::Serving) {
            give_seats(worker, &mut self.seats, &mut self.effects);
        }
    }
}

/// Gives each listener that has none a seat: the worker's own first one, and another where the worker has several
/// listeners on one address, as a program that sets `SO_REUSEPORT` itself may.
fn give_seats(worker: &mut Worker, seats: &mut Seats, effects: &mut VecDeque<Effect>) {
    let Worker { id, listeners, udp, held, .. } = worker;
    for sockets in [listeners, udp] {
        for index in 0..sockets.len() {
            let Listener { cookie, address, seat: None } = sockets[index] else { continue };
            let free_here = held
                .iter()
                .copied()
                .find(|seat| !sockets.iter().any(|other| other.address == address && other.seat == Some(*seat)));
            let seat = free_here.or_else(|| seats.take().inspect(|seat| held.push(*seat)));
            // Without a free seat the listener stays with the kernel's hash until there is one.
            let Some(seat) = seat else { continue };
            sockets[index].seat = Some(seat);
            effects.push_back(Effect::Seat { id: *id, cookie, address, seat });
        }
    }
}
