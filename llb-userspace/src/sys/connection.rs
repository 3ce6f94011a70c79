//! What a connection says of itself, seen through a copy of somebody else's descriptor.
#![expect(unsafe_code, reason = "SIOCINQ has no wrapper")]

use std::{
    io,
    net::Shutdown,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use nix::libc;
use socket2::SockRef;

use super::socket::tcp_info;

/// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT`: the states in which a server may still answer.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;

/// What has moved on a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whether its owner may still send.
    pub open: bool,
    /// Since data came last, or since the connection was established.
    pub since_in: Duration,
    /// Since data went last, or since the connection was established.
    pub since_out: Duration,
    /// Bytes that have come.
    pub bytes_in: u64,
    /// Bytes that have gone, some more than once.
    pub bytes_out: u64,
    /// Bytes that its owner has not read, or that have not been sent yet. What has been sent and is not acknowledged does
    /// not count: a peer may take its time, and a connection would seldom be seen to pause.
    pub pending: bool,
}

impl Traffic {
    /// Since anything came or went last.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.since_in.min(self.since_out)
    }
}

/// What has moved on a connection.
///
/// # Errors
/// `ENOTSOCK` or `EOPNOTSUPP` if it is not a TCP socket, `EINVAL` if it listens.
pub fn traffic(socket: impl AsFd) -> io::Result<Traffic> {
    let socket = socket.as_fd();
    let info = tcp_info(socket)?;
    Ok(Traffic {
        open: matches!(info.tcpi_state, ESTABLISHED | CLOSE_WAIT),
        since_in: Duration::from_millis(info.tcpi_last_data_recv.into()),
        since_out: Duration::from_millis(info.tcpi_last_data_sent.into()),
        bytes_in: info.tcpi_bytes_received,
        bytes_out: info.tcpi_bytes_sent,
        pending: unread(socket)? != 0 || info.tcpi_notsent_bytes != 0,
    })
}

/// Lets the connection's owner read what has come, and then the end of the stream, as if its client had closed. A server
/// closes then. The connection is not disturbed otherwise: what comes before the owner has read the end is still read.
///
/// # Errors
/// `ENOTCONN` if it is closed already.
pub fn end_reading(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).shutdown(Shutdown::Read)
}

/// Bytes in a socket's queue of those that came in.
fn unread(socket: impl AsFd) -> io::Result<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::{end_reading, traffic};
    use crate::sys::testing::until;

    #[test]
    fn a_connection_is_quiet_when_all_is_read_and_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"request").unwrap();
        until("it has come", || traffic(&server).unwrap().pending);
        let mut request = [0; 7];
        server.read_exact(&mut request).unwrap();
        server.write_all(b"answer").unwrap();
        until("it is quiet", || {
            let traffic = traffic(&server).unwrap();
            traffic.open && !traffic.pending && traffic.quiet() >= Duration::from_millis(20)
        });

        end_reading(&server).unwrap();
        assert_eq!(server.read(&mut request).unwrap(), 0, "the server reads the end");
        drop(server);
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 6, "the client reads the answer, then the end");
        assert!(traffic(&listener).is_err());
    }
}
