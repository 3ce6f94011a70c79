//! Where messages come from: each of these has a thread of its own, which ends when nobody takes its messages any more.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{self, Event};

use super::{keys::Key, view::Message};
use crate::control::{self, Client, Done, Failed, FailureKind, Reply, Request};

/// From one look at the fleet to the next, and from one attempt to follow its events to the next.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Input {
    Message(Message),
    /// We are asked to end.
    Signal(Signal),
    /// The terminal is gone.
    Lost(io::Error),
}

impl From<Message> for Input {
    fn from(message: Message) -> Self {
        Input::Message(message)
    }
}

/// Keys, and changes of the terminal's size.
pub(super) fn keys(to: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(event)) => Key::of(event).map(|key| Message::Key(key).into()),
            Ok(Event::Resize(..)) => Some(Message::Resized.into()),
            Ok(_) => None,
            Err(error) => Some(Input::Lost(error)),
        };
        let is_lost = matches!(input, Some(Input::Lost(_)));
        if input.is_some_and(|input| to.send(input).is_err()) || is_lost {
            return;
        }
    }
}

/// Signals that are blocked in all threads.
pub(super) fn signals(set: &SigSet, to: &Sender<Input>) {
    if let Ok(signal) = set.wait() {
        let _ = to.send(Input::Signal(signal));
    }
}

/// Asks a fleet every second, and which fleets there are; `others` says when it is to be another one.
pub(super) fn looks(runtime_dir: &Path, mut name: String, others: &Receiver<String>, to: &Sender<Input>) {
    loop {
        let looked = Client::new(runtime_dir, &name).status().map_err(|error| error.to_string());
        let looked = Message::Looked { fleet: name.clone(), looked: Box::new(looked) };
        let fleets = Message::Fleets(control::names(runtime_dir).unwrap_or_default());
        if to.send(fleets.into()).and_then(|()| to.send(looked.into())).is_err() {
            return;
        }
        match others.recv_timeout(LOOK_EVERY) {
            // The latest wish counts.
            Ok(other) => name = others.try_iter().last().unwrap_or(other),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Follows the events of a fleet, of whichever master it has.
pub(super) fn events(runtime_dir: &Path, name: &str, to: &Sender<Input>) {
    loop {
        // The looks show why there are none.
        let events = Client::new(runtime_dir, name).events(true).into_iter().flatten();
        for told in events.map_while(Result::ok) {
            if to.send(Message::Told { fleet: name.to_owned(), told }.into()).is_err() {
                return;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Has a command carried out, however long that takes.
pub(super) fn command(runtime_dir: &PathBuf, name: &str, verb: Request, to: &Sender<Input>) {
    let said = match Client::new(runtime_dir, name).command(verb) {
        Ok(Reply::Done(done)) => done_text(&done),
        Ok(Reply::Failed(Failed { error, failure })) => {
            let how = match failure {
                Some(FailureKind::Refused) => "refused",
                Some(FailureKind::RolledBack) => "rolled back",
                Some(FailureKind::Failed) | None => "failed",
            };
            format!("{how}: {error}")
        }
        Err(error) => error.to_string(),
    };
    let _ = to.send(Message::Ended(said).into());
}

fn done_text(done: &Done) -> String {
    match *done {
        Done { generation: Some(generation), .. } => format!("generation {generation} serves"),
        Done { slot: Some(slot), pid: Some(pid), .. } => format!("slot {slot} is served by pid {pid}"),
        Done { slot: Some(slot), .. } => format!("slot {slot} is drained"),
        Done { .. } => "done".into(),
    }
}
