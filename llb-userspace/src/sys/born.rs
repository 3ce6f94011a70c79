//! Sockets that belong to another cgroup than the process that holds them.
#![expect(unsafe_code, reason = "a child that shares our memory and descriptors has no safe form")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, clone},
    sys::{
        signal::{SigSet, SigmaskHow},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Uid,
};

/// For the child, which makes a handful of system calls.
const STACK_BYTES: usize = 64 * 1024;

/// Makes `count` TCP sockets of a family that belong to the cgroup whose `cgroup.procs` this is, and to a user: the kernel asks for
/// both when it makes a socket, and never again. The programs that are attached to that cgroup see their packets.
///
/// A process enters the cgroup for that which shares our memory and descriptors, makes them and ends, so that this one need not.
///
/// # Errors
/// Those of clone(2), of writing to `cgroup.procs`, and of socket(2).
pub fn sockets(
    cgroup_procs: BorrowedFd<'_>,
    family: libc::c_int,
    owner: Option<Uid>,
    count: usize,
) -> io::Result<Vec<OwnedFd>> {
    let procs = cgroup_procs.as_raw_fd();
    let mut made: Vec<RawFd> = vec![-1; count];
    let mut failed = 0;
    let mut stack = vec![0; STACK_BYTES];
    let child = Box::new(|| {
        failed = make(procs, &mut made, family, owner);
        0
    });
    // Our signal handlers are the child's too, and would tell us of its signals.
    let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let shares = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK | CloneFlags::CLONE_FILES;
    // SAFETY: this thread stands still until the child has ended (CLONE_VFORK), so what the child borrows outlives it, the
    // thread-local storage that both use is used by one at a time, and the stack is large enough. The child makes system calls
    // only, and writes to what it borrows.
    let cloned = unsafe { clone(child, &mut stack, shares, Some(libc::SIGCHLD)) };
    let waited = cloned.and_then(|child| waitpid(child, Some(WaitPidFlag::__WALL)));
    ours.thread_set_mask()?;
    // SAFETY: the child has made them in the table that it shared with us, and nobody else knows of them.
    let sockets = made.into_iter().filter(|fd| *fd >= 0).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    waited?;
    match failed {
        0 => Ok(sockets),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Runs in the child: no allocation, no lock. Returns an error's number, or 0.
fn make(procs: libc::c_int, made: &mut [RawFd], family: libc::c_int, owner: Option<Uid>) -> i32 {
    // SAFETY: the pointer is to one byte that is there for good; the others are system calls without any.
    unsafe {
        if libc::write(procs, b"0".as_ptr().cast(), 1) != 1 {
            return Errno::last_raw();
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

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use nix::{libc, unistd::Uid};

    use super::sockets;
    use crate::sys::socket::{cookie, owner};

    #[test]
    fn they_are_ours_and_of_another_user() {
        // Nobody enters this one.
        let nowhere = File::options().write(true).open("/dev/null").unwrap();
        let made = sockets(nowhere.as_fd(), libc::AF_INET6, Some(Uid::from_raw(65_534)), 64).unwrap();
        assert_eq!(made.len(), 64);
        let mut cookies: Vec<u64> = made.iter().map(|socket| cookie(socket).unwrap()).collect();
        cookies.dedup();
        assert_eq!(cookies.len(), 64);
        assert!(made.iter().all(|socket| owner(socket).unwrap() == 65_534));
    }

    #[test]
    fn a_cgroup_that_cannot_be_entered_is_an_error() {
        let read_only = File::open("/dev/null").unwrap();
        let error = sockets(read_only.as_fd(), libc::AF_INET, None, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
