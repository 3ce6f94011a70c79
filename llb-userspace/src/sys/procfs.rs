//! What /proc shows of other processes: who they are, what they hold open, what they wait for.

mod description;
mod families;
mod signals;

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt, fs, io,
    os::{fd::RawFd, unix::ffi::OsStrExt},
};

use nix::{errno::Errno, unistd::Pid};

pub use self::{
    description::describe,
    families::Families,
    signals::{catches, caught, ignores},
};
use super::{endpoint::Endpoint, procnet};

/// A process, as an error names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// What it calls itself (`comm`): 15 bytes at most, and empty if it has ended.
    pub name: String,
}

impl Process {
    /// The process `pid`.
    #[must_use]
    pub fn of(pid: Pid) -> Self {
        Self { pid, name: comm(pid).unwrap_or_default() }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "pid {}", self.pid),
            name => write!(f, "pid {} ({name})", self.pid),
        }
    }
}

/// An open socket of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFd {
    /// Its number there.
    pub fd: RawFd,
    /// The socket's inode, the same in every process that has it open.
    pub inode: u64,
}

/// The sockets that `pid` has open, in the order of their numbers.
///
/// # Errors
/// `ENOENT` if the process has ended, `EACCES` if it is another user's.
pub fn socket_fds(pid: Pid) -> io::Result<Vec<SocketFd>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // What was closed in the meantime is no socket either.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let fd = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(fd), Some(inode)) = (fd, socket_inode(target.as_os_str())) {
            sockets.push(SocketFd { fd, inode });
        }
    }
    Ok(sockets)
}

/// The inode of the socket that `pid` has open as `fd`; none if that is no socket, or not to be seen.
#[must_use]
pub fn socket_at(pid: Pid, fd: RawFd) -> Option<u64> {
    socket_inode(fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?.as_os_str())
}

/// A process that listens on TCP port `port` in our own network namespace. `None` if nobody does, or nobody whose
/// descriptors we may see.
///
/// # Errors
/// If /proc cannot be read.
pub fn port_holder(port: u16) -> io::Result<Option<Process>> {
    let held = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Tcp(address) if address.port() == port);
    let listeners = procnet::listeners(Pid::this())?;
    let wanted: HashSet<u64> = listeners.iter().filter(|l| held(&l.endpoint)).map(|l| l.inode).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let holder =
        all_pids()?.find(|&pid| socket_fds(pid).is_ok_and(|fds| fds.iter().any(|fd| wanted.contains(&fd.inode))));
    Ok(holder.map(Process::of))
}

/// When the process was started, in clock ticks since the machine was: with its pid, a name that no other process of this
/// boot has.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn started_at(pid: Pid) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    // The name in parentheses can hold any, so the last one counts. After it, this is the 20th field.
    let end = stat.iter().rposition(|&byte| byte == b')').ok_or(io::ErrorKind::InvalidData)?;
    let field = stat[end + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(19);
    let ticks = field.and_then(|field| str::from_utf8(field).ok()?.parse().ok());
    ticks.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The memory that `pid` has resident, bytes; what it shares with others included.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn resident(pid: Pid) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    // One that has ended, and has not been waited for, has no such line.
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = size.and_then(|size| size.trim().strip_suffix(" kB")?.parse().ok());
    Ok(kib.unwrap_or(0).saturating_mul(1024))
}

/// The cgroup that `pid` is in, as cgroup v2 names it.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn cgroup(pid: Pid) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned())
}

/// A text that is another one after each start of the machine.
///
/// # Errors
/// If /proc cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// The name of the file that `pid` runs.
///
/// # Errors
/// `ENOENT` if it has ended, `EACCES` if it is another user's.
pub fn program(pid: Pid) -> io::Result<String> {
    let file = fs::read_link(format!("/proc/{pid}/exe"))?;
    Ok(file.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// What the process calls itself.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn comm(pid: Pid) -> io::Result<String> {
    let name = fs::read(format!("/proc/{pid}/comm"))?;
    Ok(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// What others can reach `pid` by.
///
/// # Errors
/// `ENOENT` if the process has ended, `EACCES` if it is another user's.
pub fn endpoints(pid: Pid) -> io::Result<Vec<Endpoint>> {
    let own = inodes(pid)?;
    let sockets = procnet::reachable(pid)?.into_iter().filter(|socket| own.contains(&socket.inode));
    Ok(sockets.map(|socket| socket.endpoint).collect())
}

/// A process that ends while it is looked at: /proc says that there is no such file, or no such process.
#[must_use]
pub fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn inodes(pid: Pid) -> io::Result<HashSet<u64>> {
    Ok(socket_fds(pid)?.into_iter().map(|socket| socket.inode).collect())
}

fn all_pids() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw)))
}

/// The number in `socket:[4711]`.
fn socket_inode(target: &OsStr) -> Option<u64> {
    let number = target.as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
