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
    unistd::{Uid, pipe2},
};

use super::clone::{Side, clone_into, enter};

/// Makes `count` TCP sockets of a family that belong to a cgroup, whose directory this is, and to a user: the kernel asks for both
/// when it makes a socket, and never again. The programs that are attached to that cgroup see their packets.
///
/// A child that shares our descriptors makes them there and ends.
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
    let waited = match clone_into(cgroup, libc::CLONE_FILES) {
        Ok(Side::Child { inside }) => {
            let entrance = (!inside).then_some(cgroup.as_raw_fd());
            end(make(entrance, &mut made, family, owner), &made, tells.as_raw_fd());
        }
        Ok(Side::Parent(child, _)) => waitpid(child, Some(WaitPidFlag::__WALL)),
        Err(errno) => Err(errno),
    };
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

/// Runs in the child: no allocation, no lock. Returns an error's number, or 0.
fn make(entrance: Option<RawFd>, made: &mut [RawFd], family: libc::c_int, owner: Option<Uid>) -> i32 {
    if let Some(Err(errno)) = entrance.map(enter) {
        return errno as i32;
    }
    // SAFETY: system calls without a pointer.
    unsafe {
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
