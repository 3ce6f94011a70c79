//! What a socket says of itself.
#![expect(unsafe_code, reason = "TCP_INFO has no wrapper in nix or socket2")]

use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    libc,
    sys::{
        socket::{Shutdown, shutdown},
        stat::fstat,
    },
};
use socket2::SockRef;

/// The connections that a listener holds, established but not yet accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// How many wait.
    pub length: u32,
    /// How many may wait; the kernel lets in one more than this.
    pub backlog: u32,
}

/// The number that no other socket of this boot has or will have (`SO_COOKIE`).
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn cookie(socket: impl AsFd) -> io::Result<u64> {
    SockRef::from(&socket).cookie()
}

/// Whether the socket listens for connections.
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn is_listening(socket: impl AsFd) -> io::Result<bool> {
    SockRef::from(&socket).is_listener()
}

/// Whether others may share the socket's port (`SO_REUSEPORT`).
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn has_reuseport(socket: impl AsFd) -> io::Result<bool> {
    SockRef::from(&socket).reuse_port()
}

/// The address that the socket is bound to; `None` if it is not of the internet families.
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn local_addr(socket: impl AsFd) -> io::Result<Option<SocketAddr>> {
    SockRef::from(&socket).local_addr().map(|address| address.as_socket())
}

/// Id of the user that made the socket. Sockets of one reuseport group all have the same.
///
/// # Errors
/// Those of fstat(2).
pub fn owner(socket: impl AsFd) -> io::Result<u32> {
    Ok(fstat(socket)?.st_uid)
}

/// The accept queue of a listening TCP socket.
///
/// # Errors
/// `ENOTSOCK` if it is not a socket, `EINVAL` if it does not listen, `EOPNOTSUPP` if it is not TCP.
pub fn accept_queue(socket: impl AsFd) -> io::Result<AcceptQueue> {
    if !is_listening(&socket)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let info = tcp_info(socket)?;
    // Of a listener the kernel reports its queue in these two fields, which count segments elsewhere.
    Ok(AcceptQueue { length: info.tcpi_unacked, backlog: info.tcpi_sacked })
}

/// Wakes everybody who waits for connections on a listening TCP socket, be it in accept(2), poll(2) or epoll(7), and
/// changes nothing. Who then finds none goes on waiting, and its program does not notice.
///
/// A listener sends nothing, so that Linux ignores the end of its sending, but not without a word: `inet_shutdown` has
/// always ended with "Wake up anyone sleeping in poll".
///
/// # Errors
/// `ENOTSOCK` if it is not a socket, `EINVAL` if it does not listen.
pub fn wake(listener: impl AsFd) -> io::Result<()> {
    // Any other socket would end.
    if !is_listening(&listener)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(shutdown(listener.as_fd().as_raw_fd(), Shutdown::Write)?)
}

pub(super) fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).expect("a struct of some 100 bytes");
    // SAFETY: `info` has room for the `length` bytes that the kernel may write, and both outlive the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a struct of integers, zeroed before the kernel filled in what it knows.
    Ok(unsafe { info.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixListener,
    };

    use super::{accept_queue, cookie, has_reuseport, is_listening, local_addr, owner, wake};
    use crate::sys::testing::until;

    #[test]
    fn a_listener_tells_its_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(accept_queue(&listener).unwrap().length, 0);
        assert!(accept_queue(&listener).unwrap().backlog > 0);

        let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        until("two connections wait", || accept_queue(&listener).unwrap().length == 2);
        assert!(accept_queue(&clients[0]).is_err());

        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(accept_queue(&listener).unwrap().length, 1);
        assert!(is_listening(&listener).unwrap());
        assert!(!is_listening(&accepted).unwrap());
        assert_eq!(local_addr(&accepted).unwrap(), Some(address));
    }

    #[test]
    fn a_listener_that_was_woken_listens_on_and_a_connection_that_was_not_lives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        wake(&listener).unwrap();
        assert!(is_listening(&listener).unwrap());
        assert!(wake(&client).is_err());
        let (mut accepted, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        accepted.read_exact(&mut [0]).unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn copies_share_a_cookie_and_sockets_do_not() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(cookie(&one).unwrap(), cookie(one.try_clone().unwrap()).unwrap());
        assert_ne!(cookie(&one).unwrap(), cookie(&other).unwrap());
        assert!(!has_reuseport(&one).unwrap());
        socket2::SockRef::from(&one).set_reuse_port(true).unwrap();
        assert!(has_reuseport(&one).unwrap());
        assert_eq!(owner(&one).unwrap(), nix::unistd::geteuid().as_raw());
    }

    #[test]
    fn a_unix_listener_has_no_port() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        assert_eq!(local_addr(&listener).unwrap(), None);
        assert!(accept_queue(&listener).is_err());
    }
}
