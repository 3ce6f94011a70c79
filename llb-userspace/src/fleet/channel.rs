//! The channel on which a worker reports: a stream that carries one JSON value a line. Node's IPC channel is just
//! that, so there a report is `process.send(...)`.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

/// Both ends of a channel, closed on exec: the worker gets its own by number when it is spawned.
#[derive(Debug)]
pub struct Channel {
    /// Ours; does not block.
    pub ours: UnixStream,
    /// The worker's; blocks, as long as it does not want otherwise.
    pub workers: OwnedFd,
}

/// Makes a channel.
///
/// # Errors
/// If llb may open no more files.
pub fn channel() -> io::Result<Channel> {
    let (ours, workers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok(Channel { ours, workers: workers.into() })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        os::unix::net::UnixStream,
    };

    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

    use super::{Channel, channel};

    #[test]
    fn only_our_end_does_not_block() {
        let Channel { mut ours, workers } = channel().unwrap();
        assert_eq!(ours.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let flags = OFlag::from_bits_retain(fcntl(&workers, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
        assert_eq!(fcntl(&workers, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());

        UnixStream::from(workers).write_all(b"{}\n").unwrap();

        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}\n");
    }
}
