//! A connection that a worker holds.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    time::Duration,
};

use nix::{errno::Errno, unistd::Pid};

use crate::{
    fleet::{
        course::{Course, QUIET, SHORT},
        effect::CloseScope,
        worker::Holding,
    },
    model::Instant,
    sys::{connection::Traffic, pidfd::PidFd},
};

/// A connection that has moved within this time has moved lately.
const LATELY: Duration = Duration::from_secs(2);

/// A connection of the worker, by its inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldConnection {
    pub(super) pid: Pid,
    pub(super) fd: RawFd,
    pub(super) course: Course,
    pub(super) holding: Holding,
    pub(super) fresh: bool,
    pub(super) lately: bool,
    /// Whether it could be closed, now or as soon as that is asked for, when it was looked at last.
    pub(super) idle: bool,
    pub(super) closed: bool,
    /// Number of the look that has seen it last.
    pub(super) seen: Instant,
}

impl HeldConnection {
    pub(super) fn see(&mut self, traffic: Traffic, at_rest: Option<bool>, scope: Option<CloseScope>, now: Instant) {
        self.course.see(traffic, now);
        self.lately = traffic.quiet() < LATELY;
        self.fresh = self.course.is_fresh() && traffic.quiet() < SHORT;
        self.idle = self.course.is_idle(at_rest, scope.map_or(QUIET, |scope| scope.pause));
        self.holding = match at_rest {
            Some(false) => Holding::Requests,
            None if self.course.owes() => Holding::Requests,
            _ if self.course.is_at_leisure(at_rest) => Holding::Idle,
            _ => Holding::Streams,
        };
    }
}

/// A copy of a process's descriptor; nothing if it is closed by now, which is what is waited for.
pub(super) fn copy(process: &PidFd, fd: RawFd) -> io::Result<Option<OwnedFd>> {
    match process.get_fd(fd) {
        Err(error) if error.raw_os_error() == Some(Errno::EBADF as i32) => Ok(None),
        copy => copy.map(Some),
    }
}
