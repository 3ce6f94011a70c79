//! Processes that a test stops, and lets go on.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::until;

/// A process that is stopped. Dropping it lets it go on, so that it can end, also if the test has failed.
#[derive(Debug)]
pub(crate) struct Stopped(Pid);

impl Stopped {
    /// Stops a process, and waits until it has: the signal takes its time.
    #[track_caller]
    pub(crate) fn stop(pid: Pid) -> Self {
        Self::stop_if_there(pid).expect("a process")
    }

    /// The same of one that may end meanwhile; nothing if it has.
    #[track_caller]
    pub(crate) fn stop_if_there(pid: Pid) -> Option<Self> {
        kill(pid, Signal::SIGSTOP).ok()?;
        let stopped = Stopped(pid);
        until("it has stopped or ended", || is_stopped(pid) || has_ended(pid));
        is_stopped(pid).then_some(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

fn has_ended(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Whether a process is stopped.
pub(crate) fn is_stopped(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
}
