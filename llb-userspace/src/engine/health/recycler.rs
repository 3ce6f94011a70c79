//! Looks whether workers have reached the limits after which they are replaced.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::Recycling,
    engine::{core::Core, inbox::Message},
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
pub(in crate::engine) struct Recycler {
    look_at: Instant,
    measure_at: Instant,
    is_measuring: bool,
}

impl Recycler {
    /// Replaces workers that have reached a limit.
    pub(in crate::engine) fn recycle(&mut self, core: &mut Core, now: Instant) {
        if core.config.recycling == Recycling::default() || now < self.look_at {
            return;
        }
        self.look_at = now.after(LOOK_EVERY);
        if core.config.recycling.max_memory.is_some() {
            self.measure(core, now);
        }
        let serving = core.supervisor.workers().filter(|worker| worker.state == State::Serving);
        let due: Vec<_> = serving.filter_map(|worker| Some((worker.id, excess_of(core, worker, now)?))).collect();
        if !due.is_empty() {
            core.supervisor.recycle(due, now);
        }
    }

    /// Has the workers' memory measured, beside the loop: they may have thousands of processes.
    fn measure(&mut self, core: &Core, now: Instant) {
        if self.is_measuring || now < self.measure_at {
            return;
        }
        (self.is_measuring, self.measure_at) = (true, now.after(MEASURE_EVERY));
        let workers: Vec<(WorkerId, PathBuf)> =
            core.running.iter().map(|(id, running)| (*id, running.cgroup.path().to_owned())).collect();
        let measured = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(|(id, cgroup)| (id, memory::resident(&cgroup))).collect()
        });
        let inbox = core.inbox.clone();
        tokio::task::spawn_local(async move {
            // Only a runtime that ends gives no answer, and a closed inbox is the end of the engine.
            let _ = inbox.send(Message::Memory { resident: measured.await.unwrap_or_default() }).await;
        });
    }

    /// The workers' memory has been measured.
    pub(in crate::engine) fn measured(&mut self, core: &mut Core, resident: Vec<(WorkerId, Option<u64>)>) {
        self.is_measuring = false;
        for (id, memory) in resident {
            if let Some(running) = core.running.get_mut(&id) {
                running.memory = memory;
            }
        }
    }
}

fn excess_of(core: &Core, worker: &Worker, now: Instant) -> Option<Excess> {
    let running = core.running.get(&worker.id)?;
    let seats: Vec<Seat> = worker.seats().collect();
    let figures = Figures {
        answered: core.updater.answered(worker.id, &seats),
        age_ns: now.since(worker.started_at),
        memory: running.memory,
    };
    excess(&core.config.recycling, lot(running.pid.as_raw(), running.pid_started_at), &figures)
}
