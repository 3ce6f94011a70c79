//! What a socket says of itself, and what can be done to a listener by a copy of it.
#![expect(unsafe_code, reason = "TCP_INFO and two other options have no wrapper in nix or socket2")]

use std::{
    io,
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    thread,
    time::Duration,
};

use nix::{libc, sys::stat::fstat};
use socket2::SockRef;

/// The connections that a listener holds, established but not yet accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// How many wait.
    pub length: u32,
    /// How many may wait; the kernel lets in one more than this.
    pub backlog: u32,
}

/// Longer than a processor works on the last packet of a handshake, from its look at the backlog until the connection is in the
/// queue: some microseconds.
const AT_WORK: Duration = Duration::from_micros(100);

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

/// Whether it is a UDP socket.
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn is_udp(socket: impl AsFd) -> io::Result<bool> {
    SockRef::from(&socket).protocol().map(|protocol| protocol == Some(socket2::Protocol::UDP))
}

/// Whether others may share the socket's port (`SO_REUSEPORT`).
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn has_reuseport(socket: impl AsFd) -> io::Result<bool> {
    SockRef::from(&socket).reuse_port()
}

/// The index of the device that the socket is bound to (`SO_BINDTODEVICE`), or 0.
///
/// # Errors
/// `ENOTSOCK` if it is not a socket.
pub fn device(socket: impl AsFd) -> io::Result<u32> {
    Ok(SockRef::from(&socket).device_index_v4()?.map_or(0, std::num::NonZero::get))
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

/// The number of the socket's inode: the same in every process that has it open.
///
/// # Errors
/// Those of fstat(2).
pub fn inode(socket: impl AsFd) -> io::Result<u64> {
    Ok(fstat(socket)?.st_ino)
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

/// Has a listener in whose queue somebody waits let nobody else in, so that it can end. A handshake whose last packet a processor
/// works on while the listener ends would be reset; here that packet is dropped, and its client sends it again.
///
/// Where nobody waits it does nothing: the kernel lets one in whatever the backlog.
///
/// # Errors
/// As [`accept_queue`], and those of listen(2).
pub fn let_nobody_in(listener: impl AsFd) -> io::Result<()> {
    if accept_queue(&listener)?.length > 0 {
        SockRef::from(&listener).listen(0)?;
        thread::sleep(AT_WORK);
    }
    Ok(())
}

/// Ends a socket's listening, and has it listen again with the same backlog. In between the kernel gives the connections
/// that wait in it to other listeners of its reuseport group; without any they are reset. Who accepts in between gets
/// `EINVAL`. Returns how many waited.
///
/// Makes system calls only. The port must be one that was asked for: the kernel takes back one that it has chosen.
///
/// # Errors
/// As [`accept_queue`], and those of shutdown(2) and listen(2). If it is listen's, nobody listens any more.
pub fn relisten(socket: impl AsFd) -> io::Result<u32> {
    let AcceptQueue { length, backlog } = accept_queue(&socket)?;
    // Options that a shutdown sets back, and all that it does.
    let options = [libc::TCP_MAXSEG, libc::TCP_WINDOW_CLAMP].map(|option| (option, tcp_option(&socket, option)));
    let listener = SockRef::from(&socket);
    let_nobody_in(&socket)?;
    listener.shutdown(Shutdown::Read)?;
    listener.listen(backlog.cast_signed())?;
    for (option, before) in options {
        // Said anew only if they differ: a default that is set counts as a wish.
        if let (Ok(before), Ok(after)) = (before, tcp_option(&socket, option))
            && before != after
        {
            // A smaller segment or window is no reason to lose a listener.
            let _ = set_tcp_option(&socket, option, before);
        }
    }
    Ok(length)
}

/// Options of a listener that its connections inherit, and one that says which addresses it takes.
const INHERITED: [(libc::c_int, libc::c_int); 14] = [
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
];

/// Sizes of buffers, inherited too. The kernel doubles what is asked for.
const BUFFERS: [libc::c_int; 2] = [libc::SO_RCVBUF, libc::SO_SNDBUF];

/// What connections inherit from a listener that a new socket of its family does not have.
#[derive(Clone, Debug, Default)]
pub struct Heritage(Vec<(libc::c_int, libc::c_int, libc::c_int)>);

impl Heritage {
    /// What differs between the two, as far as the kernel has it: a default that is set would count as a wish.
    pub fn of(listener: impl AsFd, new: impl AsFd) -> Self {
        let differs = |level: libc::c_int, option: libc::c_int| match (
            int_option(&listener, level, option),
            int_option(&new, level, option),
        ) {
            (Ok(theirs), Ok(ours)) if theirs != ours => Some(theirs),
            _ => None,
        };
        let options = INHERITED.iter().filter_map(|(level, option)| Some((*level, *option, differs(*level, *option)?)));
        let buffer = |option: &libc::c_int| {
            let size = differs(libc::SOL_SOCKET, *option)?;
            Some((libc::SOL_SOCKET, *option, size / 2))
        };
        Heritage(options.chain(BUFFERS.iter().filter_map(buffer)).collect())
    }

    /// Gives it to a new socket. What cannot be had is not inherited.
    pub fn give(&self, socket: impl AsFd) {
        for (level, option, value) in &self.0 {
            let _ = set_int_option(&socket, *level, *option, *value);
        }
    }
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
    SockRef::from(&listener).shutdown(Shutdown::Write)
}

fn tcp_option(socket: impl AsFd, option: libc::c_int) -> io::Result<libc::c_int> {
    int_option(socket, libc::IPPROTO_TCP, option)
}

fn int_option(socket: impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four bytes");
    // SAFETY: `value` has room for the `length` bytes that the kernel may write, and both outlive the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, level, option, (&raw mut value).cast(), &mut length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

fn set_tcp_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_int_option(socket, libc::IPPROTO_TCP, option, value)
}

fn set_int_option(socket: impl AsFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four bytes");
    // SAFETY: `value` is of `length` bytes and outlives the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::setsockopt(fd, level, option, (&raw const value).cast(), length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
        thread,
    };

    use nix::libc;

    use super::{
        accept_queue, cookie, has_reuseport, is_listening, local_addr, owner, relisten, set_tcp_option, tcp_option,
        wake,
    };
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
    fn a_listener_that_listens_again_is_as_it_was() {
        // A port that was free a moment ago: one that the kernel has chosen is lost.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        set_tcp_option(&listener, libc::TCP_MAXSEG, 1_000).unwrap();
        set_tcp_option(&listener, libc::TCP_WINDOW_CLAMP, 30_000).unwrap();
        let before = (accept_queue(&listener).unwrap(), cookie(&listener).unwrap());

        // Alone in its group, so that whoever waits is reset.
        let mut client = TcpStream::connect(address).unwrap();
        until("a connection waits", || accept_queue(&listener).unwrap().length == 1);
        assert_eq!(relisten(&listener).unwrap(), 1);

        assert!(client.read(&mut [0]).is_err());
        assert_eq!((accept_queue(&listener).unwrap(), cookie(&listener).unwrap()), before);
        assert_eq!(tcp_option(&listener, libc::TCP_MAXSEG).unwrap(), 1_000);
        assert_eq!(tcp_option(&listener, libc::TCP_WINDOW_CLAMP).unwrap(), 30_000);
        assert_eq!(listener.local_addr().unwrap(), address);
        let _client = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
        let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(relisten(&closed).is_err(), "it does not listen");
    }

    #[test]
    fn whoever_is_woken_for_nothing_sleeps_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let copy = listener.try_clone().unwrap();
        let accepting = thread::spawn(move || listener.accept().map(drop));
        for _ in 0..100 {
            wake(&copy).unwrap();
        }
        assert!(!accepting.is_finished());
        let _client = TcpStream::connect(address).unwrap();
        accepting.join().unwrap().unwrap();
    }

    #[test]
    fn a_unix_listener_has_no_port() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        assert_eq!(local_addr(&listener).unwrap(), None);
        assert!(accept_queue(&listener).is_err());
    }
}
