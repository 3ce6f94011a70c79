//! The end of a worker's first process.

use std::time::Duration;

use nix::unistd::Pid;
use tokio::{
    sync::mpsc::Sender,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{LOOK_EVERY, output::Tail};
use crate::{
    engine::inbox::Message,
    model::WorkerId,
    sys::{
        child::{ChildError, Outcome, try_wait},
        pidfd::PidFd,
        readable::Readable,
    },
};

/// A worker's children may hold its output open; its exit is not held up for longer than this.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(300);

/// Waits until the worker's program runs; if it does not, why, and for the worker's end.
pub(super) async fn failure_to_start(pid: Pid, mut outcome: Readable<Outcome>) -> Option<ChildError> {
    let failure = outcome.readable(Outcome::failure).await.ok().flatten()?;
    while matches!(try_wait(pid), Ok(None)) {
        sleep(LOOK_EVERY).await;
    }
    Some(failure)
}

/// Waits for the worker's end.
pub(super) async fn wait(
    id: WorkerId,
    pid: Pid,
    mut pidfd: Readable<PidFd>,
    outputs: Vec<JoinHandle<()>>,
    tail: Tail,
    inbox: Sender<Message>,
) {
    if let Err(error) = pidfd.readable(|_| ()).await {
        // It is looked at again and again instead.
        tracing::error!(worker = %id, %error, "cannot wait for a worker");
    }
    let status = loop {
        match try_wait(pid) {
            Ok(Some(status)) => break Some(status),
            // The descriptor becomes readable once, perhaps a moment before wait(2) succeeds.
            Ok(None) => sleep(LOOK_EVERY).await,
            // The program around us ignores SIGCHLD, or waits for each child itself: only that it has ended is known.
            Err(error) => {
                tracing::debug!(worker = %id, %error, "how a worker has ended cannot be told");
                break None;
            }
        }
    };
    for output in outputs {
        // What is still open after that is a child's, and its last words are not the worker's.
        let _ = timeout(OUTPUT_PATIENCE, output).await;
    }
    let tail = tail.borrow().iter().cloned().collect();
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Exited { id, status, tail }).await;
}

/// Waits for the end of a worker that is no child of ours: how it ended only its parent hears.
pub(super) async fn wait_for_other(id: WorkerId, mut pidfd: Readable<PidFd>, inbox: Sender<Message>) {
    if let Err(error) = pidfd.readable(|_| ()).await {
        // It is ended, as nobody would hear of its end.
        tracing::error!(worker = %id, %error, "cannot wait for a worker");
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Exited { id, status: None, tail: Vec::new() }).await;
}
