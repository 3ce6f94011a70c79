//! What a connection says of itself, seen through a copy of somebody else's descriptor.
#![expect(unsafe_code, reason = "SIOCINQ and SIOCOUTQ have no wrapper")]

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Whether its owner may still send.
    pub open: bool,
    /// Since anything came or went last.
    pub quiet: Duration,
    /// Bytes that its owner has not read, or that its peer has not acknowledged.
    pub pending: bool,
}

/// What has moved on a connection.
///
/// # Errors
/// `ENOTSOCK` or `EOPNOTSUPP` if it is not a TCP socket, `EINVAL` if it listens.
pub fn traffic(socket: impl AsFd) -> io::Result<Traffic> {
    let socket = socket.as_fd();
    let info = tcp_info(socket)?;
    let quiet = info.tcpi_last_data_sent.min(info.tcpi_last_data_recv);
    Ok(Traffic {
        open: matches!(info.tcpi_state, ESTABLISHED | CLOSE_WAIT),
        quiet: Duration::from_millis(quiet.into()),
        pending: queued(socket, libc::FIONREAD)? != 0 || queued(socket, libc::TIOCOUTQ)? != 0,
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

/// Bytes in a socket's queue: `FIONREAD` for the one that comes in, `TIOCOUTQ` for the one that goes out.
fn queued(socket: impl AsFd, request: libc::Ioctl) -> io::Result<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one int, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut bytes) };
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
            traffic.open && !traffic.pending && traffic.quiet >= Duration::from_millis(20)
        });

        end_reading(&server).unwrap();
        assert_eq!(server.read(&mut request).unwrap(), 0, "the server reads the end");
        drop(server);
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 6, "the client reads the answer, then the end");
        assert!(traffic(&listener).is_err());
    }
}
