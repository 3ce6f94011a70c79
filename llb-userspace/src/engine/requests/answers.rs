//! What the control socket answers. Each asker has a task of its own here; the engine answers each message at once, and
//! waits for none of them.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::{
        Semaphore,
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    task::spawn_blocking,
};

use super::{
    ask::{ask, refused},
    choices,
    completion::Completion,
    connect::{Reached, Reacher},
    queues,
};
use crate::{
    control::{AnswerWriter, Done, Reply, Request, follow},
    engine::{
        core::{add_usage, usage},
        inbox::Message,
    },
    fleet::{Canary, Command, Granted, Kind, Style},
    kernel::Limit,
    model::Slot,
    observe::{event::Event, status::Status},
    sys::clock::now,
};

/// How many workers more a rolling reload may have than slots, unless the command says otherwise.
const MAX_SURGE: u32 = 1;

/// A command that is granted, and what comes of it.
#[derive(Debug)]
pub(in crate::engine) struct Begun {
    pub granted: Granted,
    /// The number of the last event before it, and of the last one that it made at once.
    pub before: u64,
    pub after: u64,
    /// All events since before it.
    pub coming: Receiver<Event>,
}

/// How long looking for accept queues may take, so that the status comes in any case.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Threads that look for accept queues: many may ask for the status at once.
const LOOKERS: usize = 2;

/// Their places.
pub(in crate::engine) type Lookers = Rc<Semaphore>;

pub(in crate::engine) fn lookers() -> Lookers {
    Rc::new(Semaphore::new(LOOKERS))
}

/// What the control socket answers.
pub(in crate::engine) fn answers(
    inbox: mpsc::Sender<Message>,
    lookers: Lookers,
    reacher: Reacher,
    asking: choices::Asking,
) -> impl AsyncFn(Request, &mut AnswerWriter<'_>) -> io::Result<()> + Clone + 'static {
    async move |request: Request, lines: &mut AnswerWriter<'_>| {
        answer(&inbox, &lookers, &reacher, &asking, request, lines).await
    }
}

/// The status with all that there is to know.
pub(in crate::engine) async fn whole_status(inbox: &mpsc::Sender<Message>, lookers: &Semaphore) -> io::Result<Status> {
    let deadline = now().after(LOOK_WITHIN);
    let _looker = lookers.acquire().await;
    let (mut status, queues) = ask(inbox, |reply| Message::Ask { reply }).await?;
    let look = spawn_blocking(move || {
        let cgroups: Vec<PathBuf> = queues.iter().map(|queues| queues.cgroup.clone()).collect();
        (usage(&cgroups, deadline), queues::lengths(&queues, deadline))
    });
    let (usage, lengths) = look.await.unwrap_or_default();
    add_usage(&mut status, &usage);
    for (worker, length) in status.workers.iter_mut().zip(lengths) {
        worker.queued = length;
    }
    Ok(status)
}

async fn answer(
    inbox: &mpsc::Sender<Message>,
    lookers: &Semaphore,
    reacher: &Reacher,
    asking: &choices::Asking,
    request: Request,
    lines: &mut AnswerWriter<'_>,
) -> io::Result<()> {
    let command = match request {
        Request::Status {} => return lines.write(&whole_status(inbox, lookers).await?).await,
        Request::Events { follow: on } => {
            let (past, coming) = ask(inbox, |reply| Message::Follow { reply }).await?;
            let is_last = |event: &Event| event.event == Kind::Down.name();
            return follow(lines, past, on.then_some(coming), is_last).await;
        }
        Request::Reload { rolling: false, max_surge: Some(_), .. } => {
            return lines.write(&refused("max_surge is for a rolling reload only")).await;
        }
        Request::Reload { canary: Some(_), watch_ms: None, .. }
        | Request::Reload { canary: None, watch_ms: Some(_), .. } => {
            return lines.write(&refused("canary and watch_ms go together")).await;
        }
        Request::Reload { rolling, max_surge, canary, watch_ms } => {
            let style = match rolling {
                false => Style::AtOnce,
                true => Style::Rolling { max_surge: max_surge.unwrap_or(MAX_SURGE) },
            };
            match canary.zip(watch_ms) {
                Some((slots, ms)) => Command::Try(style, Canary { slots, watch: Duration::from_millis(ms) }),
                None => Command::Reload(style),
            }
        }
        Request::Scale { workers } => Command::Scale { workers },
        Request::Drain { slot } => Command::Drain { slot: Slot(slot) },
        Request::Restart { slot } => Command::Restart { slot: Slot(slot) },
        Request::Reach { slot, port, addr } => {
            let port = port.map(|port| Limit { addr, port });
            let Reached { stream, entry: _entry } = match reacher.connect(Slot(slot), port).await {
                Ok(reached) => reached,
                Err(failed) => return lines.write(&failed).await,
            };
            lines.hand_over(&Done { ok: true, slot: Some(slot), ..Done::default() }, stream).await?;
            // It is entered as long as the asker stays.
            return std::future::pending().await;
        }
        Request::Why { for_ms } => {
            return choices::answer(inbox, asking, Duration::from_millis(for_ms), lines).await;
        }
        Request::Stop {} => Command::Stop,
    };
    let begun = match ask(inbox, |reply| Message::Command { command, reply }).await? {
        Ok(begun) => begun,
        Err(refusal) => return lines.write(&refused(&refusal.to_string())).await,
    };
    if command == Command::Stop {
        lines.write(&Done { ok: true, ..Done::default() }).await?;
        drop(begun);
        // The connection closes with llb.
        return std::future::pending().await;
    }
    let completion = Completion::of(command, begun.granted, &status(inbox).await?);
    lines.write(&reply_to(inbox, completion, begun).await?).await
}

