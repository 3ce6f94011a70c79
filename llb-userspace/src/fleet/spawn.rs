//! A worker's start: the command, in its cgroup, with its channel, and nothing of llb's but that.

mod diagnosis;
mod node;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{ChildStderr, ChildStdout, Command},
};

use nix::unistd::Pid;

pub use self::{
    diagnosis::{SpawnError, find_program},
    node::keeps_descriptors,
};
use super::{
    cgroup::WorkerCgroup,
    channel::{Channel, channel},
};
use crate::{
    config::Identity,
    model::{Generation, Slot},
    sys::{
        child::{self, CHANNEL_FD, ChildError, Credentials, Inheritance, Outcome, Scheduling},
        pidfd::PidFd,
    },
};

/// What systemd has told llb and must not tell a worker: that descriptors from 3 up are sockets (3 is the channel),
/// where to say that the service is ready (llb says so; workers have a socket of llb's for that), and how often to say
/// that it lives.
const FOR_US_ALONE: [&str; 6] =
    ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Which worker to spawn, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The program: a path if it has a slash in it, otherwise looked for in `PATH`.
    pub program: &'a OsStr,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Where it runs, if not where llb does. A relative `program` is relative to this.
    pub directory: Option<&'a Path>,
    /// What the worker sees as `WORKER_ID`.
    pub slot: Slot,
    /// What it sees as `LLB_WORKER`.
    pub number: u32,
    /// What it sees as `LLB_GENERATION`.
    pub generation: Generation,
    /// Who it is, if not who llb is.
    pub identity: Option<&'a Identity>,
    /// What it sees as `NOTIFY_SOCKET`.
    pub notify: Option<&'a OsStr>,
    /// Where and how readily it runs.
    pub scheduling: Scheduling,
    /// Where its words go.
    pub output: Output,
}

/// Where a worker's standard output and standard error go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Where llb's own go.
    Inherited,
    /// To llb.
    Captured,
}

/// A worker that starts: its process is there, and has not run its program yet. Dropping it ends nothing.
#[derive(Debug)]
pub struct Starting {
    /// The worker.
    pub worker: Spawned,
    /// Whether its program runs.
    pub outcome: Outcome,
}

/// A worker that has started. Dropping it ends nothing.
#[derive(Debug)]
pub struct Spawned {
    /// Its first process.
    pub pid: Pid,
    /// Readable when that process has ended; then it can be waited for.
    pub pidfd: PidFd,
    /// Our end of its channel; does not block.
    pub channel: UnixStream,
    /// What it says, if that is captured.
    pub output: Option<Pipes>,
}

/// A worker's words.
#[derive(Debug)]
pub struct Pipes {
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
}

/// Spawns a worker into `cgroup`, and waits until its program runs.
///
/// # Errors
/// If there is no such program or directory, if the program cannot be run, or if the kernel refuses a process more.
pub fn spawn(order: &Order<'_>, cgroup: &WorkerCgroup) -> Result<Spawned, SpawnError> {
    let Starting { worker, mut outcome } = start(order, cgroup)?;
    outcome.wait(worker.pid).map_err(|error| explain(order, error))?;
    Ok(worker)
}

/// Why a worker does not start, of which its child has said this.
pub fn explain(order: &Order<'_>, error: ChildError) -> SpawnError {
    match error {
        ChildError::Start(source) => diagnosis::explain(order, source),
        ChildError::Prepare { .. } => SpawnError::Prepare { slot: order.slot, source: error.into() },
    }
}

/// Spawns a worker into `cgroup`, and does not wait for its program.
///
/// # Errors
/// If the kernel refuses a process more, or what it takes.
pub fn start(order: &Order<'_>, cgroup: &WorkerCgroup) -> Result<Starting, SpawnError> {
    let failed = |action| move |source: io::Error| SpawnError::Resources { action, slot: order.slot, source };
    let directory = cgroup.directory()?;
    let Channel { ours, workers } = channel().map_err(failed("make a channel for"))?;
    let captured = (order.output == Output::Captured).then(pipes).transpose().map_err(failed("listen to"))?;
    let inheritance = Inheritance {
        cgroup: directory.as_fd(),
        channel: workers.as_fd(),
        output: captured.as_ref().map(|(_, ends)| ends.each_ref().map(OwnedFd::as_fd)),
        credentials: order.identity.map(|who| Credentials::new(who.uid, who.gid, &who.groups)),
        scheduling: order.scheduling,
    };
    let spawned = child::spawn(&command(order), &inheritance);
    let (pid, pidfd, outcome) = spawned.map_err(|error| explain(order, error))?;
    let worker = Spawned { pid, pidfd, channel: ours, output: captured.map(|(pipes, _)| pipes) };
    Ok(Starting { worker, outcome })
}

/// Where a worker's words come out, and where it writes them.
fn pipes() -> io::Result<(Pipes, [OwnedFd; 2])> {
    let (stdout, out) = io::pipe()?;
    let (stderr, err) = io::pipe()?;
    let [stdout, stderr] = [stdout, stderr].map(OwnedFd::from);
    Ok((Pipes { stdout: stdout.into(), stderr: stderr.into() }, [out.into(), err.into()]))
}

fn command(order: &Order<'_>) -> Command {
    let mut command = Command::new(order.program);
    command.args(order.args);
    if let Some(directory) = order.directory {
        command.current_dir(directory);
    }
    for name in FOR_US_ALONE {
        command.env_remove(name);
    }
    let (slot, generation, channel) = (order.slot.to_string(), order.generation.to_string(), CHANNEL_FD.to_string());
    command
        .env("WORKER_ID", &slot)
        .env("NODE_WORKER_ID", &slot)
        .env("LLB_SLOT", &slot)
        .env("LLB_WORKER", order.number.to_string())
        .env("LLB_GENERATION", generation)
        .env("LLB_FD", &channel)
        .env("GODEBUG", plain_tcp(std::env::var("GODEBUG").ok()));
    // With these, Node's process.send() writes to the channel. llb may have some of its own, of a Node that runs it.
    for (name, value) in [("NODE_CHANNEL_FD", channel.as_str()), ("NODE_CHANNEL_SERIALIZATION_MODE", "json")] {
        match node::runs_node(order) {
            true => command.env(name, value),
            false => command.env_remove(name),
        };
    }
    if let Some(address) = order.notify {
        command.env("NOTIFY_SOCKET", address);
    }
    let login = order.identity.and_then(|identity| identity.login.as_ref());
    for (name, value) in login.iter().flat_map(|login| login.variables()) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Go (since 1.24) listens by Multipath TCP unless this setting says otherwise. The kernel takes no such listener
/// into a `REUSEPORT_SOCKARRAY`, so it could not be steered; by plain TCP it can. A setting of the user's own stays.
fn plain_tcp(godebug: Option<String>) -> String {
    const SETTING: &str = "multipathtcp=";
    match godebug {
        Some(own) if own.split(',').any(|setting| setting.starts_with(SETTING)) => own,
        Some(own) if !own.is_empty() => format!("{own},{SETTING}0"),
        _ => format!("{SETTING}0"),
    }
}

#[cfg(all(test, feature = "tests-as-root"))]
mod tests;
