//! Ends the workers when their master dies, however it dies.
//!
//! A process of its own waits at the end of a pipe that only the master holds. When the pipe closes without the word that
//! all is in order, the master is dead; the guard then takes its place, by its lock, and ends the fleet. A new master may
//! have come first: then the fleet is that one's.
//!
//! A signal at the parent's death (`PR_SET_PDEATHSIG`) would reach a worker's first process only, and not wait for it.

use std::{
    env,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{self, Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{SigSet, Signal},
    unistd::Pid,
};

use super::leftover;
use crate::{
    config::{Config, Name, StopSignal},
    fleet::{CgroupError, LockError, RuntimeDir, end_leftover},
    sys::pidfd::PidFd,
};

/// The word that the master's end is in order.
const IN_ORDER: &[u8] = b"in order\n";

/// A process that is killed closes one descriptor after the other, and the pipe may come before the locks: it is waited for until
/// it has closed them all. A moment, unless it hangs in the kernel.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The guard's name on the command line.
pub const COMMAND: &str = "guard";

/// A master's guard. On drop it learns that all is in order, and is waited for.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// Why a dead master's fleet could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The master cannot be watched.
    #[error("cannot watch the master")]
    Watch(#[source] io::Error),
    /// Its place cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its workers cannot be ended.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl Guard {
    /// Starts a guard for a fleet.
    ///
    /// # Errors
    /// If there is no other process to be had, or no such program.
    pub fn start(config: &Config) -> io::Result<Self> {
        let program = config.guard.clone().map_or_else(env::current_exe, Ok)?;
        let mut command = Command::new(program);
        command.args([COMMAND, "--master", &process::id().to_string()]);
        command.args(["--name", config.name.as_str(), "--runtime-dir"]).arg(&config.runtime_dir);
        command.arg("--drain-timeout").arg(humantime::format_duration(config.drain_timeout).to_string());
        command.arg("--stop-signal").arg(config.stop_signal.unwrap_or_default().to_string());
        // A group of its own, so that the terminal's Ctrl-C does not reach it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Guard { child, pipe })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // One that has been killed needs no word.
            let _ = pipe.write_all(IN_ORDER);
        }
        let _ = self.child.wait();
    }
}

/// What a guard does: waits until `master` closes the other end of `pipe`, and ends the fleet if that was not in order. Returns how
/// many processes it has ended.
///
/// # Errors
/// [`GuardError`].
pub fn watch(
    master: Pid,
    mut pipe: impl Read,
    name: &Name,
    runtime_dir: &Path,
    (drain_timeout, stop_signal): (Duration, StopSignal),
) -> Result<usize, GuardError> {
    // Who ends a whole control group or terminal means the master, which ends in order then.
    let mut deaf = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT].into_iter().for_each(|signal| deaf.add(signal));
    deaf.thread_block().map_err(|errno| GuardError::Watch(errno.into()))?;
    // One that cannot be opened has ended already.
    let master = PidFd::open(master);
    let mut word = Vec::new();
    pipe.read_to_end(&mut word).map_err(GuardError::Watch)?;
    if word == IN_ORDER {
        return Ok(0);
    }
    if let Ok(master) = master {
        // Whoever still lives then has closed the pipe for another reason, and holds the lock.
        master.has_ended_within(GONE_WITHIN).map_err(GuardError::Watch)?;
    }
    let place = match RuntimeDir::take(runtime_dir, name) {
        Err(LockError::Held { .. }) => return Ok(0),
        place => place?,
    };
    Ok(leftover::clear(&place, name, |cgroup| end_leftover(cgroup, stop_signal.signal(), drain_timeout))?)
}
