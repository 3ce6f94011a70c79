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

use super::{
    deaf::{NoBytes, accept_bytes},
    socket::tcp_info,
};

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

/// Lets the connection's owner read the end of the stream, as if its client had closed, unless bytes have come since `seen`:
/// then nothing happens. A server closes when it reads the end.
///
/// A request that comes before it has closed must not be read: many servers begin such a one and drop it when they read the
/// end. So the kernel takes no more bytes of the connection, which `filter` sees to. The client, who gets no acknowledgement, then
/// sees the close, and can tell that nobody has read its request.
///
/// # Errors
/// `ENOTCONN` if it is closed already.
pub fn end_reading(socket: impl AsFd, seen: Traffic, filter: Option<&NoBytes>) -> io::Result<bool> {
    let socket = socket.as_fd();
    // A socket that takes no filter is ended all the same.
    let refuses = filter.is_some_and(|filter| filter.refuse_bytes(socket).is_ok());
    let now = traffic(socket)?;
    if now.pending || now.bytes_in != seen.bytes_in {
        if refuses {
            accept_bytes(socket)?;
        }
        return Ok(false);
    }
    SockRef::from(&socket).shutdown(Shutdown::Read).map(|()| true)
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

    use super::{NoBytes, end_reading, traffic};
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

        assert!(end_reading(&server, traffic(&server).unwrap(), None).unwrap());
        assert_eq!(server.read(&mut request).unwrap(), 0, "the server reads the end");
        drop(server);
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 6, "the client reads the answer, then the end");
        assert!(traffic(&listener).is_err());
    }
    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Llb has given up its rights by then.
    #[cfg(feature = "tests-as-root")]
    #[test]
    fn a_request_after_the_end_is_never_read() {
        use crate::sys::capabilities::{Capabilities, keep};

        let filter = NoBytes::load().unwrap();
        let (mut client, mut server) = connected();
        let end = || {
            keep(Capabilities::NONE).unwrap();
            end_reading(&server, traffic(&server).unwrap(), Some(&filter)).unwrap()
        };
        assert!(std::thread::scope(|scope| scope.spawn(end).join().unwrap()));
        client.write_all(b"request").unwrap();
        assert_eq!(server.read(&mut [0; 7]).unwrap(), 0, "only the end is read");
        drop(server);
        assert!(client.read(&mut [0; 7]).is_ok_and(|read| read == 0), "the client reads the end at once");
        until("the client hears that nobody has read it", || client.take_error().unwrap().is_some());
    }

    #[test]
    fn a_request_before_the_end_keeps_its_connection() {
        let filter = NoBytes::load().ok();
        let (mut client, mut server) = connected();
        let seen = traffic(&server).unwrap();
        client.write_all(b"request").unwrap();
        until("it has come", || traffic(&server).unwrap().pending);
        assert!(!end_reading(&server, seen, filter.as_ref()).unwrap());
        let mut request = [0; 7];
        server.read_exact(&mut request).unwrap();
        assert!(!end_reading(&server, seen, filter.as_ref()).unwrap(), "it is in work");
        client.write_all(b"another").unwrap();
        server.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"another");
    }
}
