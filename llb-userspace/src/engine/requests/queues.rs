//! How many connections wait to be accepted: only a holder of the listener can ask the kernel. A copy of each is taken, asked and
//! closed again, on a thread of its own, as a worker may have thousands of descriptors to look through; and only when
//! somebody wants to know.

use std::path::PathBuf;

use crate::{
    engine::core::Core,
    fleet::{cgroup, find},
    model::Instant,
    sys::{clock, socket},
};

/// Where the queues of one worker are.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Queues {
    pub cgroup: PathBuf,
    listeners: Vec<u64>,
}

impl Core {
    /// Of every worker, in the order of the status.
    pub(in crate::engine) fn queues(&self) -> Vec<Queues> {
        let queues = |worker: &crate::fleet::Worker| Queues {
            cgroup: self.running.get(&worker.id).map(|running| running.cgroup.path().to_owned()).unwrap_or_default(),
            listeners: worker.listeners.iter().map(|listener| listener.cookie).collect(),
        };
        self.by_slot().into_iter().map(queues).collect()
    }
}

/// How many connections wait on each; none where that cannot be seen, or not before `deadline`.
pub(in crate::engine) fn lengths(all: &[Queues], deadline: Instant) -> Vec<Option<u64>> {
    all.iter().map(|queues| if clock::now() < deadline { length(queues) } else { None }).collect()
}

fn length(queues: &Queues) -> Option<u64> {
    let pids = cgroup::processes(&queues.cgroup).ok()?;
    let lengths = queues.listeners.iter().map(|cookie| {
        let (copy, _) = find::listener(&pids, *cookie).ok()?;
        socket::accept_queue(copy).ok().map(|queue| u64::from(queue.length))
    });
    lengths.sum()
}
