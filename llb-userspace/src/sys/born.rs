//! Sockets that belong to another cgroup than the process that holds them.
#![expect(unsafe_code, reason = "a child that shares the table of descriptors has no safe form")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::wait::{WaitPidFlag, waitpid},
    unistd::{Pid, Uid, pipe2},
};

/// The most that are made at once: their numbers fit into a pipe that nobody reads meanwhile.
const MOST: usize = 64;

/// Makes `count` TCP sockets of a family (at most 64) that belong to the cgroup whose `cgroup.procs` this is, and to a user:
/// the kernel asks for both when it makes a socket, and never again. The programs that are attached to that cgroup see their
/// packets.
///
/// A process enters the cgroup for that which shares our descriptors, makes them and ends, so that this one need not.
///
/// # Errors
/// Those of clone(2), of writing to `cgroup.procs`, and of socket(2).
pub fn sockets(
    cgroup_procs: BorrowedFd<'_>,
    family: libc::c_int,
    owner: Option<Uid>,
    count: usize,
) -> io::Result<Vec<OwnedFd>> {
    let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (procs, numbers) = (cgroup_procs.as_raw_fd(), write.as_raw_fd());
    let flags = libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
    // SAFETY: without a stack of its own the child goes on here on a copy of ours, as after fork(2). It makes system calls only,
    // touches no memory but its stack, and never returns.
    let child = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if child == 0 {
        // SAFETY: this is the child.
        unsafe { libc::_exit(make(procs, numbers, family, owner, count.min(MOST))) }
    }
    // The child shares the table: closed here, it is closed there. So it is closed when the child has ended.
    let ended = waitpid(Pid::from_raw(child as libc::pid_t), Some(WaitPidFlag::__WALL));
    drop(write);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::BufReader::new(std::fs::File::from(read)), &mut bytes)?;
    let numbers = bytes.chunks_exact(4).filter_map(|number| number.try_into().ok()).map(i32::from_ne_bytes);
    // SAFETY: the child has made them in the table that it shared with us, and tells of each once.
    let sockets: Vec<OwnedFd> = numbers.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    match ended? {
        nix::sys::wait::WaitStatus::Exited(_, 0) if sockets.len() == count.min(MOST) => Ok(sockets),
        nix::sys::wait::WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// Runs in the child: system calls only. Returns an error's number, or 0.
fn make(procs: libc::c_int, numbers: libc::c_int, family: libc::c_int, owner: Option<Uid>, count: usize) -> i32 {
    // SAFETY: each pointer is to what lives on this stack, with its length; what is made is told to the parent.
    unsafe {
        if libc::write(procs, b"0".as_ptr().cast(), 1) != 1 {
            return Errno::last_raw();
        }
        if let Some(owner) = owner {
            // As that user's a socket is made, and nothing else.
            libc::syscall(libc::SYS_setfsuid, owner.as_raw());
        }
        for _ in 0..count {
            let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let socket = libc::syscall(libc::SYS_socket, family, kind, libc::IPPROTO_TCP) as i32;
            if socket < 0 {
                return Errno::last_raw();
            }
            if libc::write(numbers, (&raw const socket).cast(), size_of::<i32>()) != size_of::<i32>() as isize {
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
