//! Answers to an asker, line by line.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{UnixStream, unix::WriteHalf},
    sync::broadcast::{Receiver, error::RecvError},
};

/// Where the answer to one request is written. An asker that does not read holds up nobody else.
#[derive(Debug)]
pub(crate) struct AnswerWriter<'a>(WriteHalf<'a>);

impl<'a> AnswerWriter<'a> {
    pub(super) fn new(write: WriteHalf<'a>) -> Self {
        AnswerWriter(write)
    }

    /// Writes one line.
    ///
    /// # Errors
    /// If nobody is there to read it any more.
    pub(crate) async fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }

    /// Writes one line, and hands over a descriptor with it.
    ///
    /// # Errors
    /// If nobody is there to read it any more.
    pub(crate) async fn hand_over(&mut self, line: &impl Serialize, what: impl AsFd) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let stream: &UnixStream = self.0.as_ref();
        let fds = [what.as_fd().as_raw_fd()];
        let sent = stream.async_io(Interest::WRITABLE, || {
            let (data, control) = ([IoSlice::new(&line)], [ControlMessage::ScmRights(&fds)]);
            Ok(sendmsg::<()>(stream.as_raw_fd(), &data, &control, MsgFlags::MSG_NOSIGNAL, None)?)
        });
        let sent = sent.await?;
        self.0.write_all(&line[sent..]).await
    }
}

/// In the place of events that a follower was too slow for. An example is [there](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many.
    pub missed: u64,
}

/// Writes what was, and then what comes, up to the event that is the last of all. What comes waits for nobody: a follower
/// that does not keep up is told how much it has missed.
///
/// # Errors
/// If nobody is there to read it any more.
pub(crate) async fn follow<T: Serialize + Clone>(
    lines: &mut AnswerWriter<'_>,
    past: Vec<T>,
    mut coming: Option<Receiver<T>>,
    is_last: impl Fn(&T) -> bool,
) -> io::Result<()> {
    for event in past {
        lines.write(&event).await?;
        if is_last(&event) {
            return Ok(());
        }
    }
    while let Some(events) = &mut coming {
        match events.recv().await {
            Ok(event) => {
                lines.write(&event).await?;
                if is_last(&event) {
                    break;
                }
            }
            Err(RecvError::Lagged(missed)) => lines.write(&Missed { missed }).await?,
            Err(RecvError::Closed) => break,
        }
    }
    Ok(())
}
