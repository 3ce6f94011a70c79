//! A cgroup and all below it. What vanishes while we look at it is not there: that is no error.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::Pid,
};

use super::CgroupError;
use crate::{
    model::Instant,
    sys::{clock, pidfd::PidFd, procfs},
};

/// How long one look at a dying cgroup lasts if nothing happens in it, ms.
const LOOK_MS: u8 = 100;

/// How many looks without an end: 5 s in all. Processes that take longer to die of SIGKILL hang in the kernel.
const LOOKS: u32 = 50;

/// Links to a directory without any directory in it: its name, and its own `.`.
const LINKS_ALONE: u64 = 2;

/// The processes in `path` and below.
pub(super) fn processes(path: &Path) -> Result<Vec<Pid>, CgroupError> {
    let mut found = Vec::new();
    for directory in descendants(path)? {
        let file = directory.join("cgroup.procs");
        match fs::read_to_string(&file) {
            // 0 is a process that our pid namespace does not show.
            Ok(text) => found.extend(text.lines().filter_map(|pid| pid.parse().ok()).filter(|&pid: &i32| pid != 0)),
            // A threaded cgroup has no list of its own: its processes are in that of its parent.
            Err(error) if has_vanished(&error) || error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
            Err(source) => return Err(CgroupError::Io { action: "read", path: file, source }),
        }
    }
    Ok(found.into_iter().map(Pid::from_raw).collect())
}

/// Whether a process lives in `path` or below.
pub(super) fn is_populated(path: &Path) -> Result<bool, CgroupError> {
    Ok(match Events::open(path)? {
        Some(mut events) => events.say_populated()?,
        None => false,
    })
}

/// Kills all that is in `path` and below, and does not wait.
pub(super) fn kill(path: &Path) -> Result<(), CgroupError> {
    // Kernels before 5.14 lack this file; they lack the hook that migrates connections too, so llb refuses them.
    let file = path.join("cgroup.kill");
    match OpenOptions::new().write(true).open(&file).and_then(|mut file| file.write_all(b"1")) {
        Err(error) if !has_vanished(&error) => Err(CgroupError::Io { action: "write to", path: file, source: error }),
        _ => Ok(()),
    }
}

/// Waits until no process is left, and gives up when nothing dies any more.
pub(super) fn wait_until_empty(path: &Path) -> Result<(), CgroupError> {
    let Some(mut events) = Events::open(path)? else { return Ok(()) };
    for _ in 0..LOOKS {
        if !events.say_populated()? {
            return Ok(());
        }
        events.wait()?;
    }
    let left = processes(path)?;
    let first = left.first().map_or_else(|| "one that /proc does not show".to_owned(), |&pid| procfs::describe(pid));
    Err(CgroupError::Undead { path: path.to_owned(), count: left.len(), first })
}

/// Sends the processes in `path` and below that `is_meant` these signals, one after the other.
pub(super) fn signal(path: &Path, signals: &[Signal], is_meant: impl Fn(Pid) -> bool) -> Result<usize, CgroupError> {
    // One that has just exited is no longer to be found.
    let open = |pid: Pid| Some((pid, PidFd::open(pid).ok()?));
    let opened: Vec<(Pid, PidFd)> = processes(path)?.into_iter().filter_map(open).collect();
    // Between the reading and the opening its number may have become another process's. Who is in the list now is who was
    // opened, or the one that was opened has ended since and gets no signal.
    let here: HashSet<Pid> = processes(path)?.into_iter().collect();
    let mut count = 0;
    for (_, process) in opened.iter().filter(|(pid, _)| here.contains(pid) && is_meant(*pid)) {
        count += usize::from(signals.iter().all(|signal| process.signal(*signal).is_ok()));
    }
    Ok(count)
}

/// Waits until no process is left, or it is `deadline`.
pub(super) fn wait_until_empty_or(path: &Path, deadline: Instant) -> Result<(), CgroupError> {
    let Some(mut events) = Events::open(path)? else { return Ok(()) };
    while events.say_populated()? && clock::now() < deadline {
        events.wait()?;
    }
    Ok(())
}

/// Removes `path` and all below it, deepest first.
pub(super) fn remove(path: &Path) -> Result<(), CgroupError> {
    for directory in descendants(path)?.into_iter().rev() {
        match fs::remove_dir(&directory) {
            Err(error) if !has_vanished(&error) => {
                return Err(CgroupError::Io { action: "remove the cgroup", path: directory, source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

/// `path` and the cgroups below it, each after its parent; none if there is no such cgroup.
fn descendants(path: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let mut found = Vec::new();
    let mut unread = vec![path.to_owned()];
    while let Some(directory) = unread.pop() {
        match subdirectories(&directory) {
            Ok(children) => {
                unread.extend(children);
                found.push(directory);
            }
            Err(error) if has_vanished(&error) => {}
            Err(source) => return Err(CgroupError::Io { action: "list", path: directory, source }),
        }
    }
    Ok(found)
}

fn subdirectories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    // Each directory in it is a link to it: mostly there is none, and the names of some forty files need not be read.
    if fs::metadata(directory)?.nlink() == LINKS_ALONE {
        return Ok(found);
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A cgroup that is removed: its files cannot be opened any more, or, when open already, not be read.
fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

/// `cgroup.events`, which says whether anyone is there, and wakes who polls it when that changes.
struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// `None` if there is no such cgroup.
    fn open(cgroup: &Path) -> Result<Option<Self>, CgroupError> {
        let path = cgroup.join("cgroup.events");
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { file, path })),
            Err(error) if has_vanished(&error) => Ok(None),
            Err(source) => Err(CgroupError::Io { action: "open", path, source }),
        }
    }

    fn say_populated(&mut self) -> Result<bool, CgroupError> {
        let mut text = String::new();
        match self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)) {
            Ok(_) => Ok(text.lines().any(|line| line == "populated 1")),
            Err(error) if has_vanished(&error) => Ok(false),
            Err(source) => Err(CgroupError::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    /// Waits for a change since the last reading, or [`LOOK_MS`].
    fn wait(&self) -> Result<(), CgroupError> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut fds, PollTimeout::from(LOOK_MS)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(CgroupError::Io { action: "poll", path: self.path.clone(), source: errno.into() }),
        }
    }
}
