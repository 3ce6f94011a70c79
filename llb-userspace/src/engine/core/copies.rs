//! Copies of a worker's listeners, to see how many wait there and what the worker does meanwhile.

use std::os::fd::OwnedFd;

use super::Core;
use crate::{
    fleet::Listener,
    model::{Seat, WorkerId},
    sys::{
        activity::{self, Activity},
        socket,
    },
};

/// A listener of a seat, and our copy of it, to be closed soon.
pub(in crate::engine) struct Copied {
    pub listener: Listener,
    pub socket: OwnedFd,
    /// How many wait in its queue.
    pub waiting: u32,
}

impl Core {
    /// Copies of the seat's listeners.
    pub(in crate::engine) fn copies(&mut self, id: WorkerId, seat: Seat) -> Vec<Copied> {
        let Some(worker) = self.supervisor.worker(id) else { return Vec::new() };
        let listeners: Vec<Listener> = worker.listeners.iter().filter(|l| l.seat == Some(seat)).copied().collect();
        let copy = |listener: Listener| {
            let socket = self.copy(id, listener.cookie)?;
            let waiting = socket::accept_queue(&socket).ok()?.length;
            Some(Copied { listener, socket, waiting })
        };
        listeners.into_iter().filter_map(copy).collect()
    }

    /// What the worker of these listeners does; nothing if it is not there, or has none of them.
    pub(in crate::engine) fn activity_of(&self, id: WorkerId, copies: &[Copied]) -> Option<Activity> {
        let inodes: Vec<u64> = copies.iter().filter_map(|copied| socket::inode(&copied.socket).ok()).collect();
        let processes = self.running.get(&id)?.cgroup.processes().ok()?;
        (!inodes.is_empty()).then(|| activity::of(&processes, &inodes))
    }
}
