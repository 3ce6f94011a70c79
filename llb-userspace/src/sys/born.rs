//! Sockets that belong to another cgroup than the process that holds them.
#![expect(unsafe_code, reason = "a child that shares our descriptors has no safe form")]

use std::{
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    sys::{
        signal::{SigSet, SigmaskHow},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, Uid, pipe2},
};

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

/// Makes `count` TCP sockets of a family that belong to a cgroup, whose directory this is, and to a user: the kernel asks for both
/// when it makes a socket, and never again. The programs that are attached to that cgroup see their packets.
///
/// A child that shares our descriptors makes them there and ends. It is born in the cgroup where the kernel has
/// clone3(2): to enter one later the kernel waits until no process is being made on any CPU, 10 ms and more (`cgroup_threadgroup_rwsem`).
///
/// # Errors
/// Those of pipe(2), of clone(2), of writing to `cgroup.procs`, and of socket(2).
pub fn sockets(
    cgroup: BorrowedFd<'_>,
    family: libc::c_int,
    owner: Option<Uid>,
    count: usize,
) -> io::Result<Vec<OwnedFd>> {
    let (told, tells) = pipe2(OFlag::O_CLOEXEC)?;
    let mut made: Vec<RawFd> = vec![-1; count];
    // Our signal handlers are the child's too.
    let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let (child, is_inside) = clone_into(cgroup);
    if child == 0 {
        let entrance = (!is_inside).then_some(cgroup.as_raw_fd());
        end(make(entrance, &mut made, family, owner), &made, tells.as_raw_fd());
    }
    let waited = Errno::result(child).and_then(|child| waitpid(Pid::from_raw(child as i32), Some(WaitPidFlag::__WALL)));
    ours.thread_set_mask()?;
    drop(tells);
    let mut bytes = Vec::new();
    std::fs::File::from(told).read_to_end(&mut bytes)?;
    let numbers = bytes.chunks_exact(size_of::<RawFd>()).filter_map(|number| number.try_into().ok());
    let fds = numbers.map(RawFd::from_ne_bytes).filter(|fd| *fd >= 0);
    // SAFETY: the child has made them in the table that it shared with us, and nobody else knows of them.
    let sockets = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    match waited? {
        WaitStatus::Exited(_, 0) => Ok(sockets),
        WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        ended => Err(io::Error::other(format!("the child that makes sockets: {ended:?}"))),
    }
}

/// Clones this process, with its descriptors shared; 0 in the child. And whether the child is in the cgroup.
fn clone_into(cgroup: BorrowedFd<'_>) -> (libc::c_long, bool) {
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP | libc::CLONE_FILES as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments live until the call returns. Without CLONE_VM the child has memory of its own; as another thread may
    // hold a lock at this moment it makes system calls only.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    if child >= 0 {
        return (child, true);
    }
    // A container may forbid the call.
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: as above; no stack means a copy of ours, and the other arguments are for flags that are not set.
    (unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }, false)
}

/// Runs in the child: no allocation, no lock. Returns an error's number, or 0.
fn make(entrance: Option<RawFd>, made: &mut [RawFd], family: libc::c_int, owner: Option<Uid>) -> i32 {
    // SAFETY: the pointers are to bytes that are there for good; the others are system calls without any.
    unsafe {
        if let Some(cgroup) = entrance {
            let procs = libc::openat(cgroup, c"cgroup.procs".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            let entered = procs >= 0 && libc::write(procs, b"0".as_ptr().cast(), 1) == 1;
            let errno = Errno::last_raw();
            libc::close(procs);
            if !entered {
                return errno;
            }
        }
        if let Some(owner) = owner {
            // As that user's a socket is made, and nothing else.
            libc::syscall(libc::SYS_setfsuid, owner.as_raw());
        }
        for made in made {
            let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            *made = libc::syscall(libc::SYS_socket, family, kind, libc::IPPROTO_TCP) as RawFd;
            if *made < 0 {
                return Errno::last_raw();
            }
        }
    }
    0
}

/// The end of the child, which says what it has made.
fn end(errno: i32, made: &[RawFd], tells: RawFd) -> ! {
    // SAFETY: the descriptors are as many as are said, and a pipe has room for them. Nothing of ours runs at this exit.
    unsafe {
        libc::write(tells, made.as_ptr().cast(), size_of_val(made));
        libc::_exit(errno)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd, path::Path};

    use nix::{libc, unistd::Uid};

    use super::sockets;
    use crate::sys::socket::{cookie, owner};

    /// A directory that is no cgroup: its `cgroup.procs` is a file, so nobody enters anything.
    fn sockets_of(directory: &Path, family: libc::c_int, count: usize) -> std::io::Result<Vec<std::os::fd::OwnedFd>> {
        sockets(File::open(directory).unwrap().as_fd(), family, Some(Uid::from_raw(65_534)), count)
    }

    #[test]
    fn they_are_ours_and_of_another_user() {
        let nowhere = tempfile::tempdir().unwrap();
        File::create(nowhere.path().join("cgroup.procs")).unwrap();
        let made = sockets_of(nowhere.path(), libc::AF_INET6, 64).unwrap();
        assert_eq!(made.len(), 64);
        let mut cookies: Vec<u64> = made.iter().map(|socket| cookie(socket).unwrap()).collect();
        cookies.dedup();
        assert_eq!(cookies.len(), 64);
        assert!(made.iter().all(|socket| owner(socket).unwrap() == 65_534));
    }

    #[test]
    fn a_cgroup_that_cannot_be_entered_is_an_error() {
        let empty = tempfile::tempdir().unwrap();
        let error = sockets_of(empty.path(), libc::AF_INET, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
