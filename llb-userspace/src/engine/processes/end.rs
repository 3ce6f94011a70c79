//! The end of a worker's processes: who is signalled, who has left the worker's cgroup, who is left when the first one
//! has exited. All by pidfd, so that no other process of the same number is hit.

use std::{path::Path, time::Duration};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{sync::mpsc::Sender, time::sleep};

use crate::{
    config::StopWhom,
    engine::{
        core::{Core, ExitRecord, Outsider, signal_to},
        messages::Message,
    },
    fleet::{Kind, State, cgroup},
    model::WorkerId,
    sys::{clock, pidfd::PidFd, procfs},
};

/// Between two looks whether the rest of a worker has exited.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Processes are gone within milliseconds of SIGKILL, unless they hang in the kernel; those are not waited for.
const KILLED_FOR: Duration = Duration::from_secs(2);

/// The processes of the worker whose first one is `first` that are not in its cgroup.
fn find_outside(first: Pid, cgroup: &Path) -> Vec<Outsider> {
    let family = std::iter::once(first).chain(procfs::descendants(first).unwrap_or_default());
    let opened: Vec<(Pid, PidFd)> = family.filter_map(|pid| Some((pid, PidFd::open(pid).ok()?))).collect();
    // Read after they are open: a number that is another's by now is not in the family any more.
    let still = procfs::descendants(first).unwrap_or_default();
    let inside = cgroup::processes(cgroup).unwrap_or_default();
    let outside = opened.into_iter().filter(|(pid, _)| !inside.contains(pid) && (*pid == first || still.contains(pid)));
    let alive = outside.filter(|(_, process)| process.is_alive().unwrap_or(false));
    alive
        .filter_map(|(pid, process)| {
            // The kernel no longer lists one that is about to exit, wherever it is.
            let place = procfs::cgroup(pid).ok().filter(|place| !is_within(cgroup, place))?;
            let whereabouts = format!("{} is in the cgroup {place}", procfs::Process::of(pid));
            Some(Outsider { pid, process, whereabouts })
        })
        .collect()
}

/// Whether `place`, as /proc/PID/cgroup has it, is the cgroup of this directory or below it.
fn is_within(directory: &Path, place: &str) -> bool {
    let place = Path::new(place.trim_start_matches('/'));
    place.ancestors().any(|place| !place.as_os_str().is_empty() && directory.ends_with(place))
}

/// Looks for processes that have left the worker's cgroup, on a thread of its own: there may be thousands of
/// processes on the machine.
pub(in crate::engine) fn look_outside(core: &Core, id: WorkerId) {
    let Some(running) = core.running.get(&id) else { return };
    let (pid, path, inbox) = (running.pid, running.cgroup.path().to_owned(), core.inbox.clone());
    let look = tokio::task::spawn_blocking(move || find_outside(pid, &path));
    tokio::task::spawn_local(async move {
        let outside = look.await.unwrap_or_default();
        if !outside.is_empty() {
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Outside { id, outside }).await;
        }
    });
}

/// Some have left the worker's cgroup.
pub(in crate::engine) fn found_outside(core: &mut Core, id: WorkerId, outside: Vec<Outsider>) {
    let Some(state) = core.lives.worker(id).map(|worker| worker.state) else { return };
    for outsider in outside {
        let Some(running) = core.running.get_mut(&id) else { return };
        if running.end.outside().any(|known| known == outsider.pid) {
            continue;
        }
        tracing::warn!(pid = %outsider.pid, "has left its worker's cgroup: {}", outsider.whereabouts);
        core.lives.note_worker(Kind::LeftCgroup, id, &outsider.whereabouts);
        match state {
            State::Stopping { .. } if outsider.pid != running.pid => signal_to(&outsider.process, core.stop_signal()),
            State::Killed => signal_to(&outsider.process, Signal::SIGKILL),
            _ => {}
        }
        if let Some(running) = core.running.get_mut(&id) {
            running.end.outside.push(outsider);
        }
    }
}

/// Sends a worker the signal to end.
pub(in crate::engine) fn terminate(core: &mut Core, id: WorkerId) {
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
    look_outside(core, id);
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

pub(in crate::engine) fn kill(core: &Core, id: WorkerId) {
    let Some(running) = core.running.get(&id) else { return };
    tracing::warn!(slot = %core.slot(id), pid = %running.pid, "did not end in time, killed");
    if let Err(error) = running.cgroup.kill() {
        tracing::error!(%error, "cannot kill a worker");
    }
    // Also if it is not in its cgroup any more.
    let _ = running.end.first.signal(Signal::SIGKILL);
    running.end.signal_outside(Signal::SIGKILL);
    running.end.killed.set(true);
    look_outside(core, id);
}

/// The first process of a worker that is on its way out has exited, and others of it have not: they are asked to end as
/// well, and have the time that is left. False if there is nobody to wait for.
pub(in crate::engine) fn waits_for_rest(core: &mut Core, id: WorkerId, record: &ExitRecord) -> bool {
    let leaves = core
        .lives
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_compared_with_its_directory() {
        let directory = Path::new("/sys/fs/cgroup/unified/llb.main/w0.g1.0");
        for inside in ["/llb.main/w0.g1.0", "/llb.main/w0.g1.0/own/deeper"] {
            assert!(is_within(directory, inside), "{inside}");
        }
        for outside in ["", "/", "/llb.main", "/llb.main/w1.g1.1", "/user.slice", "/llb.other/w0.g1.0", "/w0.g1.0.x"] {
            assert!(!is_within(directory, outside), "{outside}");
        }
    }
}
