//! Looks at the connections of a worker that is no longer chosen: what its clients still have with it. `close` ends the
//! connections that nobody needs.
//!
//! A connection is closed from the worker's side, as servers do with one that they have kept alive long enough: the worker
//! reads the end of its stream, as if the client had closed, and closes too. Some programs drop a request that they
//! have when its client seems to have gone, so this is never done to a connection that holds one, or an answer that
//! has begun.
//!
//! To look at all of thousands of connections takes milliseconds, so it is done seldom. Those that have moved lately are
//! looked at often, as their pauses are short, and those that are to be closed once more just before.

mod close;
mod held;

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};

use self::held::{HeldConnection, copy};
pub use super::course::QUIET;
use super::{course::Course, effect::CloseScope, shutdown, worker::Holding};
use crate::{
    model::Instant,
    sys::{
        clock,
        connection::{Traffic, traffic},
        deaf::NoBytes,
        pidfd::PidFd,
        procfs, socket,
    },
};

/// A look at everything is followed by so many times its own duration without another one, and by so much more as workers are looked
/// at at the same time: all take 2.5% of a core.
const REST_FACTOR: u64 = 40;

/// How long connections that have moved lately are looked at in one go.
const GO: Duration = Duration::from_millis(40);

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLook {
    /// What the worker's clients still have with it.
    pub holds: Holding,
    /// Whether nobody waits in its queue, and every client that has just come has sent something.
    pub settled: bool,
    /// Whether a process of it that listens has a shutdown of its own. A shell or npm around the server does not count.
    pub ends_itself: bool,
}

/// The worker to look at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The worker's processes.
    pub pids: Vec<Pid>,
    /// The ports whose connections are meant.
    pub ports: Vec<u16>,
    /// The signal to end.
    pub signal: Signal,
    /// Whether an operator has chosen it.
    pub chosen: bool,
    /// How many workers are looked at at this time.
    pub looked_at: usize,
}

/// What is remembered of a worker between looks.
#[derive(Debug, Default)]
pub struct DrainWatch {
    held: HashMap<u64, HeldConnection>,
    /// When to look at everything again.
    due: Instant,
    waiting: bool,
    ends_itself: bool,
    most: usize,
    closed: usize,
}

impl DrainWatch {
    /// Looks at the worker's connections, and closes those that `scope` names. `is_at_rest` says of one whether it holds no
    /// request, if that is known; `filter` keeps requests out of those that are closed. Takes [`GO`] where there is something to close, and else as long as it takes.
    ///
    /// # Errors
    /// If a process cannot be looked into.
    pub fn look(
        &mut self,
        subject: &Subject,
        is_at_rest: impl Fn(BorrowedFd<'_>) -> Option<bool>,
        filter: Option<&NoBytes>,
        scope: Option<CloseScope>,
    ) -> io::Result<DrainLook> {
        let begun = clock::now();
        if begun >= self.due {
            self.look_at_all(subject, &is_at_rest, scope, begun)?;
            let took = clock::now().since(begun);
            self.due = clock::now().after(Duration::from_nanos(took * REST_FACTOR * subject.looked_at as u64));
        }
        if let Some(scope) = scope {
            self.close_idle(&is_at_rest, filter, scope, usize::MAX, |held| held.idle && !held.lately)?;
            self.close_pausing(&is_at_rest, filter, scope, begun.after(GO))?;
        }
        let open = self.held.values().map(|held| held.holding).max().unwrap_or(Holding::Nothing);
        Ok(DrainLook {
            holds: if self.waiting { Holding::Requests } else { open },
            settled: !self.waiting && !self.held.values().any(|held| held.fresh),
            ends_itself: self.ends_itself,
        })
    }

    fn look_at_all(
        &mut self,
        subject: &Subject,
        is_at_rest: &impl Fn(BorrowedFd<'_>) -> Option<bool>,
        scope: Option<CloseScope>,
        now: Instant,
    ) -> io::Result<()> {
        (self.waiting, self.ends_itself) = (false, false);
        for &pid in &subject.pids {
            match self.look_into(pid, subject, is_at_rest, scope, now) {
                Err(error) if procfs::has_ended(&error) => {}
                looked => looked?,
            }
        }
        self.held.retain(|_, held| held.seen == now);
        self.most = self.most.max(self.held.len());
        Ok(())
    }

    fn look_into(
        &mut self,
        pid: Pid,
        subject: &Subject,
        is_at_rest: &impl Fn(BorrowedFd<'_>) -> Option<bool>,
        scope: Option<CloseScope>,
        now: Instant,
    ) -> io::Result<()> {
        let process = PidFd::open(pid)?;
        for candidate in procfs::socket_fds(pid)? {
            let Some(copy) = copy(&process, candidate.fd)? else { continue };
            // What has been a connection of theirs is one.
            let known = self.held.contains_key(&candidate.inode);
            let ours =
                || socket::local_addr(&copy).is_ok_and(|at| at.is_some_and(|at| subject.ports.contains(&at.port())));
            if !known && !ours() {
                continue;
            }
            if !known && socket::is_listening(&copy).unwrap_or(false) {
                self.waiting |= socket::accept_queue(&copy).is_ok_and(|queue| queue.length > 0);
                self.ends_itself |= own_shutdown(subject, pid);
            } else if let Ok(traffic @ Traffic { open: true, .. }) = traffic(&copy) {
                let held = self.held.entry(candidate.inode).or_insert(HeldConnection {
                    pid,
                    fd: candidate.fd,
                    course: Course::new(traffic, now),
                    holding: Holding::Requests,
                    fresh: false,
                    lately: true,
                    idle: false,
                    closed: false,
                    seen: now,
                });
                (held.pid, held.fd, held.seen) = (pid, candidate.fd, now);
                held.see(traffic, is_at_rest(copy.as_fd()), scope, now);
            }
        }
        Ok(())
    }
}

fn own_shutdown(subject: &Subject, pid: Pid) -> bool {
    // One that has ended, or may not be looked into, is treated like one that does not catch it.
    shutdown::has_own(pid, subject.signal, subject.chosen).unwrap_or(false)
}

#[cfg(test)]
mod tests;
