//! The listener of a cookie that the kernel has named, found among a worker's descriptors; or all of them.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{OwnedFd, RawFd},
};

use nix::{errno::Errno, unistd::Pid};

use crate::{
    model::Address,
    sys::{pidfd::PidFd, procfs, socket},
};

/// Why a worker's listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No process has it: it was closed again, or the kernel spoke of another worker's.
    #[error("none of the worker's {processes} processes holds the listening socket of cookie {cookie}; was it closed?")]
    Gone {
        /// The socket that was sought.
        cookie: u64,
        /// How many processes have been looked at.
        processes: usize,
    },
    /// We may not look into a process.
    #[error(
        "cannot take a copy of what {process} listens on; \
         llb needs CAP_SYS_PTRACE for workers of another user, and kernel.yama.ptrace_scope below 3"
    )]
    Forbidden {
        /// The process.
        process: procfs::Process,
        /// What the kernel said.
        source: io::Error,
    },
    /// Looking failed otherwise: most likely llb may open no more files.
    #[error("cannot look for a listening socket in {process}; may llb open more files (ulimit -n)?")]
    Look {
        /// The process.
        process: procfs::Process,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where a listener was found, and most likely still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pid: Pid,
    fd: RawFd,
    cookie: u64,
}

impl Location {
    /// Duplicates the listener again, without a search; none if it is no longer there.
    #[must_use]
    pub fn copy(&self) -> Option<OwnedFd> {
        self.copy_from(&PidFd::open(self.pid).ok()?)
    }

    /// The same, by what may be an open name of its process already.
    #[must_use]
    pub fn copy_by(&self, pid: Pid, process: &PidFd) -> Option<OwnedFd> {
        if pid == self.pid { self.copy_from(process) } else { self.copy() }
    }

    fn copy_from(&self, process: &PidFd) -> Option<OwnedFd> {
        let copy = process.get_fd(self.fd).ok()?;
        socket::cookie(&copy).is_ok_and(|found| found == self.cookie).then_some(copy)
    }
}

/// Duplicates the socket of cookie `cookie` from whichever of `pids` has it open, and says where that was. The copy keeps
/// the socket alive: close it once it has been put where it belongs.
///
/// A pid that was reused in the meantime does no harm, as a cookie never is.
///
/// # Errors
/// If no process has it. One that could not be looked into only counts when the others do not have it either.
pub fn listener(pids: &[Pid], cookie: u64) -> Result<(OwnedFd, Location), FindError> {
    let mut obstacle = None;
    for &pid in pids {
        match in_process(pid, cookie) {
            Ok(Some((socket, fd))) => return Ok((socket, Location { pid, fd, cookie })),
            Ok(None) => {}
            Err(error) if procfs::has_ended(&error) => {}
            Err(error) => obstacle = Some((pid, error)),
        }
    }
    Err(match obstacle {
        None => FindError::Gone { cookie, processes: pids.len() },
        Some((pid, source)) if source.kind() == io::ErrorKind::PermissionDenied => {
            FindError::Forbidden { process: procfs::Process::of(pid), source }
        }
        Some((pid, source)) => FindError::Look { process: procfs::Process::of(pid), source },
    })
}

/// Duplicates every socket of `pids` that listens on a port, and every UDP socket: each once, also one that several of them have open. The
/// copies keep the sockets alive: close them soon. What cannot be looked into has none.
#[must_use]
pub fn listeners(pids: &[Pid]) -> Vec<(Address, OwnedFd)> {
    let mut inodes = BTreeSet::new();
    let mut found = Vec::new();
    for &pid in pids {
        let Ok(process) = PidFd::open(pid) else { continue };
        for candidate in procfs::socket_fds(pid).unwrap_or_default() {
            if !inodes.insert(candidate.inode) {
                continue;
            }
            let Ok(copy) = process.get_fd(candidate.fd) else { continue };
            let receives = || socket::is_udp(&copy).unwrap_or(false);
            let is_listener = socket::is_listening(&copy).unwrap_or(false) || receives();
            if let (true, Ok(Some(address))) = (is_listener, socket::local_addr(&copy)) {
                // Without the scope, as the kernel's events have it.
                found.push((Address((address.ip(), address.port()).into()), copy));
            }
        }
    }
    found
}

