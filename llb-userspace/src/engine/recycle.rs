//! Looks whether workers have reached the limits after which they are replaced.

use std::{path::PathBuf, time::Duration};

use super::{Engine, messages::Message};
use crate::{
    config::Recycling,
    fleet::{
        State, Worker, memory,
        recycle::{Excess, Figures, excess, lot},
    },
    model::{Instant, Seat, WorkerId},
};

/// From a look at the limits to the next: a worker answers hundreds of requests meanwhile, of limits that are thousands.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// From a look at the workers' memory to the next: it takes some system calls a process.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// When to look next.
#[derive(Default)]
pub(super) struct Recycler {
    look_at: Instant,
    measure_at: Instant,
    is_measuring: bool,
}

impl Engine {
    /// Replaces workers that have reached a limit.
    pub(super) fn recycle(&mut self, now: Instant) {
        if self.config.recycling == Recycling::default() || now < self.recycler.look_at {
            return;
        }
        self.recycler.look_at = now.after(LOOK_EVERY);
        if self.config.recycling.max_memory.is_some() {
            self.measure(now);
        }
        let serving = self.lives.workers().filter(|worker| worker.state == State::Serving);
        let due: Vec<_> = serving.filter_map(|worker| Some((worker.id, self.excess(worker, now)?))).collect();
        if !due.is_empty() {
            self.lives.recycle(due, now);
        }
    }

    fn excess(&self, worker: &Worker, now: Instant) -> Option<Excess> {
        let running = self.running.get(&worker.id)?;
        let seats: Vec<Seat> = worker.seats().collect();
        let figures = Figures {
            answered: self.updater.answered(worker.id, &seats),
            age_ns: now.since(worker.started_at),
            memory: running.memory,
        };
        excess(&self.config.recycling, lot(running.pid.as_raw(), running.pid_started_at), &figures)
    }

    /// Has the workers' memory measured, beside the loop: they may have thousands of processes.
    fn measure(&mut self, now: Instant) {
        if self.recycler.is_measuring || now < self.recycler.measure_at {
            return;
        }
        (self.recycler.is_measuring, self.recycler.measure_at) = (true, now.after(MEASURE_EVERY));
        let workers: Vec<(WorkerId, PathBuf)> =
            self.running.iter().map(|(id, running)| (*id, running.cgroup.path().to_owned())).collect();
        let measured = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(|(id, cgroup)| (id, memory::resident(&cgroup))).collect()
        });
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(async move {
            // Only a runtime that ends gives no answer, and a closed inbox is the end of the engine.
            let _ = inbox.send(Message::Memory { resident: measured.await.unwrap_or_default() }).await;
        });
    }

    /// The workers' memory has been measured.
    pub(super) fn measured(&mut self, resident: Vec<(WorkerId, Option<u64>)>) {
        self.recycler.is_measuring = false;
        for (id, memory) in resident {
            if let Some(running) = self.running.get_mut(&id) {
                running.memory = memory;
            }
        }
    }
}
