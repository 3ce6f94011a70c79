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
pub enum Notification {
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
    pub async fn next(&self) -> io::Result<Notification> {
        self.socket.async_io(Interest::READABLE, || self.receive()).await
    }

    fn receive(&self) -> io::Result<Notification> {
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
        let Some(sender) = sender.filter(|_| !cut && says_ready(&text[..length])) else {
            return Ok(Notification::Other);
        };
        Ok(Notification::Ready { pid: sender, cgroup: self.worker_of(sender) })
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
mod tests;
