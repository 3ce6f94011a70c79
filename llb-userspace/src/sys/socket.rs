//! What a socket says of itself, and what can be done to a listener by a copy of it.

mod heritage;
mod options;

use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use nix::{libc, sys::stat::fstat};
use socket2::SockRef;

pub use heritage::Heritage;
pub(super) use options::tcp_info;
use options::{set_tcp_option, tcp_option};

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
const HANDSHAKE_WORK: Duration = Duration::from_micros(100);

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

/// Has listeners in whose queue somebody waits let nobody else in, so that they can end. A handshake whose last packet a processor
/// works on while its listener ends would be reset; here that packet is dropped, and its client sends it again.
///
/// Where nobody waits it does nothing: the kernel lets one in whatever the backlog.
///
/// # Errors
/// As [`accept_queue`], and those of listen(2).
pub fn let_nobody_in(listeners: impl IntoIterator<Item = impl AsFd>) -> io::Result<()> {
    let mut somebody_waits = false;
    for listener in listeners {
        if accept_queue(&listener)?.length > 0 {
            SockRef::from(&listener).listen(0)?;
            somebody_waits = true;
        }
    }
    if somebody_waits {
        thread::sleep(HANDSHAKE_WORK);
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
    let_nobody_in([&socket])?;
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

#[cfg(test)]
mod tests;
