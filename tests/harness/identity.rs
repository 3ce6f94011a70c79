//! Who the workers of a fleet are.

use std::fs;

use llb::observe::status::{Status, WorkerStatus};
use nix::unistd::Pid;

/// What a takeover must not change.
fn identity(worker: &WorkerStatus) -> (u32, u32, u32, Vec<u32>, String, u32) {
    let WorkerStatus { slot, pid, generation, seats, state, restarts, .. } = worker;
    (*slot, *pid, *generation, seats.clone(), state.clone(), *restarts)
}

pub(crate) fn identities(status: &Status) -> Vec<(u32, u32, u32, Vec<u32>, String, u32)> {
    status.workers.iter().map(identity).collect()
}

pub(crate) fn pid_of(status: &Status, slot: u32) -> Pid {
    let worker = status.workers.iter().find(|worker| worker.slot == slot).expect("a worker of the slot");
    Pid::from_raw(worker.pid.cast_signed())
}

pub(crate) fn is_gone(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}
