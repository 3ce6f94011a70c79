//! Does what the lives of workers demand.

use std::collections::BTreeSet;

use super::{
    Engine, RunError, Up,
    diagnose::{self, Held},
    error::describe,
    worker::{self, ExitRecord, Running},
};
use crate::{
    config::ReadyWhen,
    fleet::{Effect, Failure, Kind, Note, Order, Output, State, spawn, spawn::keeps_descriptors},
    model::{Generation, Instant, Seat, Slot, WorkerId},
    observe::{event::Event, log::EVENTS, stderr},
    report::say,
    sys::{
        child::Scheduling,
        clock::{self, wall_ms},
    },
};

impl Engine {
    /// Does what there is to be done, and what that makes to be done.
    pub(super) fn perform(&mut self, now: Instant) {
        let (mut acts, mut changes, mut is_reconciled, mut is_reaped) = (false, false, false, false);
        while let Some(effect) = self.lives.next_effect() {
            // A worker may say what changes nothing as often as it likes, and what is repeated while it drains changes no life.
            acts |= !matches!(effect, Effect::Note(_));
            changes |= !matches!(effect, Effect::Note(_) | Effect::CloseIdle { .. });
            match effect {
                Effect::Note(note) => self.enter(note),
                Effect::Spawn { id, slot, generation, capture } => {
                    // One that could not be started has ended, and its slot's life goes on.
                    is_reconciled &= self.spawn(id, slot, generation, capture, now);
                }
                Effect::Watch { id, cookie } => self.watch(id, cookie),
                Effect::Check(id) => self.check(id),
                // All that has changed so far is in the registry already.
                Effect::Seat { .. } | Effect::Withdraw { .. } if is_reconciled => {}
                Effect::Seat { .. } | Effect::Withdraw { .. } => {
                    is_reconciled = true;
                    self.reconcile(now);
                }
                Effect::TellToFinish(id) => {
                    if let Some(running) = self.running.get(&id) {
                        running.say(say::DISCONNECT);
                    }
                    self.look_outside(id);
                }
                Effect::CloseIdle { id, scope } => {
                    if let Some(running) = self.running.get_mut(&id) {
                        running.drain.scope = Some(scope);
                    }
                }
                Effect::Terminate(id) => self.terminate(id),
                Effect::Kill(id) => self.kill(id),
                Effect::Reap(id) => {
                    is_reaped = true;
                    self.reap(id);
                }
                Effect::GiveUp { id, slot } => self.give_up(id, slot),
                Effect::Up => self.announce(),
                Effect::Fail(failure) => self.fail(failure),
                Effect::Down => self.down = true,
            }
        }
        if !acts {
            return;
        }
        if let Some(keeper) = self.record.as_mut().filter(|_| changes) {
            keeper.touch();
        }
        if is_reaped && !is_reconciled {
            self.arrange();
        }
        self.publish_anew(now);
        self.service.status(self.in_one_line());
    }

    /// The fleet's state, for whoever asks systemd.
    fn in_one_line(&self) -> String {
        let serving = self.lives.workers().filter(|worker| self.serves(worker)).count();
        let steering = self.updater.steering();
        let tcp = steering.groups().map(|(address, _)| address.to_string());
        let addresses: Vec<String> = tcp.chain(steering.flow_groups().map(|(at, _)| format!("udp {at}"))).collect();
        let at = if addresses.is_empty() { String::new() } else { format!(" on {}", addresses.join(", ")) };
        let reload = self.lives.reloading().map_or_else(String::new, |new| format!(", generation {new} is starting"));
        format!("{serving} of {} workers serve{at}{reload}", self.lives.slots().count())
    }

    /// Whether a worker could be started.
    fn spawn(&mut self, id: WorkerId, slot: Slot, generation: Generation, capture: bool, now: Instant) -> bool {
        // Another's failure, of a moment ago, may have ended the fleet.
        if !self.lives.worker(id).is_some_and(|worker| matches!(worker.state, State::Starting { .. })) {
            self.lives.exited(id, now);
            return false;
        }
        let Err(error) = self.try_spawn(id, slot, generation, capture) else { return true };
        self.unspawned.insert(id, (slot, error));
        self.lives.spawn_failed(id, now);
        false
    }