async fn status(inbox: &mpsc::Sender<Message>) -> io::Result<Status> {
    let (status, _) = ask(inbox, |reply| Message::Ask { reply }).await?;
    Ok(status)
}

/// Follows the events until they say how it went.
async fn reply_to(inbox: &mpsc::Sender<Message>, mut completion: Completion, begun: Begun) -> io::Result<Reply> {
    let Begun { before, after, mut coming, .. } = begun;
    // The state just after a change of slots shows all that it has done at once. Events show the rest.
    let mut seen = if matches!(completion, Completion::Scale { .. }) { after } else { before };
    if let Some(reply) = completion.at_once() {
        return Ok(reply);
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
        let known = seen;
        for event in events.into_iter().filter(|event| event.seq > known) {
            seen = event.seq;
            if let Some(reply) = completion.see(&event) {
                return Ok(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        runtime::Builder,
        sync::broadcast,
        task::{LocalSet, spawn_local},
    };

    use super::*;
    use crate::{
        control::{Failed, FailureKind},
        model::Generation,
    };

    fn event(seq: u64, kind: Kind) -> Event {
        let event = kind.name().to_owned();
        Event { seq, at_ms: 0, event, slot: None, pid: None, generation: 2, cause: "a cause".into() }
    }

    /// An engine whose journal has these events, after 10 others; a follower may be behind by one.
    fn reply_after(events: &[Kind]) -> io::Result<Reply> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (followers, coming) = broadcast::channel(1);
            let journal: Vec<Event> = (11..).zip(events).map(|(seq, kind)| event(seq, *kind)).collect();
            for event in &journal {
                followers.send(event.clone()).unwrap();
            }
            let (inbox, mut engine) = mpsc::channel(1);
            spawn_local(async move {
                while let Some(message) = engine.recv().await {
                    let Message::Follow { reply } = message else { panic!("{message:?}") };
                    // Earlier events are in it, too, and say nothing of the reload.
                    let past = [event(10, Kind::RolledBack)].into_iter().chain(journal.clone()).collect();
                    reply.send((past, followers.subscribe())).unwrap();
                }
            });
            let begun = Begun { granted: Granted::Reloading(Generation(2)), before: 10, after: 10, coming };
            reply_to(&inbox, Completion::Reload { generation: 2 }, begun).await
        })
    }

    #[test]
    fn an_event_that_was_missed_is_found_in_the_journal() {
        let done = Reply::Done(Done { ok: true, generation: Some(2), ..Done::default() });
        assert_eq!(reply_after(&[Kind::Reloaded]).unwrap(), done);
        assert_eq!(reply_after(&[Kind::Ready, Kind::Reloaded, Kind::Ready, Kind::Exited]).unwrap(), done);
        let rolled_back = reply_after(&[Kind::Ready, Kind::RolledBack, Kind::Exited, Kind::Exited]).unwrap();
        let Reply::Failed(Failed { failure, .. }) = rolled_back else { panic!("{rolled_back:?}") };
        assert_eq!(failure, Some(FailureKind::RolledBack));
    }
}
