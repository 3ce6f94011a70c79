//! The moments between clone and exec: a child becomes a worker.
#![expect(unsafe_code, reason = "code between clone and exec has no safe form")]

mod credentials;
mod error;
mod outcome;
mod program;
mod terminal;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::ExitStatusExt,
    },
    process::{Command, ExitStatus},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::signal::{SigSet, SigmaskHow},
    unistd::{Pid, geteuid, pipe2},
};

pub use self::{
    credentials::Credentials,
    error::{ChildError, Step},
    outcome::Outcome,
};
use self::{
    error::{errno_of, failed, understand},
    program::Program,
    terminal::leave_terminal,
};
use super::{
    capabilities::{self, Capabilities},
    clone::{Side, clone_into, enter},
    limits,
    pidfd::PidFd,
    signals,
};

/// The channel's number in the child. The first one after the standard three: a shell script cannot write to
/// one above 9.
pub const CHANNEL_FD: RawFd = 3;

/// What the child takes along.
#[derive(Clone, Debug)]
pub struct Inheritance<'a> {
    /// The directory of the cgroup that it is born in.
    pub cgroup: BorrowedFd<'a>,
    /// What it finds open as its standard output and standard error, if not what we have.
    pub output: Option<[BorrowedFd<'a>; 2]>,
    /// What it finds open as [`CHANNEL_FD`].
    pub channel: BorrowedFd<'a>,
    /// Who it becomes, if not who we are.
    pub credentials: Option<Credentials>,
    /// Where and how readily it runs.
    pub scheduling: Scheduling,
}

/// Where and how readily a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// On this CPU alone, if not on those of ours.
    pub cpu: Option<usize>,
    /// How much it gives way to others, if not as much as we.
    pub nice: Option<i32>,
}

/// Starts `command` in its cgroup and a process group of its own, without a terminal, with default signal dispositions, none blocked, and
/// nothing open but the standard three descriptors and the channel; its standard input is empty. Unless it is root's it holds no
/// capability, whatever llb holds; root's processes get theirs back with exec, as far as the bounding set allows.
///
/// # Errors
/// If there can be no child. Whether its program runs is told by the [`Outcome`]: on a busy machine it is milliseconds until it does.
pub fn spawn(command: &Command, inheritance: &Inheritance<'_>) -> Result<(Pid, PidFd, Outcome), ChildError> {
    let program = Program::of(command).map_err(ChildError::Start)?;
    // A copy takes the lowest number free from 3 up. So as long as it lives 3 is taken, and the pipe on which we
    // hear of a failure is not what the child replaces by the channel.
    let channel = inheritance.channel.try_clone_to_owned().map_err(ChildError::Start)?;
    let nothing = File::open("/dev/null").map_err(ChildError::Start)?;
    let start = |errno: Errno| ChildError::Start(errno.into());
    let cpus = inheritance.scheduling.cpu.map(only).transpose();
    let cpus = cpus.map_err(|errno| understand(failed(Step::Cpu, errno)))?;
    let (told, tells) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
    let becomes = Becomes { inheritance, program, nothing, channel, cpus };

    // A signal between clone and exec would run our handlers in the child, and they would tell us of it by a pipe
    // that is still shared: block them all until the child has dropped the handlers.
    let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(start)?;
    let born = match clone_into(inheritance.cgroup, 0) {
        Ok(Side::Child { inside }) => becomes.worker(inside, tells.as_raw_fd()),
        Ok(Side::Parent(pid, pidfd)) => Ok((pid, pidfd)),
        Err(errno) => Err(start(errno)),
    };
    ours.thread_set_mask().map_err(start)?;
    drop(tells);
    let (pid, pidfd) = born?;
    Ok((pid, pidfd, Outcome::of(told)))
}

/// How a child of ours has ended, if it has. Tells it once.
///
/// # Errors
/// If there is no such child, as where a program ignores SIGCHLD.
pub fn try_wait(child: Pid) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: the pointer is valid for the call.
    let ended = Errno::result(unsafe { libc::waitpid(child.as_raw(), &raw mut status, libc::WNOHANG) })?;
    Ok((ended != 0).then(|| ExitStatus::from_raw(status)))
}

/// One CPU and no other.
fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).map(|()| cpus)
}

/// What a child needs to become a worker. Async-signal-safe system calls only: nothing may be allocated, no lock taken, and none
/// of libc's calls for all threads of a process made.
struct Becomes<'a> {
    inheritance: &'a Inheritance<'a>,
    program: Program,
    nothing: File,
    channel: OwnedFd,
    cpus: Option<CpuSet>,
}

impl Becomes<'_> {
    /// Says what has failed, if anything has.
    fn worker(&self, inside: bool, tells: RawFd) -> ! {
        let error = match self.prepare(inside) {
            Ok(()) => self.program.exec().into(),
            Err(error) => error,
        };
        let number = error.raw_os_error().unwrap_or_default().to_ne_bytes();
        // SAFETY: the buffer is valid for the length given. Nothing of ours runs at this exit.
        unsafe {
            libc::write(tells, number.as_ptr().cast(), number.len());
            libc::_exit(1)
        }
    }

    fn prepare(&self, inside: bool) -> io::Result<()> {
        let Inheritance { cgroup, credentials, output, scheduling, .. } = self.inheritance;
        keep_open_as(libc::STDIN_FILENO, self.nothing.as_raw_fd())?;
        for (number, fd) in (libc::STDOUT_FILENO..).zip(output.iter().flatten()) {
            keep_open_as(number, fd.as_raw_fd())?;
        }
        self.program.enter_directory()?;
        leave_terminal().map_err(|errno| failed(Step::Terminal, errno))?;
        if !inside {
            enter(cgroup.as_raw_fd()).map_err(|errno| failed(Step::Cgroup, errno))?;
        }
        if let Some(cpus) = &self.cpus {
            sched_setaffinity(Pid::from_raw(0), cpus).map_err(|errno| failed(Step::Cpu, errno))?;
        }
        if let Some(nice) = scheduling.nice {
            // SAFETY: takes no pointers. 0 is the process that calls.
            let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
            Errno::result(set).map_err(|errno| failed(Step::Nice, errno))?;
        }
        // Exec resets the signals that are handled, but an ignored one stays ignored, and servers rely on the default.
        signals::restore_defaults();
        limits::restore_files();
        close_on_exec_from(libc::STDERR_FILENO + 1).map_err(|errno| failed(Step::Descriptors, errno))?;
        keep_open_as(CHANNEL_FD, self.channel.as_raw_fd()).map_err(|errno| failed(Step::Channel, errno))?;
        if let Some(credentials) = credentials {
            credentials.take_on_groups().map_err(|errno| failed(Step::Groups, errno))?;
            credentials.take_on_user().map_err(|errno| failed(Step::User, errno))?;
        }
        // Who changes from one user to another without having been root keeps them all otherwise.
        if !geteuid().is_root() {
            capabilities::keep(Capabilities::NONE).map_err(|error| failed(Step::Capabilities, errno_of(&error)))?;
        }
        SigSet::empty().thread_set_mask().map_err(|errno| failed(Step::Signals, errno))
    }
}

fn close_on_exec_from(first: RawFd) -> nix::Result<()> {
    // SAFETY: takes no pointers. Sets a flag, closes nothing: the pipe is needed until exec.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(done).map(drop)
}

fn keep_open_as(number: RawFd, fd: RawFd) -> nix::Result<()> {
    // SAFETY: takes no pointers; what was open as `number` is not used by this child any more, see `spawn`.
    let done = unsafe { if fd == number { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, number) } };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests;
