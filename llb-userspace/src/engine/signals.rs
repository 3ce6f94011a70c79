//! What signals ask for.

use std::{fs::File, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys::procfs;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGTERM, SIGINT, SIGQUIT, or the terminal that llb was started from is gone.
    Stop,
    /// SIGHUP, SIGUSR2: a new generation.
    Reload,
    /// SIGTTIN: one more worker.
    More,
    /// SIGTTOU: one less.
    Fewer,
    /// SIGUSR1: the workers are to hear of it, as those that write logs of their own do.
    PassOn,
    /// SIGCHLD: a child has ended, be it an orphan.
    Reap,
}

/// The signals that llb listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    reload: Signal,
    more: Signal,
    fewer: Signal,
    pass_on: Signal,
    child: Signal,
    /// None if llb was started to outlive its terminal (nohup).
    hangup: Option<Signal>,
    /// Whether there was a terminal at the start.
    had_terminal: bool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = procfs::ignores(SignalKind::hangup().as_raw_value())?;
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reload: signal(SignalKind::user_defined2())?,
            more: signal(SignalKind::from_raw(nix::libc::SIGTTIN))?,
            fewer: signal(SignalKind::from_raw(nix::libc::SIGTTOU))?,
            pass_on: signal(SignalKind::user_defined1())?,
            child: signal(SignalKind::child())?,
            hangup: if ignored { None } else { Some(signal(SignalKind::hangup())?) },
            had_terminal: has_terminal(),
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> SignalAction {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => SignalAction::Stop,
            _ = self.interrupt.recv() => SignalAction::Stop,
            _ = self.quit.recv() => SignalAction::Stop,
            // The end of the terminal is the end of the fleet: the workers, which have no terminal, would not hear of
            // it. Otherwise somebody has sent the signal.
            () = hangup => if self.had_terminal && !has_terminal() { SignalAction::Stop } else { SignalAction::Reload },
            _ = self.reload.recv() => SignalAction::Reload,
            _ = self.more.recv() => SignalAction::More,
            _ = self.fewer.recv() => SignalAction::Fewer,
            _ = self.pass_on.recv() => SignalAction::PassOn,
            _ = self.child.recv() => SignalAction::Reap,
        }
    }
}

/// Whether this process has a terminal that is still there.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
