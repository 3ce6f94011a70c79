//! The end of a worker's processes: which of them are signalled, and which are left when the first one has exited. All by pidfd, so that no other process of the same number is hit.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::{sync::mpsc::Sender, time::sleep};

use super::Processes;
use crate::{
    config::StopWhom,
    engine::{
        core::{Core, ExitRecord, signal_to},
        inbox::Message,
    },
    fleet::{State, cgroup},
    model::{Instant, WorkerId},
    sys::clock,
};

/// Between two looks whether the rest of a worker has exited.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Processes are gone within milliseconds of SIGKILL, unless they hang in the kernel; those are not waited for.
const KILLED_FOR: Duration = Duration::from_secs(2);

impl Processes {
    /// Sends a worker the signal to end.
    pub(in crate::engine) fn terminate(&mut self, core: &mut Core, id: WorkerId, now: Instant) {
        self.note_asked(core, id, now);
        let signal = core.stop_signal();
        let all = core.config.stop_whom == StopWhom::All;
        let Some(running) = core.running.get_mut(&id) else { return };
        // What it closes from here on is its own choice, until it is told otherwise.
        running.drain.scope = None;
        let first_gone = running.end.first_gone;
        if !first_gone {
            signal_to(&running.end.first, signal);
        }
        if all || first_gone {
            signal_rest(core, id, signal);
        } else {
            signal_rest(core, id, Signal::SIGCONT);
        }
        self.look_outside(core, id);
    }

    /// Kills all processes of a worker.
    pub(in crate::engine) fn kill(&self, core: &Core, id: WorkerId) {
        let Some(running) = core.running.get(&id) else { return };
        tracing::warn!(slot = %core.slot(id), pid = %running.pid, "did not end in time, killed");
        if let Err(error) = running.cgroup.kill() {
            tracing::error!(%error, "cannot kill a worker");
        }
        // Also if it is not in its cgroup any more.
        let _ = running.end.first.signal(Signal::SIGKILL);
        running.end.signal_outside(Signal::SIGKILL);
        running.end.killed.set(true);
        self.look_outside(core, id);
    }
}

/// Signals a worker's processes but its first.
fn signal_rest(core: &Core, id: WorkerId, signal: Signal) {
    let Some(running) = core.running.get(&id) else { return };
    for (_, process) in running.cgroup.members().unwrap_or_default().iter().filter(|(pid, _)| *pid != running.pid) {
        signal_to(process, signal);
    }
    for outsider in running.end.outside.iter().filter(|outsider| outsider.pid != running.pid) {
        signal_to(&outsider.process, signal);
    }
}

/// The first process of a worker that is on its way out has exited, and others of it have not: they are asked to end as
/// well, and have the time that is left. False if there is nobody to wait for.
pub(in crate::engine) fn waits_for_rest(core: &mut Core, id: WorkerId, record: &ExitRecord) -> bool {
    let leaves = core
        .supervisor
        .worker(id)
        .is_some_and(|worker| matches!(worker.state, State::Draining { .. } | State::Stopping { .. }));
    let Some(running) = core.running.get_mut(&id).filter(|running| leaves && !running.end.first_gone) else {
        return false;
    };
    if !running.cgroup.is_populated().unwrap_or(false) {
        return false;
    }
    running.end.first_gone = true;
    let (path, killed) = (running.cgroup.path().to_owned(), running.end.killed.clone());
    let exited = Message::Exited { id, status: record.status, tail: record.tail.clone() };
    let inbox: Sender<Message> = core.inbox.clone();
    signal_rest(core, id, core.stop_signal());
    tokio::task::spawn_local(async move {
        let mut killed_at = None;
        while cgroup::is_populated(&path).unwrap_or(false) {
            if killed.get() && clock::now() > killed_at.get_or_insert_with(clock::now).after(KILLED_FOR) {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        // A closed inbox is the end of the engine.
        let _ = inbox.send(exited).await;
    });
    true
}
