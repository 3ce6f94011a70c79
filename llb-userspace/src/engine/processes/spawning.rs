//! How workers begin and how they end, as processes.

use std::collections::BTreeSet;

use super::{Processes, diagnose, end, ordered::Due};
use crate::{
    config::ReadyWhen,
    engine::{
        RunError,
        core::{Core, ExitRecord, HeldPort, Running, reap},
        inbox::Message,
    },
    fleet::{
        NewWorker, Note, Order, Output, State, Worker,
        spawn::{explain, keeps_descriptors, start},
    },
    model::{Instant, Seat, Slot, WorkerId},
    observe::stderr,
    sys::{
        child::{ChildError, Scheduling},
        procfs,
    },
};

impl Processes {
    /// Starts the worker that is next, if there is one; what is to be noted of that, if it was tried.
    pub(in crate::engine) fn spawn_next(&mut self, core: &mut Core, now: Instant) -> Option<Note> {
        let Due { worker, note } = self.ordered.next()?;
        let NewWorker { id, slot, .. } = worker;
        // Another's failure may have ended the fleet meanwhile, or it is not wanted any more.
        if !core.supervisor.worker(id).is_some_and(|worker| matches!(worker.state, State::Starting { .. })) {
            core.supervisor.exited(id, now);
            return None;
        }
        core.is_changed = true;
        match self.try_spawn(core, worker) {
            Ok(()) => core.supervisor.spawned(id),
            Err(error) => {
                self.unspawned.insert(id, (slot, error));
                core.supervisor.spawn_failed(id, now);
            }
        }
        note
    }

    /// A worker has been started, and its program could not be run.
    pub(in crate::engine) fn not_started(&mut self, core: &mut Core, id: WorkerId, error: ChildError, now: Instant) {
        let Some(&Worker { slot, generation, state, .. }) = core.supervisor.worker(id) else { return };
        if !matches!(state, State::Starting { .. }) {
            // It was not wanted any more.
            core.supervisor.exited(id, now);
            return;
        }
        let source = explain(&self.order(core, NewWorker { id, slot, generation, capture: false }), error);
        self.unspawned.insert(id, (slot, RunError::Spawn { slot, source }));
        core.supervisor.spawn_failed(id, now);
    }

    fn try_spawn(&mut self, core: &mut Core, new: NewWorker) -> Result<(), RunError> {
        let NewWorker { id, slot, generation, .. } = new;
        let cgroup = core.cgroup.worker(slot, generation, core.config.resources)?;
        core.updater.steering_mut().set_slot(cgroup.id(), slot)?;
        if let Some(ports) = self.others.news() {
            // The kernel refuses them to workers: the last that joined would get all connections.
            core.updater.steering_mut().set_taken(&ports)?;
        }
        let order = self.order(core, new);
        let failed = |source| RunError::Spawn { slot, source };
        let mut starting = start(&order, &cgroup).map_err(failed)?;
        // Whoever is ready when it has been started has been started by then. For the others the loop does not wait.
        if core.config.ready_when == ReadyWhen::Started {
            starting.outcome.wait(starting.worker.pid).map_err(|error| failed(explain(&order, error)))?;
        }
        let running = Running::new(id, order.number, starting, cgroup, &core.inbox)
            .map_err(|source| RunError::Loop { attempt: "listen to a worker", source })?;
        tracing::info!(%slot, pid = %running.pid, "started a worker");
        core.running.insert(id, running);
        Ok(())
    }

    fn order<'a>(&'a self, core: &'a Core, new: NewWorker) -> Order<'a> {
        let NewWorker { slot, generation, capture, .. } = new;
        Order {
            program: &core.config.program,
            args: &core.config.args,
            directory: None,
            slot,
            number: free_number(core),
            generation,
            identity: core.config.identity.as_ref(),
            // Programs that find it may insist on being heard, or leave others unheard.
            notify: (core.config.ready_when == ReadyWhen::Ready).then(|| self.notify.address()),
            scheduling: Scheduling { cpu: core.config.cpu_of(slot), nice: core.config.nice },
            output: if capture { Output::Captured } else { Output::Inherited },
        }
    }

