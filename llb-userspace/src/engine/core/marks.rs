//! What is noted of a running worker by those who start it, drain it and end it.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    fleet::{
        CloseScope,
        closing::{DrainLook, DrainWatch},
    },
    model::Instant,
    sys::{pidfd::PidFd, procfs::Process},
};

/// How a worker that starts was asked whether it is ready.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct ReadyCheck {
    pub began: Option<Instant>,
    /// What was said to the last question.
    pub said: Option<String>,
}

/// A port, and the process that holds it against a worker.
#[derive(Clone, Debug)]
pub(in crate::engine) struct HeldPort {
    pub port: u16,
    pub holder: Process,
}

/// What is known of a worker that drains.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Drain {
    /// When to look next; none while a look is under way.
    pub next: Option<Instant>,
    pub begun: Option<Instant>,
    /// Which connections are to be closed.
    pub scope: Option<CloseScope>,
    pub seen: Option<DrainLook>,
    pub watch: Arc<Mutex<DrainWatch>>,
}

/// What is known of the end of a worker's processes.
#[derive(Debug)]
pub(in crate::engine) struct End {
    pub first: PidFd,
    /// Those that have left the worker's cgroup.
    pub outside: Vec<Outsider>,
    /// Whether its first process has exited, and the rest is waited for.
    pub first_gone: bool,
    /// Tells the task that waits for the rest that it has been killed.
    pub killed: Rc<Cell<bool>>,
}

/// A process of a worker that is not in the worker's cgroup.
#[derive(Debug)]
pub(in crate::engine) struct Outsider {
    pub pid: Pid,
    pub process: PidFd,
    /// Who it is and where.
    pub whereabouts: String,
}

impl End {
    pub(super) fn of(first: PidFd) -> Self {
        End { first, outside: Vec::new(), first_gone: false, killed: Rc::default() }
    }

    /// The processes that have left the cgroup.
    pub(in crate::engine) fn outside(&self) -> impl Iterator<Item = Pid> {
        self.outside.iter().map(|outsider| outsider.pid)
    }

    /// Signals those that have left the cgroup.
    pub(in crate::engine) fn signal_outside(&self, signal: Signal) {
        for outsider in &self.outside {
            signal_to(&outsider.process, signal);
        }
    }
}

/// One that has just exited is what was wanted. A stopped one must run to end in order.
pub(in crate::engine) fn signal_to(process: &PidFd, signal: Signal) {
    let _ = process.signal(signal);
    let _ = process.signal(Signal::SIGCONT);
}
