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
        kill(pid, Signal::SIGSTOP).expect("a process");
        let stopped = Stopped(pid);
        until("it has stopped", || is_stopped(pid));
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Whether a process is stopped.
pub(crate) fn is_stopped(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
}
