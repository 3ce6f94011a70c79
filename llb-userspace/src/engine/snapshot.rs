//! The fleet as it is shown.

use std::collections::BTreeMap;

use llb_common::{
    abi::MAX_SEATS,
    outcome::{Outcome, Stage},
};

use super::{
    Engine,
    core::{ExitRecord, Running},
};
use crate::{
    fleet::{SlotState, Worker},
    kernel::KernelError,
    model::{Instant, Seat, Slot},
    observe::status::{GroupStatus, LatencyStatus, SlotStatus, Status, WorkerStatus, histogram, sum_of},
    report::Fault,
};

impl Engine {
    /// The fleet as it is at `now`.
    ///
    /// # Errors
    /// [`KernelError::Map`] if the counters cannot be read.
    pub(super) fn status(&self, now: Instant) -> Result<Status, KernelError> {
        let counters = self.core.updater.steering().counters()?;
        let connections = counters.total(Stage::Select);
        let tracked = self.core.updater.steering().keeps_books();
        let latencies = tracked.then(|| {
            let seats = (0..MAX_SEATS as u32).map(Seat);
            sum_of(seats.map(|seat| self.core.updater.steering().books().latencies(seat)))
        });
        let mut in_slot: BTreeMap<Slot, Vec<&Worker>> = BTreeMap::new();
        self.core.supervisor.workers().for_each(|worker| in_slot.entry(worker.slot).or_default().push(worker));
        let slot_status = |(slot, state)| {
            let workers = in_slot.get(&slot).map_or(&[][..], Vec::as_slice);
            self.slot_status(slot, state, workers, now)
        };
        Ok(Status {
            name: self.core.config.name.to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            policy: self.core.config.policy.name().into(),
            tracking: self.core.config.tracking.name().into(),
            up: self.core.supervisor.is_up(),
            uptime_s: seconds(now.since(self.reports.started_at)),
            least_slot: self.core.updater.table().least.and_then(|seat| self.core.slot_of(seat)).map(|slot| slot.0),
            groups: self.groups(),
            udp: self.health.udp.udp_status(&self.core),
            pending: self.core.pending_status(),
            generation: self.core.supervisor.generation().0,
            reloading: self.core.supervisor.reloading().map(|generation| generation.0),
            reloaded: self.reports.reloads.succeeded,
            rolled_back: self.reports.reloads.rolled_back,
            canary: self.health.trial.said.clone(),
            slots: self.core.supervisor.slots().map(slot_status).collect(),
            workers: self
                .core
                .by_slot()
                .into_iter()
                .map(|worker| self.worker_status(worker, connections, now))
                .collect(),
            selector: Outcome::ALL.iter().map(|outcome| (outcome.name().into(), counters.get(*outcome))).collect(),
            connections,
            notify_unknown_senders: self.processes.unknown_senders,
            loop_max_ms: self.reports.turns.longest_ms(),
            // The task that asks for the status adds it, as it does what workers take.
            cpu_s: None,
            memory_bytes: None,
            line: self.waiting.line_status(&self.core, |outcome| counters.get(outcome)),
            waiting_for_worker: self.waiting.standby.waiting(),
            waited_for_worker: self.waiting.standby.given,
            sticky: self.core.sticky_status(counters.get(Outcome::Sticky)),
            latency_us: latencies.as_ref().and_then(LatencyStatus::of),
            latency_histogram: latencies.as_ref().map(histogram),
        })
    }

    fn slot_status(&self, slot: Slot, state: SlotState, workers: &[&Worker], now: Instant) -> SlotStatus {
        let (state, starts_at) = match state {
            SlotState::Filled => ("filled", None),
            SlotState::Waiting { until } => ("waiting", until),
            SlotState::Drained => ("drained", None),
            SlotState::Failed => ("failed", None),
        };
        SlotStatus {
            slot: slot.0,
            state: state.into(),
            starts_in_s: starts_at.map(|at| seconds(at.since(now))),
            restarts: self.core.supervisor.restarts(slot),
            recycled: self.core.supervisor.recycled(slot),
            restart_causes: self.restart_causes(slot),
            totals: self.core.slot_totals(slot, workers),
            last_exit: self.last_exit(slot),
            clients: self.core.updater.steering().clients(slot),
        }
    }

    fn restart_causes(&self, slot: Slot) -> BTreeMap<String, u32> {
        self.core
            .supervisor
            .restart_causes(slot)
            .each()
            .map(|(cause, count)| (cause.name().to_owned(), count))
            .collect()
    }

    fn last_exit(&self, slot: Slot) -> Option<String> {
        self.processes.exit_records.get(&slot).map(ExitRecord::how)
    }

    fn groups(&self) -> Vec<GroupStatus> {
        self.core.updater.steering().groups().map(|group| self.core.group(group)).collect()
    }

    fn worker_status(&self, worker: &Worker, connections: u64, now: Instant) -> WorkerStatus {
        let running = self.core.running.get(&worker.id);
        let seats: Vec<Seat> = worker.seats().collect();
        let counted = self.core.updater.counted(worker.id, &seats);
        let tracked = |count| self.core.updater.steering().keeps_books().then_some(count);
        let latencies = self.core.updater.steering().keeps_books().then_some(&counted.latencies);
        WorkerStatus {
            slot: worker.slot.0,
            pid: running.map_or(0, |running| running.pid.as_raw().unsigned_abs()),
            state: match worker.state.name() {
                _ if self.health.rescue.any_hung(worker.seats()) => "hung",
                _ if self.core.waits_to_join(worker) => "joining",
                name => name,
            }
            .into(),
            generation: worker.generation.0,
            uptime_s: seconds(now.since(worker.started_at)),
            seats: seats.iter().map(|seat| seat.0).collect(),
            chosen: counted.chosen,
            share: counted.chosen as f64 / connections.max(1) as f64,
            open: tracked(counted.open),
            // The task that asks for the status adds it: it takes system calls.
            queued: None,
            in_flight: tracked(counted.in_flight),
            answered: tracked(counted.answered),
            failed: tracked(counted.failed),
            errors: tracked(counted.errors),
            rescued: tracked(running.map_or(0, |running| running.rescued)),
            latency_us: latencies.and_then(LatencyStatus::of),
            latency_histogram: latencies.map(histogram),
            cost_us: counted.cost_ns as f64 / 1e3,
            restarts: self.core.supervisor.restarts(worker.slot),
            last_exit: self.last_exit(worker.slot),
            memory_bytes: running.and_then(|running| running.memory),
            cpu_s: None,
            reports: running.map(reports).unwrap_or_default(),
            looks: self.waiting.looks(&seats),
            udp: self.health.udp.flow_status(&self.core, worker),
        }
    }
}

fn reports(running: &Running) -> BTreeMap<String, u64> {
    let counts = running.counts.borrow();
    let understood = [
        ("latency", counts.latency),
        ("ready", counts.ready),
        ("disconnect", counts.disconnect),
        ("pong", counts.pong),
    ];
    let faults = Fault::ALL.into_iter().map(|fault| (fault.name(), counts.fault(fault)));
    understood.into_iter().chain(faults).filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
