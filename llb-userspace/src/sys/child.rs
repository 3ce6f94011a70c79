//! The moments between fork and exec: a child becomes a worker.
#![expect(unsafe_code, reason = "code between fork and exec has no safe form")]

mod error;

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
};

use nix::{
    errno::Errno,
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::signal::{SigSet, SigmaskHow},
    unistd::{Gid, Pid, Uid, geteuid, setgroups, setpgid, setresgid, setresuid, setsid},
};

pub use self::error::{ChildError, Step};
use self::error::{errno_of, failed, understand};
use super::{
    capabilities::{self, Capabilities},
    limits, signals,
};

/// The channel's number in the child. The first one after the standard three: a shell script cannot write to
/// one above 9.
pub const CHANNEL_FD: RawFd = 3;

/// What the child takes along.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance<'a> {
    /// `cgroup.procs` of the cgroup that it enters, open for writing.
    pub cgroup_procs: BorrowedFd<'a>,
    /// What it finds open as [`CHANNEL_FD`].
    pub channel: BorrowedFd<'a>,
    /// Who it becomes, if not who we are.
    pub credentials: Option<Credentials<'a>>,
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

/// A user and groups, by their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The user.
    pub uid: Uid,
    /// The group of the files that it makes.
    pub gid: Gid,
    /// All of its groups.
    pub groups: &'a [Gid],
}

/// Starts `command` in its cgroup and a process group of its own, without a terminal, with default signal dispositions, none blocked, and
/// nothing open but the standard three descriptors and the channel. Unless it is root's it holds no capability, whatever
/// llb holds; root's processes get theirs back with exec, as far as the bounding set allows.
///
/// # Errors
/// If the child cannot be prepared, or its program not run: exec's failure comes back as this function's error.
pub fn spawn(mut command: Command, inheritance: Inheritance<'_>) -> Result<Child, ChildError> {
    // A copy takes the lowest number free from 3 up. So as long as it lives 3 is taken, and the pipe on which std
    // hears of exec's failure is not what the child replaces by the channel.
    let channel = inheritance.channel.try_clone_to_owned().map_err(ChildError::Start)?;
    let (procs_fd, channel_fd) = (inheritance.cgroup_procs.as_raw_fd(), channel.as_fd().as_raw_fd());
    let Scheduling { cpu, nice } = inheritance.scheduling;
    let cpus = cpu.map(only).transpose().map_err(|errno| understand(failed(Step::Cpu, errno)))?;
    let credentials = inheritance.credentials.map(|c| (c.uid, c.gid, c.groups.to_vec()));
    let become_worker = move || {
        let credentials = credentials.as_ref().map(|(uid, gid, groups)| Credentials { uid: *uid, gid: *gid, groups });
        become_worker(procs_fd, channel_fd, credentials, cpus.as_ref(), nice)
    };
    // SAFETY: `become_worker` only makes system calls, allocates nothing and takes no lock but those of libc's setters of
    // users and groups, which are for other threads, of which a child has none. The descriptors are open until the
    // command, which this function owns, is gone.
    unsafe { command.pre_exec(become_worker) };

    // A signal between fork and exec would run our handlers in the child, and they would tell us of it by a pipe
    // that is still shared: block them all until the child has dropped the handlers.
    let ours =
        SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(|errno| ChildError::Start(errno.into()))?;
    let child = command.spawn();
    ours.thread_set_mask().map_err(|errno| ChildError::Start(errno.into()))?;
    child.map_err(understand)
}

/// One CPU and no other.
fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).map(|()| cpus)
}

/// Runs in the child: async-signal-safe calls only.
fn become_worker(
    procs: RawFd,
    channel: RawFd,
    credentials: Option<Credentials<'_>>,
    cpus: Option<&CpuSet>,
    nice: Option<i32>,
) -> io::Result<()> {
    leave_terminal().map_err(|errno| failed(Step::Terminal, errno))?;
    enter_cgroup(procs).map_err(|errno| failed(Step::Cgroup, errno))?;
    if let Some(cpus) = cpus {
        sched_setaffinity(Pid::from_raw(0), cpus).map_err(|errno| failed(Step::Cpu, errno))?;
    }
    if let Some(nice) = nice {
        // SAFETY: takes no pointers. 0 is the process that calls.
        let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(set).map_err(|errno| failed(Step::Nice, errno))?;
    }
    // Exec resets the signals that are handled, but an ignored one stays ignored, and servers rely on the default.
    signals::restore_defaults();
    limits::restore_files();
    close_on_exec_from(libc::STDERR_FILENO + 1).map_err(|errno| failed(Step::Descriptors, errno))?;
    keep_open_as(CHANNEL_FD, channel).map_err(|errno| failed(Step::Channel, errno))?;
    if let Some(Credentials { uid, gid, groups }) = credentials {
        setgroups(groups).and_then(|()| setresgid(gid, gid, gid)).map_err(|errno| failed(Step::Groups, errno))?;
        setresuid(uid, uid, uid).map_err(|errno| failed(Step::User, errno))?;
    }
    // Who changes from one user to another without having been root keeps them all otherwise.
    if !geteuid().is_root() {
        capabilities::keep(Capabilities::NONE).map_err(|error| failed(Step::Capabilities, errno_of(&error)))?;
    }
    SigSet::empty().thread_set_mask().map_err(|errno| failed(Step::Signals, errno))
}

/// A process group of its own is out of reach of the terminal's signals. It has to give the terminal up besides, or writing
/// to it (`stty tostop`), setting it or reading from it would stop the worker, as a background job.
///
/// A session would do both, but where the kernel groups tasks by session (`kernel.sched_autogroup_enabled`) each is a
/// scheduling group of its own: that costs requests which cost nothing a seventh of their throughput.
fn leave_terminal() -> nix::Result<()> {
    // SAFETY: the path ends with a null.
    let terminal = unsafe { libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    if terminal >= 0 {
        let own = Pid::from_raw(0);
        // SAFETY: takes no pointers. Of a process that does not lead its session, as this one, it takes the terminal from
        // that process alone.
        let left = setpgid(own, own).and_then(|()| Errno::result(unsafe { libc::ioctl(terminal, libc::TIOCNOTTY) }));
        // SAFETY: it is ours, and not used any more.
        unsafe { libc::close(terminal) };
        return left.map(drop);
    }
    match Errno::last() {
        // There is none.
        Errno::ENXIO => setpgid(Pid::from_raw(0), Pid::from_raw(0)),
        // There may be one that cannot be given up: where /dev is another's, or it is just going.
        _ => setsid().map(drop),
    }
}

fn enter_cgroup(procs: RawFd) -> nix::Result<()> {
    // To cgroup.procs, 0 is whoever writes it.
    let whoever_writes = b"0";
    // SAFETY: the buffer is valid for the length given.
    let written = unsafe { libc::write(procs, whoever_writes.as_ptr().cast(), whoever_writes.len()) };
    Errno::result(written).map(drop)
}

fn close_on_exec_from(first: RawFd) -> nix::Result<()> {
    // SAFETY: takes no pointers. Sets a flag, closes nothing: std needs its pipe until exec.
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
