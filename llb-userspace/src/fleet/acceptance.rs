//! Whether a worker accepts connections at one of its listeners. A program that listens first and then loads its code for
//! seconds, or fails at it, does not; a connection that it were given would wait, or be lost.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use nix::{sys::stat::fstat, unistd::Pid};
use socket2::SockRef;

use super::{
    cgroup,
    find::{self, FindError},
};
use crate::sys::{
    accepting,
    endpoint::{Endpoint, Socket},
    pidfd::PidFd,
    procfs, procnet, socket,
};

/// A program that has just listened comes to wait within this time, unless it is doing something else first, or is busy
/// already: then connections that it has accepted are looked for, which takes longer.
const AT_ONCE: Duration = Duration::from_millis(20);

/// A listener of a worker, as it is looked for.
#[derive(Clone, Copy, Debug)]
pub struct WatchedListener {
    /// The worker's first process.
    pub first: Pid,
    /// Whether that has no others beside it.
    pub is_alone: bool,
    /// Its cookie.
    pub cookie: u64,
    /// Its inode and address, once it has been found.
    pub known: Option<(u64, Option<SocketAddr>)>,
}

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It waits for connections there, or has accepted one.
    Yes,
    /// It does something else.
    No,
    /// It cannot be seen from outside.
    Unknown,
}

/// Looks at the worker whose cgroup is `cgroup`, which has listened at `target` for so long.
#[must_use]
pub fn look(cgroup: &Path, target: &mut WatchedListener, since: Duration) -> Acceptance {
    let Ok(pids) = cgroup::processes(cgroup) else { return Acceptance::No };
    // One that has gone to the background is going to be ended.
    if !pids.contains(&target.first) {
        return Acceptance::No;
    }
    target.is_alone = pids.len() == 1;
    if target.known.is_none() {
        match shown(&pids, target) {
            Shown::Nowhere => return Acceptance::Unknown,
            Shown::Here(known) => target.known = Some(known),
            Shown::Unsaid => {}
        }
    }
    if target.known.is_none() {
        match find::listener(&pids, target.cookie) {
            Ok((copy, _)) => target.known = identify(copy.as_fd()).ok(),
            // A worker that listens by Multipath TCP holds another socket than the one that the kernel names.
            Err(FindError::Forbidden { .. } | FindError::Gone { .. }) => return Acceptance::Unknown,
            Err(FindError::Look { .. }) => {}
        }
    }
    let Some((inode, address)) = target.known else { return Acceptance::No };
    let waits = accepting::waits_at(&pids, inode);
    if waits != Some(true) && since >= AT_ONCE && address.is_some_and(|at| pids.iter().any(|pid| accepted(*pid, at))) {
        return Acceptance::Yes;
    }
    match waits {
        Some(true) => Acceptance::Yes,
        Some(false) => Acceptance::No,
        None => Acceptance::Unknown,
    }
}

/// Whether connections wait at `target`; none if that cannot be seen.
#[must_use]
pub fn is_waited_at(cgroup: &Path, target: &WatchedListener) -> Option<bool> {
    let pids = cgroup::processes(cgroup).ok()?;
    let (copy, _) = find::listener(&pids, target.cookie).ok()?;
    socket::accept_queue(copy).ok().map(|queue| queue.length > 0)
}

/// What the kernel's table shows of a listener.
enum Shown {
    /// Its inode and address, and one of the processes has it.
    Here((u64, Option<SocketAddr>)),
    /// There is none any more.
    Nowhere,
    /// The table is of another network namespace, or no process is seen to have it, as with Multipath TCP.
    Unsaid,
}

/// Looks a listener up without a copy of it. A program may close it and bind its port again at any moment, and would be refused
/// while there is one.
fn shown(pids: &[Pid], target: &WatchedListener) -> Shown {
    let has = |inode: u64, pid: Pid| procfs::socket_fds(pid).is_ok_and(|all| all.iter().any(|fd| fd.inode == inode));
    match procnet::listener(target.first, target.cookie) {
        Ok(Some(Socket { inode, endpoint: Endpoint::Tcp(address) })) if pids.iter().any(|pid| has(inode, *pid)) => {
            Shown::Here((inode, Some(address)))
        }
        Ok(None) => Shown::Nowhere,
        Ok(Some(_)) | Err(_) => Shown::Unsaid,
    }
}

fn identify(listener: BorrowedFd<'_>) -> io::Result<(u64, Option<SocketAddr>)> {
    Ok((fstat(listener)?.st_ino, socket::local_addr(listener)?))
}

/// Whether the process has a connection to this address that was accepted.
fn accepted(pid: Pid, listener: SocketAddr) -> bool {
    let Ok(process) = PidFd::open(pid) else { return false };
    let is_accepted = |copy: BorrowedFd<'_>| {
        let of_port = |address: &SocketAddr| address.port() == listener.port();
        matches!(socket::local_addr(copy), Ok(Some(own)) if of_port(&own)) && SockRef::from(&copy).peer_addr().is_ok()
    };
    let sockets = procfs::socket_fds(pid).unwrap_or_default();
    sockets.iter().any(|found| process.get_fd(found.fd).is_ok_and(|copy| is_accepted(copy.as_fd())))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::{Acceptance, WatchedListener, accepted, look};
    use crate::sys::{mounts::own_cgroup, socket};
    use nix::unistd::Pid;

    #[test]
    fn a_connection_that_was_accepted_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        assert!(!accepted(Pid::this(), address), "it waits in the queue, and the client's own end does not count");
        let _server = listener.accept().unwrap();
        assert!(accepted(Pid::this(), address));
    }

    #[test]
    fn of_a_listener_that_nobody_holds_nothing_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = socket::cookie(&listener).unwrap();
        drop(listener);
        let mut target = WatchedListener { first: Pid::this(), is_alone: true, cookie, known: None };
        let cgroup = own_cgroup().unwrap().path;
        assert_eq!(look(&cgroup, &mut target, Duration::from_secs(1)), Acceptance::Unknown);
    }
}
