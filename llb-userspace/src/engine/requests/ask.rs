//! How the tasks beside the loop ask it.

use std::io::{self, ErrorKind};

use tokio::sync::{mpsc, oneshot};

use crate::{
    control::{Failed, FailureKind, Reply},
    engine::inbox::Message,
};

/// Asks the engine; without an answer it has ended.
pub(super) async fn ask<T>(
    inbox: &mpsc::Sender<Message>,
    message: impl FnOnce(oneshot::Sender<T>) -> Message,
) -> io::Result<T> {
    let (reply, answer) = oneshot::channel();
    inbox.send(message(reply)).await.map_err(|_| ErrorKind::BrokenPipe)?;
    answer.await.map_err(|_| ErrorKind::BrokenPipe.into())
}

/// The answer to a request for what cannot be.
pub(super) fn refused(why: &str) -> Reply {
    Reply::Failed(Failed { error: why.to_owned(), failure: Some(FailureKind::Refused) })
}
