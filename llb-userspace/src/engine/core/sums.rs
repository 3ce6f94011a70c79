//! What all workers of a slot have counted, those that are gone too.

use std::{collections::BTreeMap, path::PathBuf};

use llb_common::abi::BUCKETS;
use nix::{
    sys::resource::{UsageWho, getrusage},
    unistd::Pid,
};

use super::{super::startup::EndedWorker, Core};
use crate::{
    fleet::{Worker, memory, takeover::WorkerRecord, usage},
    model::{Instant, Seat, Slot, WorkerId},
    observe::status::{SlotTotals, Status, histogram},
    sys::{clock, procfs},
};

/// Nobody's number, for a worker that has ended while no master was there.
const NOBODY: WorkerId = WorkerId(u64::MAX);

impl Core {
    /// A worker is about to be reaped: what it has counted stays.
    pub(in crate::engine) fn keep_totals(&mut self, id: WorkerId) {
        let Some(worker) = self.supervisor.worker(id) else { return };
        let (slot, seats): (Slot, Vec<Seat>) = (worker.slot, worker.seats().collect());
        let counted = self.updater.counted(id, &seats);
        let cpu_us = self.running.get(&id).and_then(|running| usage::cpu_us(running.cgroup.path()));
        let past = self.totals.of_mut(slot);
        past.add(&counted);
        past.cpu_us += cpu_us.unwrap_or(0);
    }

    /// The same of workers that have ended while no master was there.
    pub(in crate::engine) fn keep_totals_of(&mut self, gone: &[EndedWorker]) {
        for EndedWorker { record: WorkerRecord { slot, .. }, seats, cpu_us } in gone {
            self.updater.adopt(NOBODY, seats.iter().cloned());
            let seats: Vec<Seat> = seats.iter().map(|(seat, _)| *seat).collect();
            let counted = self.updater.counted(NOBODY, &seats);
            self.updater.reap(NOBODY);
            let past = self.totals.of_mut(Slot(*slot));
            past.add(&counted);
            past.cpu_us += cpu_us;
        }
    }

    /// Connections that waited for a worker have been given to others.
    pub(in crate::engine) fn keep_rescued(&mut self, id: WorkerId, moved: u32) {
        let slot = self.slot(id);
        if moved > 0 && self.supervisor.worker(id).is_some() {
            self.totals.of_mut(slot).rescued += u64::from(moved);
            self.is_changed = true;
        }
    }

    /// Of a slot that has these workers. The CPU time is that of workers that are gone: the task that asks adds the others', as it takes system calls.
    pub(in crate::engine) fn slot_totals(&self, slot: Slot, workers: &[&Worker]) -> SlotTotals {
        let mut past = self.totals.of(slot);
        for worker in workers {
            let seats: Vec<Seat> = worker.seats().collect();
            past.add(&self.updater.counted(worker.id, &seats));
        }
        let tracked = |count| self.updater.steering().keeps_books().then_some(count);
        let mut latencies = [0; BUCKETS];
        latencies.iter_mut().zip(&past.latencies).for_each(|(bucket, count)| *bucket = *count);
        SlotTotals {
            chosen: past.chosen,
            opened: tracked(past.opened),
            answered: tracked(past.answered),
            failed: tracked(past.failed),
            errors: tracked(past.errors),
            rescued: past.rescued,
            cpu_s: Some(past.cpu_us as f64 / 1e6),
            latency_histogram: self.updater.steering().keeps_books().then(|| histogram(&latencies)),
        }
    }
}

/// What the processes of a worker, or the master, take.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Usage {
    cpu_us: Option<u64>,
    memory: Option<u64>,
}

/// What the workers of these cgroups take, in their order; nothing is known of those that are not looked at before `deadline`.
pub(in crate::engine) fn usage(cgroups: &[PathBuf], deadline: Instant) -> Vec<Usage> {
    let usage = |cgroup: &PathBuf| match clock::now() < deadline {
        true => Usage { cpu_us: usage::cpu_us(cgroup), memory: memory::resident(cgroup) },
        false => Usage::default(),
    };
    cgroups.iter().map(usage).collect()
}

/// Adds it to the status: the workers are in its order.
pub(in crate::engine) fn add_usage(status: &mut Status, workers: &[Usage]) {
    let mut cpu: BTreeMap<u32, Option<f64>> = BTreeMap::new();
    for (worker, usage) in status.workers.iter_mut().zip(workers) {
        worker.memory_bytes = usage.memory.or(worker.memory_bytes);
        worker.cpu_s = usage.cpu_us.map(|us| us as f64 / 1e6);
        let sum = cpu.entry(worker.slot).or_insert(Some(0.0));
        *sum = sum.zip(worker.cpu_s).map(|(sum, cpu)| sum + cpu);
    }
    for slot in &mut status.slots {
        // A sum without one of them would seem to have fallen.
        let living = cpu.get(&slot.slot).copied().unwrap_or(Some(0.0));
        slot.totals.cpu_s = slot.totals.cpu_s.zip(living).map(|(gone, living)| gone + living);
    }
    status.memory_bytes = procfs::resident(Pid::this()).ok();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    status.cpu_s =
        getrusage(UsageWho::RUSAGE_SELF).ok().map(|used| seconds(used.user_time()) + seconds(used.system_time()));
}
