//! The messages that reach the engine from the tasks around it.

use std::{collections::BTreeMap, ffi::OsString, io, os::fd::OwnedFd, process::ExitStatus};

use nix::unistd::Pid;
use tokio::sync::{broadcast, oneshot};

use super::{
    core::{ExitRecord, HeldPort, Outsider},
    requests::{Begun, Queues, Seating, Target},
};
use crate::{
    fleet::{Command, Refusal, Unreachable, closing::DrainLook},
    kernel::Limit,
    model::{Slot, WorkerId},
    observe::{event::Event, status::Status},
    report::{Fault, Report},
    sys::{child::ChildError, procnet::Datagrams},
};

/// Something has happened outside.
#[derive(Debug)]
pub(super) enum Message {
    /// A worker's program could not be run.
    NotStarted { id: WorkerId, error: ChildError },
    /// What other fleets listen on has been looked up.
    Others { ports: BTreeMap<u32, String> },
    /// A worker has written on its report channel.
    Reported {
        id: WorkerId,
        reports: Vec<Report>,
        /// Kinds of faults that it has made for the first time.
        faults: Vec<Fault>,
        /// Messages of its program's own.
        messages: Vec<String>,
    },
    /// A worker has closed its report channel.
    HungUp { id: WorkerId },
    /// A worker's first process has exited; `tail` is the end of its output, if llb captured it. How it has ended is
    /// known of llb's own children.
    Exited { id: WorkerId, status: Option<ExitStatus>, tail: Vec<String> },
    /// A worker has exited, and why is known as far as it can be: its port may be held.
    Explained { record: ExitRecord, held: Option<HeldPort> },
    /// Somebody has said by sd_notify(3) that it is ready; `cgroup` is the name of the worker's cgroup that it is in.
    SaidReady { pid: Pid, cgroup: Option<OsString> },
    /// Processes of a worker that have left its cgroup.
    Outside { id: WorkerId, outside: Vec<Outsider> },
    /// A worker has been seen to accept connections at the listener of this cookie.
    Accepts { id: WorkerId, cookie: u64 },
    /// A worker that starts does not accept connections at the listener of this cookie, and whether some wait there.
    Queues { id: WorkerId, cookie: u64, waiting: bool },
    /// A worker was asked whether it is ready: what it was asked and answers, or why it is not.
    Checked { id: WorkerId, answer: Result<String, String> },
    /// How much memory workers take, bytes; none for one that has ended.
    Memory { resident: Vec<(WorkerId, Option<u64>)> },
    /// The queues of UDP sockets.
    Datagrams { found: Vec<Datagrams> },
    /// What a worker that drains still holds; none if it could not be looked at.
    Looked { id: WorkerId, look: Option<DrainLook> },
    /// An operator wants something.
    Command { command: Command, reply: oneshot::Sender<Result<Begun, Refusal>> },
    /// Somebody wants to know what has come to pass, and what will.
    Follow { reply: oneshot::Sender<(Vec<Event>, broadcast::Receiver<Event>)> },
    /// Somebody wants to connect to one worker.
    Reach { slot: Slot, port: Option<Limit>, reply: oneshot::Sender<Result<Target, Unreachable>> },
    /// It is to be found by the selector, though its listener has left its group.
    Admit { cookie: u64, listener: OwnedFd, reply: oneshot::Sender<io::Result<()>> },
    /// Somebody asks who sits where, and where these groups are.
    Seating { groups: Vec<u32>, reply: oneshot::Sender<Seating> },
    /// Somebody asks for the status, and for where to look for what it lacks.
    Ask { reply: oneshot::Sender<(Status, Vec<Queues>)> },
}
