//! The socket on which workers say that they are ready as a service of systemd's does: sd_notify(3), `NOTIFY_SOCKET`.
//!
//! It is a file, as client libraries know no other kind: in a directory of its own beside llb's private one, which others
//! may pass through and not list. Where workers could not get at it (they are another user's, and a directory above is
//! closed to that), or its path is too long for a socket, it has an abstract name that cannot be guessed.
//!
//! What is said there counts for the worker in whose cgroup the sender lives, by the pid that the kernel attaches, and for
//! nobody else. It has the same name under the next master, so that the workers of one that is killed are heard.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    fs::{self, DirBuilder, Permissions},
    io::{self, IoSliceMut},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::{
            fs::{DirBuilderExt, MetadataExt, PermissionsExt},
            net::{SocketAddr, UnixDatagram as StdDatagram},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred},
    unistd::{Pid, geteuid},
};
use tokio::{io::Interest, net::UnixDatagram};

use super::lock::Secret;
use crate::{config::Name, sys::mounts};

/// A message that is longer is not read; systemd reads no longer ones either (`PIPE_BUF`).
const LONGEST: usize = 4096;

/// The longest path of a socket, with its end (`sun_path`).
const LONGEST_PATH: usize = 108;

/// Who gets at the directory and the socket: nobody until all is set up, then everybody, who may only write to it.
const CLOSED: u32 = 0o700;
const FOR_ALL_TO_PASS: u32 = 0o711;
const FOR_ALL_TO_WRITE: u32 = 0o666;

/// The one line that counts.
const READY: &[u8] = b"READY=1";

/// The socket of a fleet.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    address: OsString,
    /// Where the file lies, if it is one.
    directory: Option<PathBuf>,
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
    /// Opens the socket of the fleet `name`, whose cgroup is `cgroup`: a file beside `runtime`, the fleet's own directory, if
    /// workers can get at that; `others` says that they are of another user than llb. `secret` makes an abstract name one
    /// that cannot be guessed.
    ///
    /// # Errors
    /// If llb may open no more files, or the cgroup's name is not known.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(name: &Name, runtime: &Path, others: bool, cgroup: &Path, secret: Secret) -> io::Result<Self> {
        let fleet = mounts::cgroup_name(cgroup).map_err(io::Error::other)?;
        let directory = runtime.with_file_name(format!(".{name}.notify"));
        let path = directory.join("socket");
        let is_within_reach = path.is_absolute()
            && path.as_os_str().len() < LONGEST_PATH
            && (!others || runtime.ancestors().skip(1).all(is_open));
        if is_within_reach {
            match bind_file(&directory, &path) {
                Ok(socket) => {
                    let socket = UnixDatagram::from_std(socket)?;
                    return Ok(NotifySocket { socket, address: path.into(), directory: Some(directory), fleet });
                }
                Err(error) => tracing::debug!(%error, path = %path.display(), "no file for NOTIFY_SOCKET"),
            }
        }
        let mut abstract_name = format!("llb.{name}.");
        for byte in secret {
            // Writing to a string does not fail.
            let _ = write!(abstract_name, "{byte:02x}");
        }
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
        // Before anybody knows the name, so that no message comes without credentials.
        setsockopt(&socket, PassCred, &true)?;
        socket.set_nonblocking(true)?;
        let address = format!("@{abstract_name}").into();
        Ok(NotifySocket { socket: UnixDatagram::from_std(socket)?, address, directory: None, fleet })
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

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // What stays behind does no harm: the next fleet of the name takes it.
            let _ = fs::remove_file(&self.address);
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Whether everybody may pass through a directory.
fn is_open(directory: &Path) -> bool {
    directory.as_os_str().is_empty() || fs::metadata(directory).is_ok_and(|found| found.mode() & 0o001 != 0)
}

/// Binds a socket to a file that everybody may write to, in a directory of ours. An earlier master's is replaced.
fn bind_file(directory: &Path, path: &Path) -> io::Result<StdDatagram> {
    match DirBuilder::new().mode(CLOSED).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Not through a symbolic link, which another user may have put there.
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    fs::set_permissions(directory, Permissions::from_mode(CLOSED))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = StdDatagram::bind(path)?;
    // While nobody gets at it, so that no message comes without credentials.
    setsockopt(&socket, PassCred, &true)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, Permissions::from_mode(FOR_ALL_TO_WRITE))?;
    fs::set_permissions(directory, Permissions::from_mode(FOR_ALL_TO_PASS))?;
    Ok(socket)
}

fn says_ready(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line == READY)
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        fs::Permissions,
        io::{ErrorKind, IoSlice, Read},
        os::{
            fd::AsRawFd,
            linux::net::SocketAddrExt,
            unix::{
                ffi::OsStrExt,
                fs::PermissionsExt,
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
        // Nothing but an abstract name is left where there is no directory.
        let runtime = std::path::Path::new("/no/such/directory/main");
        let socket = NotifySocket::open(&name, runtime, false, cgroup, [7; 16]).unwrap();
        let address = socket.address().as_bytes().strip_prefix(b"@").unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect_addr(&SocketAddr::from_abstract_name(address).unwrap()).unwrap();
        (socket, sender)
    }

    fn unknown_sender() -> Said {
        Said::Ready { pid: Pid::this(), cgroup: None }
    }

    #[tokio::test]
    async fn a_sender_in_no_cgroup_of_the_fleet_is_unknown() {
        let below = own_cgroup().unwrap().path.join("llb.notify");
        let (socket, sender) = pair("unknown", &below);
        sender.send(b"READY=1").unwrap();
        assert_eq!(socket.receive().unwrap(), unknown_sender());
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
            assert_eq!(socket.receive().unwrap(), unknown_sender(), "{ready:?}");
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

    #[tokio::test]
    async fn it_is_a_file_where_workers_get_at_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        let (name, cgroup) = ("main".parse().unwrap(), own_cgroup().unwrap().path);
        let runtime = root.path().join("main");
        let open = |others| NotifySocket::open(&name, &runtime, others, &cgroup, [7; 16]).unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert!(open(true).address().as_bytes().starts_with(b"@"), "nobody else gets into it");
        // As a master that was killed leaves it.
        let left = std::mem::ManuallyDrop::new(open(false));
        let socket = open(false);
        assert_eq!(socket.address(), left.address());
        let path = std::path::PathBuf::from(socket.address());
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o711));
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
        assert_eq!(socket.receive().unwrap(), unknown_sender());
        drop(socket);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            says_ready(&text);
        }
    }
}
