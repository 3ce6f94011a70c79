//! What reaches the engine from the tasks around it.

use std::process::ExitStatus;

use tokio::sync::{broadcast, oneshot};

use crate::{
    fleet::{Command, Granted, Holding, Refusal},
    model::WorkerId,
    observe::{event::Event, status::Status},
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
    /// What a worker that drains still holds; none if it could not be looked at.
    Looked { id: WorkerId, holds: Option<Holding> },
    /// An operator wants something.
    #[expect(dead_code, reason = "the control socket will say this")]
    Command { command: Command, reply: oneshot::Sender<Result<Granted, Refusal>> },
    /// Somebody wants to know what has come to pass, and what will.
    #[expect(dead_code, reason = "the control socket will say this")]
    Follow { reply: oneshot::Sender<(Vec<Event>, broadcast::Receiver<Event>)> },
    /// Somebody asks for the status.
    Ask { reply: oneshot::Sender<Status> },
}
