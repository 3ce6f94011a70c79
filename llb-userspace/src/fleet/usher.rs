//! Sees a worker's clients out, once it is no longer chosen: what they still have with it, and an end to the connections
//! that nobody needs.
//!
//! A connection is closed from the worker's side, as servers do with one that they have kept alive long enough: the worker
//! reads the end of its stream, as if the client had closed, and closes too. An answer that it owes still goes out.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{errno::Errno, unistd::Pid};

use super::{effect::Whom, worker::Holding};
use crate::sys::{
    connection::{Traffic, end_reading, traffic},
    pidfd::PidFd,
    procfs, socket,
};

/// After this long without a byte either way a connection is idle, if nobody asks for less.
const QUIET: Duration = Duration::from_millis(300);

/// Looks through the sockets of a worker's processes for connections to `ports`. `is_at_rest` says of one whether it holds
/// no request, if that is known. The clients that `see_out` names are seen out.
///
/// # Errors
/// If a process cannot be looked into.
pub fn look(
    pids: &[Pid],
    ports: &[u16],
    is_at_rest: impl Fn(BorrowedFd<'_>) -> Option<bool>,
    see_out: Option<Whom>,
) -> io::Result<Holding> {
    let mut most = Holding::Nothing;
    for &pid in pids {
        let held = match in_process(pid, ports, &is_at_rest, see_out) {
            Err(error) if procfs::has_ended(&error) => continue,
            held => held?,
        };
        most = most.max(held);
    }
    Ok(most)
}

fn in_process(
    pid: Pid,
    ports: &[u16],
    is_at_rest: impl Fn(BorrowedFd<'_>) -> Option<bool>,
    see_out: Option<Whom>,
) -> io::Result<Holding> {
    let process = PidFd::open(pid)?;
    let mut most = Holding::Nothing;
    for candidate in procfs::socket_fds(pid)? {
        let copy: OwnedFd = match process.get_fd(candidate.fd) {
            // Closed by now, which is what is waited for.
            Err(error) if error.raw_os_error() == Some(Errno::EBADF as i32) => continue,
            copy => copy?,
        };
        let ours = socket::local_addr(&copy).is_ok_and(|at| at.is_some_and(|at| ports.contains(&at.port())));
        if ours {
            most = most.max(holding(copy.as_fd(), &is_at_rest, see_out));
        }
    }
    Ok(most)
}

fn holding(
    copy: BorrowedFd<'_>,
    is_at_rest: impl Fn(BorrowedFd<'_>) -> Option<bool>,
    see_out: Option<Whom>,
) -> Holding {
    if socket::is_listening(copy).unwrap_or(false) {
        let waiting = socket::accept_queue(copy).map_or(0, |queue| queue.length);
        return if waiting == 0 { Holding::Nothing } else { Holding::Requests };
    }
    let Ok(traffic @ Traffic { open: true, .. }) = traffic(copy) else { return Holding::Nothing };
    let at_rest = is_at_rest(copy);
    let is_idle = |quiet| at_rest != Some(false) && !traffic.pending && traffic.quiet >= quiet;
    let goes = match see_out {
        Some(Whom::Idle(quiet)) => is_idle(quiet),
        Some(Whom::All) => true,
        None => false,
    };
    if goes {
        // One that is closed already is what was wanted.
        let _ = end_reading(copy);
    }
    match at_rest {
        Some(false) => Holding::Requests,
        Some(true) | None if is_idle(QUIET) => Holding::Idle,
        Some(true) | None => Holding::Streams,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::OwnedFd,
        process::{Command, Stdio},
    };

    use nix::unistd::Pid;

    use super::{Holding, QUIET, Whom, look};
    use crate::sys::testing::{Ward, until};

    const QUIETLY: Option<Whom> = Some(Whom::Idle(QUIET));

    /// A process that holds `socket`, which is closed here.
    fn holder(socket: impl Into<OwnedFd>) -> (Ward, [Pid; 1]) {
        let child = Command::new("sleep").arg("600").stdin(Stdio::from(socket.into())).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        (Ward(child), [pid])
    }

    #[test]
    fn a_listener_holds_what_waits_in_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (_ward, pids) = holder(listener);
        let held = || look(&pids, &[address.port()], |_| None, None).unwrap();
        assert_eq!(held(), Holding::Nothing);
        let client = TcpStream::connect(address).unwrap();
        until("a connection waits", || held() == Holding::Requests);
        assert_eq!(look(&pids, &[1], |_| None, None).unwrap(), Holding::Nothing, "another port is none of ours");
        drop(client);
    }

    #[test]
    fn only_a_quiet_connection_without_a_request_is_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_ward, pids) = holder(listener.accept().unwrap().0);
        assert_eq!(look(&pids, &[port], |_| Some(false), QUIETLY).unwrap(), Holding::Requests);
        assert_eq!(look(&pids, &[port], |_| Some(true), QUIETLY).unwrap(), Holding::Streams, "it is fresh");
        until("it is idle", || look(&pids, &[port], |_| Some(true), None).unwrap() == Holding::Idle);
        drop(client);
        until("the client is gone", || look(&pids, &[port], |_| None, None).unwrap() != Holding::Nothing);
        assert_eq!(look(&[Pid::from_raw(i32::MAX)], &[port], |_| None, None).unwrap(), Holding::Nothing);
    }
}
