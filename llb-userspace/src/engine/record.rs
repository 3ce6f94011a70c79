//! Writes down what the next master has to know, whenever that changes.

use super::{Engine, takeover::record_of};
use crate::fleet::{
    State,
    takeover::{Record, Stage, Terms, WorkerRecord},
};

/// Keeps the record.
pub(super) struct Keeper {
    terms: Terms,
    /// Whether something has changed since it was written.
    changed: bool,
    written: Vec<u8>,
}

impl Keeper {
    pub(super) fn new(terms: Terms) -> Self {
        Keeper { terms, changed: true, written: Vec::new() }
    }

    /// Something has changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }
}

impl Engine {
    /// Writes the record if it is another than the last.
    pub(super) fn keep_record(&mut self) {
        let Some(keeper) = self.record.as_ref().filter(|keeper| keeper.changed) else { return };
        let record = self.record(keeper.terms.clone());
        let Some(keeper) = &mut self.record else { return };
        keeper.changed = false;
        // What is made of numbers, texts and lists can be written.
        let Ok(text) = serde_json::to_vec(&record) else { return };
        if text == keeper.written {
            return;
        }
        match Record::write(&text, self.lock.path()) {
            Ok(()) => keeper.written = text,
            Err(error) => tracing::warn!(%error, "cannot write down what the next llb has to know to take over"),
        }
    }

    fn record(&self, terms: Terms) -> Record {
        let workers = self.lives.workers().filter_map(|worker| {
            let running = self.running.get(&worker.id)?;
            let baseline = |seat| Some(record_of(seat, self.updater.baseline(worker.id, seat)?));
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
            cgroup: self.cgroup.path().to_owned(),
            cgroup_id: self.cgroup.id(),
            worker_level: self.cgroup.worker_level(),
            generation: self.lives.generation().0,
            reloading: self.lives.reloading().map(|generation| generation.0),
            unattended: self.lives.unattended().map(|address| address.0).collect(),
            places: self.lives.places().collect(),
            totals: self.totals.clone(),
            workers: workers.collect(),
        }
    }
}
