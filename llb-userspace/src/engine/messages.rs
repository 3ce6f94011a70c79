//! What reaches the engine from the tasks around it.

use std::{ffi::OsString, process::ExitStatus};

use nix::unistd::Pid;
use tokio::sync::oneshot;

use crate::{
    model::WorkerId,
    observe::status::Status,
    report::{Fault, Report},
};

/// Something has happened outside.
#[derive(Debug)]
pub(super) enum Message {
    /// A worker has written on its report channel.
    Said {
        id: WorkerId,
        reports: Vec<Report>,
        /// Kinds of faults that it has made for the first time.
        faults: Vec<Fault>,
    },
    /// A worker has closed its report channel.
    HungUp { id: WorkerId },
    /// A worker's first process has exited; `tail` is the end of its output, if llb captured it.
    Exited { id: WorkerId, status: ExitStatus, tail: Vec<String> },
    /// Somebody has said by sd_notify(3) that it is ready; `cgroup` is the name of the worker's cgroup that it is in.
    SaidReady { pid: Pid, cgroup: Option<OsString> },
    /// Somebody asks for the status.
    Ask { reply: oneshot::Sender<Status> },
}