/// Whether one of `pids` may not be looked into, by its rights or by `kernel.yama.ptrace_scope`.
#[must_use]
pub fn is_barred(pids: &[Pid]) -> bool {
    // No process has a descriptor of this number, and whether it may be asked for comes first.
    const NONE: RawFd = -1;
    pids.iter().any(|pid| {
        let asked = PidFd::open(*pid).and_then(|process| process.get_fd(NONE));
        asked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

fn in_process(pid: Pid, cookie: u64) -> io::Result<Option<(OwnedFd, RawFd)>> {
    let process = PidFd::open(pid)?;
    for candidate in procfs::socket_fds(pid)? {
        match process.get_fd(candidate.fd) {
            // Closed and replaced by something else it may be by now: then it has no cookie, or another one.
            Ok(copy) if socket::cookie(&copy).is_ok_and(|found| found == cookie) => {
                return Ok(Some((copy, candidate.fd)));
            }
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EBADF as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::OwnedFd,
        process::{Command, Stdio},
    };

    use nix::unistd::Pid;

    use super::{FindError, listener, listeners};
    use crate::{
        model::Address,
        sys::{
            pidfd::PidFd,
            procfs, socket,
            testing::{Ward, until},
        },
    };

    #[test]
    fn a_childs_listener_is_duplicated_and_the_copy_is_the_only_one() {
        let original = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, cookie) = (original.local_addr().unwrap(), socket::cookie(&original).unwrap());
        let child = Command::new("sleep").arg("600").stdin(Stdio::from(OwnedFd::from(original))).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let ward = Ward(child);

        // A process without it, and one that has ended, are passed over.
        let pids = [Pid::this(), Pid::from_raw(i32::MAX), pid];
        let (copy, place) = listener(&pids, cookie).unwrap();
        assert_eq!(socket::cookie(place.copy().unwrap()).unwrap(), cookie);
        // By the worker's first process, whether or not it is the one that has it.
        for first in [pid, Pid::this()] {
            let copy = place.copy_by(first, &PidFd::open(first).unwrap()).unwrap();
            assert_eq!(socket::cookie(copy).unwrap(), cookie);
        }

        assert_eq!(socket::cookie(&copy).unwrap(), cookie);
        assert_eq!(socket::local_addr(&copy).unwrap(), Some(address));
        assert!(socket::is_listening(&copy).unwrap());
        let inode = procfs::socket_fds(pid).unwrap()[0].inode;
        let ours = procfs::socket_fds(Pid::this()).unwrap();
        assert_eq!(ours.iter().filter(|socket| socket.inode == inode).count(), 1);

        // Worker and copy gone, nobody listens any more.
        drop(ward);
        assert!(place.copy().is_none());
        TcpStream::connect(address).unwrap();
        drop(copy);
        // Another test's child may hold all that we do, until its exec.
        until("nobody listens", || TcpStream::connect(address).is_err());
    }

    #[test]
    fn every_listener_is_found_once() {
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&one, &other].map(|listener| Address(listener.local_addr().unwrap()));
        let silent = TcpStream::connect(one.local_addr().unwrap()).unwrap();
        let (copy, err) = (one.try_clone().unwrap(), other);
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::from(OwnedFd::from(one))).stderr(Stdio::from(OwnedFd::from(err)));
        let child = command.stdout(Stdio::from(OwnedFd::from(copy))).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let _ward = Ward(child);

        let mut found: Vec<_> = listeners(&[pid, pid]).into_iter().map(|(address, _)| address).collect();

        found.sort_unstable();
        let mut expected = addresses.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
        drop(silent);
    }

    #[test]
    fn a_closed_listener_is_gone() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = socket::cookie(&closed).unwrap();
        drop(closed);
        let error = listener(&[Pid::this()], cookie).unwrap_err();
        assert!(matches!(error, FindError::Gone { cookie: c, processes: 1 } if c == cookie), "{error}");
    }
}
