//! llb as a shell would start it, where the outputs themselves are what is tested.

use std::{
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DEADLINE, holds_within};

/// A master, or whatever started it. Dropping it ends it in order.
#[derive(Debug)]
pub(crate) struct Plain(Child);

impl Plain {
    /// Starts it.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Plain(command.spawn().expect("a program that starts"))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Where it reads from, if that is a pipe.
    #[track_caller]
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("a pipe")
    }

    /// What it writes to, if that is a pipe.
    #[track_caller]
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("a pipe")
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child")
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        // Not waited for, so the pid is its own.
        let _ = kill(self.pid(), Signal::SIGTERM);
        self.wait(DEADLINE)
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut end = None;
        holds_within(patience, || {
            end = self.ended();
            end.is_some()
        });
        end.expect("an end in time")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill(self.pid(), Signal::SIGTERM);
            if !holds_within(DEADLINE, || !matches!(self.0.try_wait(), Ok(None))) {
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
        }
    }
}