    fn try_spawn(&mut self, id: WorkerId, slot: Slot, generation: Generation, capture: bool) -> Result<(), RunError> {
        let cgroup = self.cgroup.worker(slot, generation)?;
        self.updater.steering_mut().set_slot(cgroup.id(), slot)?;
        self.look_for_other_fleets()?;
        let order = Order {
            program: &self.config.program,
            args: &self.config.args,
            directory: None,
            slot,
            number: self.free_number(),
            generation,
            identity: self.config.identity.as_ref(),
            // Programs that find it may insist on being heard, or leave others unheard.
            notify: (self.config.ready_when == ReadyWhen::Ready).then(|| self.notify.address()),
            scheduling: Scheduling { cpu: self.config.cpu_of(slot), nice: self.config.nice },
            output: if capture { Output::Captured } else { Output::Inherited },
        };
        let spawned = spawn(&order, &cgroup).map_err(|source| RunError::Spawn { slot, source })?;
        self.by_cgroup.insert(cgroup.id(), id);
        let running = Running::new(id, order.number, spawned, cgroup, &self.inbox)
            .map_err(|source| RunError::Loop { attempt: "listen to a worker", source })?;
        tracing::info!(%slot, pid = %running.pid, "started a worker");
        self.running.insert(id, running);
        Ok(())
    }

    /// The least number that no worker has: there are fewer than twice as many workers as seats.
    fn free_number(&self) -> u32 {
        let taken: BTreeSet<u32> = self.running.values().filter_map(|running| running.number).collect();
        (0..).find(|number| !taken.contains(number)).unwrap_or_default()
    }

    pub(super) fn exited(&mut self, record: ExitRecord, held: Option<&Held>, now: Instant) {
        let id = record.id;
        if self.waits_for_rest(id, &record) {
            return;
        }
        let slot = self.slot(id);
        let pid = record.pid.as_raw();
        match self.lives.worker(id).map(|worker| worker.state) {
            Some(State::Starting { .. } | State::Serving) => {
                tracing::warn!(%slot, pid, "worker {}", describe(record.status));
            }
            // As it was told to.
            _ => tracing::info!(%slot, pid, "worker {}", describe(record.status)),
        }
        // What it was trying to do is known only while its life is.
        let reason = self.lives.worker(id).and_then(|worker| diagnose::exit(worker, &record, held, self));
        if record.status.is_some_and(|status| status.success()) {
            let answered = self.lives.worker(id).map_or(0, |worker| {
                let seats: Vec<Seat> = worker.seats().collect();
                self.updater.counted(id, &seats).answered
            });
            self.lives.ends_well(id, answered > 0, now);
        }
        self.keep_totals(id);
        self.exit_records.insert(slot, ExitRecord { reason, ..record });
        self.lives.exited(id, now);
    }

    /// How a worker ended that was not ready; none if it has never run.
    fn exit_failure(&self, id: WorkerId) -> Option<RunError> {
        let (slot, record) = self.exit_records.iter().find(|(_, record)| record.id == id)?;
        let ExitRecord { status, reason, tail, .. } = record;
        Some(RunError::Exited { slot: *slot, status: *status, reason: reason.clone(), tail: tail.clone() })
    }

    fn give_up(&self, id: WorkerId, slot: Slot) {
        if let Some(failure) = self.exit_failure(id) {
            stderr::line(&format!("llb: slot {slot} stays empty until it is restarted or all are reloaded: {failure}"));
        }
    }

