//! What reaches the engine from the tasks around it.

use std::process::ExitStatus;

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
    /// A worker's first process has exited; `tail` is the end of its output, if llb captured it. How it has ended is
    /// known of llb's own children.
    Exited { id: WorkerId, status: Option<ExitStatus>, tail: Vec<String> },
    /// Somebody asks for the status.
    Ask { reply: oneshot::Sender<Status> },
}
