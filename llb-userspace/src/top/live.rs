//! The live view: the loop that takes what comes, and shows what has become of it.

use std::{
    collections::BTreeSet,
    env,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use anyhow::{Context, bail};
use nix::sys::signal::{SigSet, Signal, raise};

use super::{
    screen::Screen,
    sources::{self, Input},
    theme::Theme,
    view::{Action, View},
};

/// What asks us to end; the terminal has to be given back first.
const ENDING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Shows the fleets below `runtime_dir`, `name` first, until somebody has seen enough.
pub(crate) fn run(runtime_dir: PathBuf, name: String) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() {
        bail!("standard output is no terminal; `llb top --once` prints one frame");
    }
    let signals: SigSet = ENDING.into_iter().collect();
    signals.thread_block().context("cannot block signals")?;
    let mut screen = Screen::enter(Theme::of(|name| env::var_os(name))).context("cannot take the terminal")?;
    let (sender, inbox) = mpsc::channel();
    let ended = Live::start(runtime_dir, name, signals, sender).and_then(|mut live| live.go_on(&mut screen, &inbox));
    drop(screen);
    if let Some(signal) = ended? {
        // The sender of the signal sees that it has ended us.
        signals.thread_unblock().and_then(|()| raise(signal)).context("cannot end by a signal")?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Live {
    view: View,
    runtime_dir: PathBuf,
    sender: Sender<Input>,
    /// Says which fleet is looked at.
    others: Sender<String>,
    /// The fleets whose events are followed.
    followed: BTreeSet<String>,
}

impl Live {
    fn start(runtime_dir: PathBuf, name: String, signals: SigSet, sender: Sender<Input>) -> anyhow::Result<Self> {
        let (others, other) = mpsc::channel();
        let mut live = Live { view: View::new(name.clone()), runtime_dir, sender, others, followed: BTreeSet::new() };
        live.spawn("signals", move |_, sender| sources::signals(&signals, sender))?;
        live.spawn("keys", |_, sender| sources::keys(sender))?;
        let first = name.clone();
        live.spawn("looks", move |runtime_dir, sender| sources::looks(runtime_dir, first, &other, sender))?;
        live.follow(name)?;
        Ok(live)
    }

    fn spawn(&self, name: &str, run: impl FnOnce(&PathBuf, &Sender<Input>) + Send + 'static) -> anyhow::Result<()> {
        let (runtime_dir, sender) = (self.runtime_dir.clone(), self.sender.clone());
        thread::Builder::new().name(name.into()).spawn(move || run(&runtime_dir, &sender)).context("no thread")?;
        Ok(())
    }

    fn follow(&mut self, name: String) -> anyhow::Result<()> {
        if self.followed.insert(name.clone()) {
            self.spawn("events", move |runtime_dir, sender| sources::events(runtime_dir, &name, sender))?;
        }
        Ok(())
    }

    /// Until it is asked to end; by a signal, if it was one.
    fn go_on(&mut self, screen: &mut Screen, inbox: &Receiver<Input>) -> anyhow::Result<Option<Signal>> {
        loop {
            screen.show(&self.view).context("cannot write to the terminal")?;
            // All that has come meanwhile is shown at once.
            let first = inbox.recv().context("nothing comes any more")?;
            for input in std::iter::once(first).chain(inbox.try_iter()) {
                let message = match input {
                    Input::Message(message) => message,
                    Input::Signal(signal) => return Ok(Some(signal)),
                    Input::Lost(error) => return Err(error).context("cannot read the terminal"),
                };
                match self.view.update(message) {
                    None => {}
                    Some(Action::Quit) => return Ok(None),
                    Some(Action::Watch(name)) => {
                        self.others.send(name.clone()).context("nobody looks any more")?;
                        self.follow(name)?;
                    }
                    Some(Action::Command { fleet, verb }) => {
                        self.spawn("command", move |runtime_dir, sender| {
                            sources::command(runtime_dir, &fleet, verb, sender);
                        })?;
                    }
                }
            }
        }
    }
}