    /// The first process is gone; its children go too.
    fn reap(&mut self, id: WorkerId) {
        if let Some((slot, error)) = self.unspawned.remove(&id) {
            tracing::error!(%slot, "cannot replace a worker: {:#}", anyhow::Error::from(error));
        }
        let Some(running) = self.running.remove(&id) else { return };
        self.by_cgroup.remove(&running.cgroup.id());
        self.updater.steering_mut().clear_slot(running.cgroup.id());
        self.updater.reap(id);
        self.rescue.reap(id);
        self.udp.reap(id);
        tokio::task::spawn_local(worker::reap(running));
    }

    fn fail(&mut self, failure: Failure) {
        let error = match failure {
            Failure::NotReady { id } => Some(self.not_ready(id)),
            Failure::Exited { id } => self.exit_failure(id),
            Failure::Spawn { id } => self.unspawned.remove(&id).map(|(_, error)| error),
        };
        self.failure = self.failure.take().or(error);
    }

    fn not_ready(&self, id: WorkerId) -> RunError {
        let slot = self.slot(id);
        let mut doing = self.running.get(&id).map_or_else(String::new, |running| diagnose::doing(&running.cgroup));
        let listens = self.lives.worker(id).is_some_and(|worker| !worker.listeners.is_empty());
        let asked = self.running.get(&id).and_then(|running| running.check.said.as_ref());
        if let Some((said, path)) = asked.zip(self.config.ready_check.as_ref()) {
            doing.push_str(&format!("; asked for {path} (--ready-check), {said}"));
        } else if listens && self.config.ready_when == ReadyWhen::Accepting {
            doing.push_str(", but waits for no connection there (--ready-when listening does not ask for that)");
        }
        let timeout = self.config.ready_timeout;
        if self.config.ready_when == ReadyWhen::Ready && keeps_descriptors(&self.config.program) {
            doing.push_str(&format!(
                ", and what {} starts does not get the report channel: run node itself, as in `node server.js`, \
                 or say READY=1 on NOTIFY_SOCKET",
                self.config.program.display()
            ));
        }
        let advice = diagnose::not_steered(id, self).unwrap_or_else(|| {
            "give it more time with --ready-timeout, or see docs/worker-contract.md for what llb waits for".into()
        });
        RunError::NotReady { slot, timeout, doing, advice }
    }

    /// Enters what has come to pass into the journal.
    fn enter(&mut self, note: Note) {
        let Note { kind, id, slot, generation, cause } = note;
        // One that has exited may have been reaped since.
        let record = slot.and_then(|slot| self.exit_records.get(&slot)).filter(|record| Some(record.id) == id);
        let pid = id.and_then(|id| self.running.get(&id)).map(|running| running.pid);
        let pid = pid.or(record.map(|record| record.pid)).map(|pid| pid.as_raw().unsigned_abs());
        let cause = match (kind, record) {
            (Kind::Exited, Some(record)) => describe(record.status),
            _ => cause,
        };
        match kind {
            Kind::Reloading => self.service.reloading(clock::now()),
            Kind::Reloaded => {
                self.reloads.succeeded += 1;
                self.service.ready();
            }
            Kind::RolledBack => {
                self.reloads.rolled_back += 1;
                self.service.ready();
            }
            Kind::Ending => self.service.stopping(),
            _ => {}
        }
        let (slot, event) = (slot.map(|slot| slot.0), kind.name().to_owned());
        tracing::info!(target: EVENTS, event, slot, pid, generation = generation.0, "{cause}");
        self.journal.enter(Event { seq: 0, at_ms: wall_ms(), event, slot, pid, generation: generation.0, cause });
    }

    fn announce(&mut self) {
        self.service.ready();
        let addresses = self.updater.steering().groups().map(|(address, _)| address).collect();
        let udp = self.updater.steering().flow_groups().map(|(address, _)| address).collect();
        if let Some(announce) = self.up.take() {
            let serving: BTreeSet<Slot> =
                self.lives.workers().filter(|worker| self.serves(worker)).map(|worker| worker.slot).collect();
            announce(&Up { addresses, udp, serving: serving.len() as u32, config: self.config.clone() });
        }
    }
}
