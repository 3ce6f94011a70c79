//! A process that is born in a cgroup. To enter one later the kernel waits until no process is being made on any CPU, 10 ms and
//! more, in which nobody else can make one either (`cgroup_threadgroup_rwsem`).
#![expect(unsafe_code, reason = "a child that begins where its parent is has no safe form")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::{errno::Errno, libc, unistd::Pid};

use super::pidfd::PidFd;

/// The child begins in the cgroup of `clone_args::cgroup` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// `struct clone_args` (linux/sched.h, of 5.7); what is 0 is not asked for.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// On which side of a clone this is.
pub(super) enum Side {
    /// With the child.
    Parent(Pid, PidFd),
    /// It is the child, in the cgroup or not.
    Child {
        /// Otherwise it has to enter.
        inside: bool,
    },
}

/// Clones this process into a cgroup, whose directory this is, or where the kernel has no clone3(2), or a container forbids it, beside
/// it. `flags` are `CLONE_FILES` or none: the child has memory of its own.
///
/// As another thread may hold a lock at this moment the child makes system calls only, allocates nothing, and ends by exec or
/// `_exit`. libc does not know of it: calls of its own for the threads of a process (setuid and its like) would wait for threads that the
/// child does not have.
///
/// # Errors
/// Those of clone(2).
pub(super) fn clone_into(cgroup: BorrowedFd<'_>, flags: libc::c_int) -> nix::Result<Side> {
    let mut pidfd: RawFd = -1;
    let flags = flags | libc::CLONE_PIDFD;
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP | flags as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments, and what they point to, live until the call returns. Without CLONE_VM the child has memory of its own.
    let mut child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    let inside = child >= 0;
    if !inside {
        // SAFETY: as above; no stack means a copy of ours, the third argument is where the pidfd goes, and the other ones are for
        // flags that are not set.
        child =
            unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0_usize, &raw mut pidfd, 0_usize, 0_usize) };
    }
    match Errno::result(child)? {
        0 => Ok(Side::Child { inside }),
        // SAFETY: the kernel has just made the descriptor for us, and nobody else knows of it.
        child => Ok(Side::Parent(Pid::from_raw(child as libc::pid_t), unsafe { OwnedFd::from_raw_fd(pidfd) }.into())),
    }
}

/// Moves this process, which has one thread, into a cgroup. Async-signal-safe.
pub(super) fn enter(cgroup: RawFd) -> nix::Result<()> {
    // To cgroup.procs, 0 is whoever writes it.
    let whoever_writes = b"0";
    // SAFETY: the pointers are to bytes that are there for good; the descriptor is our own, and used until it is closed.
    unsafe {
        let procs = libc::openat(cgroup, c"cgroup.procs".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        Errno::result(procs)?;
        let written = libc::write(procs, whoever_writes.as_ptr().cast(), whoever_writes.len());
        let entered = Errno::result(written).map(drop);
        libc::close(procs);
        entered
    }
}
