//! What the client of the kit cannot do to a connection with the standard library alone.

use std::{net::SocketAddr, os::fd::AsFd, time::Duration};

use llb_kit::http::Client;
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, SockRef, Socket, Type};

use super::DEADLINE;

/// Begins to connect, and does not wait for it. What is sent before waits itself, and goes out with the packet that
/// completes the handshake.
#[track_caller]
pub(crate) fn begin(addr: &str) -> Client {
    let addr: SocketAddr = addr.parse().expect("an address and port");
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not block");
    let begun = socket.connect(&addr.into()).expect_err("a connection that takes its time");
    assert_eq!(begun.raw_os_error(), Some(libc::EINPROGRESS), "{addr}: {begun}");
    socket.set_nonblocking(false).expect("a socket that blocks");
    Client::over(socket.into()).expect("a socket that takes options")
}

/// Waits until the connection is established.
#[track_caller]
pub(crate) fn await_established(client: &Client) {
    let mut writable = [PollFd::new(client.stream().as_fd(), PollFlags::POLLOUT)];
    let timeout = PollTimeout::try_from(DEADLINE).expect("a timeout");
    assert_eq!(poll(&mut writable, timeout), Ok(1), "nobody takes the connection");
}

/// Ends the connection by a reset.
#[track_caller]
pub(crate) fn reset(client: Client) {
    SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
}
