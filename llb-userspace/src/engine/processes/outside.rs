//! Processes that have left their worker's cgroup.

use std::path::{Path, PathBuf};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task,
};

use super::Processes;
use crate::{
    engine::{
        core::{Core, Outsider, signal_to},
        inbox::Message,
    },
    fleet::{Kind, State, cgroup},
    model::WorkerId,
    sys::{
        pidfd::PidFd,
        procfs::{self, Families},
    },
};

/// A worker of which there may be processes outside its cgroup.
#[derive(Debug)]
pub(super) struct Suspect {
    id: WorkerId,
    first: Pid,
    cgroup: PathBuf,
}

/// Looks for the processes of the workers that are sent here, on a thread of its own: there may be thousands on the machine. The
/// workers that come while a look is under way share the next one, as hundreds may end at once.
pub(super) fn watch_outside(inbox: mpsc::Sender<Message>) -> UnboundedSender<Suspect> {
    let (sender, suspects) = mpsc::unbounded_channel();
    task::spawn_local(look_for_all(suspects, inbox));
    sender
}

async fn look_for_all(mut suspects: UnboundedReceiver<Suspect>, inbox: mpsc::Sender<Message>) {
    let mut batch = Vec::new();
    while suspects.recv_many(&mut batch, usize::MAX).await > 0 {
        let these = std::mem::take(&mut batch);
        let found = task::spawn_blocking(move || find(&these)).await.unwrap_or_default();
        for (id, outside) in found {
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Outside { id, outside }).await;
        }
    }
}

/// The processes of each worker that are not in its cgroup, if there are any.
fn find(suspects: &[Suspect]) -> Vec<(WorkerId, Vec<Outsider>)> {
    let families = Families::read().unwrap_or_default();
    let open = |pid| Some((pid, PidFd::open(pid).ok()?));
    let opened = suspects.iter().map(|suspect| {
        let family = std::iter::once(suspect.first).chain(families.descendants(suspect.first));
        (suspect, family.filter_map(open).collect::<Vec<_>>())
    });
    let opened: Vec<_> = opened.collect();
    // Read after they are open: a number that is another's by now is not in the family any more.
    let still = Families::read().unwrap_or_default();
    let outside = opened.into_iter().map(|(suspect, opened)| (suspect.id, outsiders(suspect, opened, &still)));
    outside.filter(|(_, outside)| !outside.is_empty()).collect()
}

fn outsiders(suspect: &Suspect, opened: Vec<(Pid, PidFd)>, families: &Families) -> Vec<Outsider> {
    let Suspect { first, cgroup, .. } = suspect;
    let still = families.descendants(*first);
    let inside = cgroup::processes(cgroup).unwrap_or_default();
    let outside = opened.into_iter().filter(|(pid, _)| !inside.contains(pid) && (pid == first || still.contains(pid)));
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

impl Processes {
    /// Looks for processes that have left the worker's cgroup.
    pub(in crate::engine) fn look_outside(&self, core: &Core, id: WorkerId) {
        let Some(running) = core.running.get(&id) else { return };
        // Closed with the engine only.
        let _ = self.suspects.send(Suspect { id, first: running.pid, cgroup: running.cgroup.path().to_owned() });
    }
}

/// Some have left the worker's cgroup.
pub(in crate::engine) fn found_outside(core: &mut Core, id: WorkerId, outside: Vec<Outsider>) {
    let Some(state) = core.supervisor.worker(id).map(|worker| worker.state) else { return };
    for outsider in outside {
        let Some(running) = core.running.get_mut(&id) else { return };
        if running.end.outside().any(|known| known == outsider.pid) {
            continue;
        }
        tracing::warn!(pid = %outsider.pid, "has left its worker's cgroup: {}", outsider.whereabouts);
        core.supervisor.note_worker(Kind::LeftCgroup, id, &outsider.whereabouts);
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
