//! The socket on which workers say that they are ready as a service of systemd's does: sd_notify(3), `NOTIFY_SOCKET`.
//!
//! It has an abstract name, which needs no file: workers of another user could not get at one in llb's private
//! directory. What is said there counts for the worker in whose cgroup the sender lives, by the pid that the kernel
//! attaches, and for nobody else. The name cannot be guessed, so that strangers do not even get in the way. It outlives
//! a master that is killed, so that its workers are heard by the next one.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    io::{self, IoSliceMut},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    },
    path::{Path, PathBuf},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred},
    unistd::Pid,
};
use tokio::{io::Interest, net::UnixDatagram};

use super::{lock::Secret, name::Name};
use crate::sys::mounts;

/// A message that is longer is not read; systemd reads no longer ones either (`PIPE_BUF`).
const LONGEST: usize = 4096;

/// The one line that counts.
const READY: &[u8] = b"READY=1";

/// The socket of a fleet.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    address: OsString,
    /// The fleet's cgroup, as /proc/PID/cgroup names it.
    fleet: PathBuf,
}

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing that counts: a state that is none of llb's business, or no message of this protocol.
    Other,
    /// "I am ready".
    Ready {
        /// Who says so.
        pid: Pid,
        /// The name of the worker's cgroup in which that process is; `None` if it is in none of the fleet's, or has ended
        /// before it could be looked at.
        cgroup: Option<OsString>,
    },
}

impl NotifySocket {
    /// Opens the socket of the fleet `name`, whose cgroup is `cgroup`. `secret` makes its name one that cannot be guessed.
    ///
    /// # Errors
    /// If llb may open no more files, or the cgroup's name is not known.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(name: &Name, cgroup: &Path, secret: Secret) -> io::Result<Self> {
        let mut abstract_name = format!("llb.{name}.");
        for byte in secret {
            // Writing to a string does not fail.
            let _ = write!(abstract_name, "{byte:02x}");
        }
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
        // Before anybody knows the name, so that no message comes without credentials.
        setsockopt(&socket, PassCred, &true)?;
        socket.set_nonblocking(true)?;
        let fleet = mounts::cgroup_name(cgroup).map_err(io::Error::other)?;
        Ok(NotifySocket { socket: UnixDatagram::from_std(socket)?, address: format!("@{abstract_name}").into(), fleet })
    }

    /// What workers see as `NOTIFY_SOCKET`.
    #[must_use]
    pub fn address(&self) -> &OsStr {
        &self.address
    }

    /// Waits for a message and takes it. Descriptors that come with it are closed, which is what a `BARRIER=1` waits for.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub async fn next(&self) -> io::Result<Said> {
        self.socket.async_io(Interest::READABLE, || self.receive()).await
    }

    fn receive(&self) -> io::Result<Said> {
        let mut text = [0; LONGEST];
        // No room for more than the credentials: the kernel closes what does not fit.
        let mut room = cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut room),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        // A message that brought descriptors counts as cut off. It says something else: READY=1 comes without.
        let sender = message.cmsgs().ok().and_then(|mut controls| {
            controls.find_map(|control| match control {
                ControlMessageOwned::ScmCredentials(credentials) => Some(Pid::from_raw(credentials.pid())),
                _ => None,
            })
        });
        let (length, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
        let Some(sender) = sender.filter(|_| !cut && says_ready(&text[..length])) else { return Ok(Said::Other) };
        Ok(Said::Ready { pid: sender, cgroup: self.worker_of(sender) })
    }

    /// The name of the worker's cgroup in which a process is.
    fn worker_of(&self, pid: Pid) -> Option<OsString> {
        let path = mounts::cgroup_of(pid).ok()?;
        let first = path.strip_prefix(&self.fleet).ok()?.components().next()?;
        Some(first.as_os_str().to_owned())
    }
}

fn says_ready(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line == READY)
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        io::{ErrorKind, IoSlice, Read},
        os::{
            fd::AsRawFd,
            linux::net::SocketAddrExt,
            unix::{
                ffi::OsStrExt,
                net::{SocketAddr, UnixDatagram},
            },
        },
        process,
    };

    use nix::{
        sys::socket::{ControlMessage, MsgFlags, sendmsg},
        unistd::Pid,
    };
    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    use super::{LONGEST, NotifySocket, Said, says_ready};
    use crate::sys::mounts::own_cgroup;

    /// A fleet's socket, with this test's own cgroup as that of the fleet, and somebody who talks to it.
    fn pair(name: &str, cgroup: &std::path::Path) -> (NotifySocket, UnixDatagram) {
        let name = format!("{name}-{}", process::id()).parse().unwrap();
        let socket = NotifySocket::open(&name, cgroup, [7; 16]).unwrap();
        let address = socket.address().as_bytes().strip_prefix(b"@").unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect_addr(&SocketAddr::from_abstract_name(address).unwrap()).unwrap();
        (socket, sender)
    }

    fn stranger() -> Said {
        Said::Ready { pid: Pid::this(), cgroup: None }
    }

    #[tokio::test]
    async fn who_is_in_no_cgroup_of_the_fleet_is_a_stranger() {
        let below = own_cgroup().unwrap().path.join("llb.notify");
        let (socket, sender) = pair("stranger", &below);
        sender.send(b"READY=1").unwrap();
        assert_eq!(socket.receive().unwrap(), stranger());
        assert_eq!(socket.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn only_a_line_of_its_own_says_ready() {
        let (socket, sender) = pair("lines", &own_cgroup().unwrap().path);
        for other in [&b"READY=0"[..], b"STATUS=READY=1", b"READY=1x", b"WATCHDOG=1\nMAINPID=1\n", b"", &[0xff; 100]] {
            sender.send(other).unwrap();
            assert_eq!(socket.receive().unwrap(), Said::Other, "{other:?}");
        }
        let mut long = vec![b'\n'; LONGEST];
        long.splice(..7, *b"READY=1");
        for ready in [&b"READY=1"[..], b"STATUS=up\nREADY=1\n", &long] {
            sender.send(ready).unwrap();
            // In the cgroup itself, and in none below it.
            assert_eq!(socket.receive().unwrap(), stranger(), "{ready:?}");
        }
        long.push(b'\n');
        sender.send(&long).unwrap();
        assert_eq!(socket.receive().unwrap(), Said::Other);
    }

    #[tokio::test]
    async fn descriptors_that_come_along_are_closed() {
        let (socket, sender) = pair("barrier", &own_cgroup().unwrap().path);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let barrier = [IoSlice::new(b"BARRIER=1")];
        let rights = [writer.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(sender.as_raw_fd(), &barrier, &control, MsgFlags::empty(), None).unwrap();
        drop(writer);
        assert_eq!(socket.receive().unwrap(), Said::Other);
        // It would wait if anybody could still write.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[tokio::test]
    async fn the_name_says_whose_it_is_and_nothing_about_the_next() {
        let (socket, _sender) = pair("name", &own_cgroup().unwrap().path);
        let expected = format!("@llb.name-{}.{}", process::id(), "07".repeat(16));
        assert_eq!(socket.address(), OsStr::new(&expected));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            says_ready(&text);
        }
    }
}
