//! Writes down what the next master has to know, whenever that changes.

use std::path::Path;

use super::Reports;
use crate::{
    engine::{core::Core, startup::record_of},
    fleet::{
        State,
        takeover::{Record, Stage, Terms, WorkerRecord},
    },
};

/// Keeps the record.
pub(in crate::engine) struct Keeper {
    terms: Terms,
    written: Vec<u8>,
}

impl Keeper {
    pub(in crate::engine) fn new(terms: Terms) -> Self {
        Keeper { terms, written: Vec::new() }
    }
}

impl Reports {
    /// Writes the record into the fleet's directory, if it is another than the last.
    pub(in crate::engine) fn keep_record(&mut self, core: &mut Core, directory: &Path) {
        let Some(keeper) = self.record.as_mut().filter(|_| core.is_changed) else { return };
        core.is_changed = false;
        let record = record(core, keeper.terms.clone());
        // What is made of numbers, texts and lists can be written.
        let Ok(text) = serde_json::to_vec(&record) else { return };
        if text == keeper.written {
            return;
        }
        match Record::write(&text, directory) {
            Ok(()) => keeper.written = text,
            Err(error) => tracing::warn!(%error, "cannot write down what the next llb has to know to take over"),
        }
    }
}

fn record(core: &Core, terms: Terms) -> Record {
    let workers = core.supervisor.workers().filter_map(|worker| {
        let running = core.running.get(&worker.id)?;
        let baseline = |seat| Some(record_of(seat, core.updater.baseline(worker.id, seat)?));
        Some(WorkerRecord {
            slot: worker.slot.0,
            number: running.number,
            generation: worker.generation.0,
            cgroup: running.cgroup.path().file_name()?.to_str()?.to_owned(),
            pid: running.pid.as_raw(),
            pid_started_at: running.pid_started_at,
            started_at: worker.started_at.0,
            stage: match worker.state {
                State::Starting { .. } => Stage::Starting,
                State::Serving => Stage::Serving,
                State::Draining { .. } => Stage::Draining,
                State::Stopping { .. } | State::Killed => Stage::Stopping,
            },
            asked_to_leave: worker.is_to_leave().map(str::to_owned),
            is_recycled: worker.is_recycled(),
            seats: worker.seats().filter_map(baseline).collect(),
        })
    });
    Record {
        terms,
        cgroup: core.cgroup.path().to_owned(),
        cgroup_id: core.cgroup.id(),
        worker_level: core.cgroup.worker_level(),
        generation: core.supervisor.generation().0,
        reloading: core.supervisor.reloading().map(|generation| generation.0),
        unattended: core.supervisor.unattended().map(|address| address.0).collect(),
        slots: core.supervisor.slots_to_adopt().collect(),
        totals: core.totals.clone(),
        workers: workers.collect(),
    }
}
