//! What the control socket answers. Each asker has a task of its own here; the engine answers each message at once, and
//! waits for none of them.

use std::io::{self, ErrorKind};

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    mpsc, oneshot,
};

use super::{awaited::Awaited, messages::Message};
use crate::{
    control::{Done, Failed, FailureKind, Lines, Outcome, Request, follow},
    fleet::{Command, Granted, Refusal, Style},
    model::Slot,
    observe::{event::Event, status::Status},
};

/// How many workers more a rolling reload may have than slots, unless it is told otherwise.
pub(super) const MAX_SURGE: u32 = 1;

/// A command that is granted, and what comes of it.
#[derive(Debug)]
pub(super) struct Begun {
    pub granted: Granted,
    /// The number of the last event before it, and of the last one that it made at once.
    pub before: u64,
    pub after: u64,
    /// All events since before it.
    pub coming: Receiver<Event>,
}

/// Answers one request.
pub(super) async fn answer(inbox: &mpsc::Sender<Message>, request: Request, lines: &mut Lines<'_>) -> io::Result<()> {
    let command = match request {
        Request::Status {} => return lines.write(&status(inbox).await?).await,
        Request::Events { follow: on } => {
            let (past, coming) = ask(inbox, |reply| Message::Follow { reply }).await?;
            return follow(lines, past, on.then_some(coming)).await;
        }
        Request::Reload { rolling: false, max_surge: Some(_) } => {
            return lines.write(&refused("max_surge is for a rolling reload only")).await;
        }
        Request::Reload { rolling: true, max_surge: Some(0) } => {
            return lines.write(&refused("without one worker more than slots none can be replaced: max_surge is 1 or more")).await;
        }
        Request::Reload { rolling: false, max_surge: None } => Command::Reload(Style::AtOnce),
        Request::Reload { rolling: true, max_surge } => {
            Command::Reload(Style::Rolling { max_surge: max_surge.unwrap_or(MAX_SURGE) })
        }
        Request::Scale { workers } => Command::Scale { workers },
        Request::Drain { slot } => Command::Drain { slot: Slot(slot) },
        Request::Restart { slot } => Command::Restart { slot: Slot(slot) },
        Request::Stop {} => Command::Stop,
    };
    let begun: Result<Begun, Refusal> = ask(inbox, |reply| Message::Command { command, reply }).await?;
    let outcome = match begun {
        Err(refusal) => refused(&refusal.to_string()),
        Ok(_) if command == Command::Stop => {
            lines.write(&Done { ok: true, ..Done::default() }).await?;
            // The connection closes with llb.
            return std::future::pending().await;
        }
        Ok(begun) => {
            let awaited = Awaited::of(command, begun.granted, &status(inbox).await?);
            outcome_of(inbox, awaited, begun).await?
        }
    };
    lines.write(&outcome).await
}

fn refused(why: &str) -> Outcome {
    Outcome::Failed(Failed { error: why.to_owned(), failure: Some(FailureKind::Refused) })
}

async fn status(inbox: &mpsc::Sender<Message>) -> io::Result<Status> {
    ask(inbox, |reply| Message::Ask { reply }).await
}

/// Follows the events until they say how it went.
async fn outcome_of(inbox: &mpsc::Sender<Message>, mut awaited: Awaited, begun: Begun) -> io::Result<Outcome> {
    let Begun { before, after, mut coming, .. } = begun;
    // The state just after a change of slots tells all that it has made at once; of the others the events tell.
    let mut seen = if matches!(awaited, Awaited::Scale { .. }) { after } else { before };
    if let Some(outcome) = awaited.at_once() {
        return Ok(outcome);
    }
    loop {
        let events = match coming.recv().await {
            Ok(event) => vec![event],
            // The engine keeps more of them than wait for a follower.
            Err(RecvError::Lagged(_)) => {
                let (past, anew) = ask(inbox, |reply| Message::Follow { reply }).await?;
                coming = anew;
                past
            }
            Err(RecvError::Closed) => return Err(ErrorKind::BrokenPipe.into()),
        };
        for event in events.into_iter().filter(|event| event.seq > seen) {
            seen = event.seq;
            if let Some(outcome) = awaited.see(&event) {
                return Ok(outcome);
            }
        }
    }
}

/// Asks the engine; without an answer it has ended.
async fn ask<T>(inbox: &mpsc::Sender<Message>, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> io::Result<T> {
    let (reply, answer) = oneshot::channel();
    inbox.send(message(reply)).await.map_err(|_| ErrorKind::BrokenPipe)?;
    answer.await.map_err(|_| ErrorKind::BrokenPipe.into())
}