    /// A worker has exited, and why is known as far as it can be.
    pub(in crate::engine) fn exited(
        &mut self,
        core: &mut Core,
        record: ExitRecord,
        held: Option<&HeldPort>,
        now: Instant,
    ) {
        let id = record.id;
        if end::waits_for_rest(core, id, &record) {
            return;
        }
        self.asked_has_ended(core, id, now);
        let slot = core.slot(id);
        let pid = record.pid.as_raw();
        match core.supervisor.worker(id).map(|worker| worker.state) {
            Some(State::Starting { .. } | State::Serving) => {
                tracing::warn!(%slot, pid, "worker {}", record.how());
            }
            // It was asked to.
            _ => tracing::info!(%slot, pid, "worker {}", record.how()),
        }
        // What it was trying to do is known only while its life is.
        let reason =
            core.supervisor.worker(id).and_then(|worker| diagnose::exit(worker, &record, held, &self.others, core));
        if record.status.is_some_and(|status| status.success()) {
            let answered = core.supervisor.worker(id).map_or(0, |worker| {
                let seats: Vec<Seat> = worker.seats().collect();
                core.updater.counted(id, &seats).answered
            });
            core.supervisor.ends_well(id, answered > 0, now);
        }
        core.keep_totals(id);
        self.exit_records.insert(slot, ExitRecord { reason, ..record });
        core.supervisor.exited(id, now);
    }

    /// How a worker ended that was not ready; none if it has never run.
    pub(in crate::engine) fn exit_failure(&self, id: WorkerId) -> Option<RunError> {
        let (slot, record) = self.exit_records.iter().find(|(_, record)| record.id == id)?;
        let ExitRecord { status, reason, tail, .. } = record;
        Some(RunError::Exited { slot: *slot, status: *status, reason: reason.clone(), tail: tail.clone() })
    }

    pub(in crate::engine) fn give_up(&self, id: WorkerId, slot: Slot) {
        if let Some(failure) = self.exit_failure(id) {
            stderr::line(&format!("llb: slot {slot} stays empty until it is restarted or all are reloaded: {failure}"));
        }
    }

    /// The first process is gone; its children go too.
    pub(in crate::engine) fn reap(&mut self, core: &mut Core, id: WorkerId) {
        if let Some((slot, error)) = self.unspawned.remove(&id) {
            tracing::error!(%slot, "cannot replace a worker: {:#}", anyhow::Error::from(error));
        }
        let Some(running) = core.running.remove(&id) else { return };
        core.updater.steering_mut().clear_slot(running.cgroup.id());
        core.updater.reap(id);
        core.sockets.reap(id);
        tokio::task::spawn_local(reap(running));
    }

    /// A worker has ended. Why it did not get its port is looked up beside the loop: there may be thousands of processes and
    /// descriptors to look through.
    pub(in crate::engine) fn ends(&mut self, core: &mut Core, record: ExitRecord, now: Instant) {
        let Some(port) = core.supervisor.worker(record.id).and_then(diagnose::wanted_port) else {
            return self.exited(core, record, None, now);
        };
        let holder = tokio::task::spawn_blocking(move || procfs::port_holder(port));
        let inbox = core.inbox.clone();
        tokio::task::spawn_local(async move {
            let holder = holder.await.ok().and_then(|found| found.ok().flatten());
            let held = holder.map(|holder| HeldPort { port, holder });
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Explained { record, held }).await;
        });
    }
}

/// The least number that no worker has: there are fewer than twice as many workers as seats.
fn free_number(core: &Core) -> u32 {
    let taken: BTreeSet<u32> = core.running.values().filter_map(|running| running.number).collect();
    (0..).find(|number| !taken.contains(number)).unwrap_or_default()
}

/// Why a worker has not become ready in time.
pub(in crate::engine) fn not_ready(core: &Core, id: WorkerId) -> RunError {
    let slot = core.slot(id);
    let mut doing = core.running.get(&id).map_or_else(String::new, |running| diagnose::doing(&running.cgroup));
    let listens = core.supervisor.worker(id).is_some_and(|worker| !worker.listeners.is_empty());
    let asked = core.running.get(&id).and_then(|running| running.ready_check.said.as_ref());
    if let Some((said, path)) = asked.zip(core.config.ready_check.as_ref()) {
        doing.push_str(&format!("; asked for {path} (--ready-check), {said}"));
    } else if listens && core.config.ready_when == ReadyWhen::Accepting {
        doing.push_str(", but waits for no connection there (--ready-when listening does not ask for that)");
    }
    let timeout = core.config.ready_timeout;
    if core.config.ready_when == ReadyWhen::Ready && keeps_descriptors(&core.config.program) {
        doing.push_str(&format!(
            ", and what {} starts does not get the report channel: run node itself, as in `node server.js`, \
             or say READY=1 on NOTIFY_SOCKET",
            core.config.program.display()
        ));
    }
    let advice = diagnose::not_steered(id, core).unwrap_or_else(|| {
        "give it more time with --ready-timeout, or see docs/worker-contract.md for what llb waits for".into()
    });
    RunError::NotReady { slot, timeout, doing, advice }
}
