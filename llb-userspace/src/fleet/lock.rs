//! A fleet's directory below /run, and the lock in it: one llb of a name at a time. The kernel drops the lock with
//! the process, so a crash leaves no stale one behind.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use nix::unistd::geteuid;

use crate::{
    config::Name,
    sys::{clock, procfs::Process},
};

/// Only llb's own user gets at its sockets and files.
const PRIVATE: u32 = 0o700;

/// How often a directory may vanish under our hands, as that of a fleet which is just ending does.
const ATTEMPTS: u32 = 10;

/// A process that a master has begun to start has its descriptors until it has become its program. It becomes that, or ends, in
/// less than this if the master dies meanwhile.
pub(super) const LAST_CHILD: Duration = Duration::from_secs(1);

/// What only llb and its workers know: as many bytes as nobody tries out.
pub type Secret = [u8; 16];

/// The directory of a fleet, locked. Removed when dropped.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    name: Name,
    _lock: File,
}

/// Why the directory cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// An llb of this name runs.
    #[error(
        "a fleet {name} runs already, in {}; stop it, or give this one another --name",
        holder.as_deref().unwrap_or("a process that is just starting")
    )]
    Held {
        /// The fleet.
        name: Name,
        /// Its master, by pid and name, if it has written down who it is.
        holder: Option<String>,
    },
    /// Somebody else's directory is in its place.
    #[error("{path} is not a directory of user {user}, who runs llb; remove it, or name another runtime directory")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Who we are.
        user: u32,
    },
    /// The directory or the lock cannot be made.
    #[error("cannot {action} {path}; run llb as root, or name a runtime directory that it may write to")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl RuntimeDir {
    /// Makes and locks the directory `<root>/<name>`.
    ///
    /// # Errors
    /// [`LockError::Held`] if an llb of this name runs, otherwise if the file system refuses.
    pub fn take(root: &Path, name: &Name) -> Result<Self, LockError> {
        let path = root.join(name.as_str());
        let deadline = clock::now().after(LAST_CHILD);
        let mut attempts = 0..ATTEMPTS;
        while attempts.next().is_some() {
            make(root, &path)?;
            match lock(&path, name) {
                Err(LockError::Held { .. }) if is_left_behind(&path) && clock::now() < deadline => {
                    thread::sleep(Duration::from_millis(5));
                    attempts = 0..ATTEMPTS;
                }
                Ok(Some(lock)) => return Ok(Self { path, name: name.clone(), _lock: lock }),
                Err(LockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LockError::Held { name: name.clone(), holder: None })
    }

    /// The directory: a place for the fleet's control socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down the fleet's cgroup. A next master of this name may be started in another cgroup, from another
    /// login for instance, and must find what this one leaves behind if it crashes.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn note_cgroup(&self, cgroup: &Path) -> Result<(), LockError> {
        let path = self.note_path();
        fs::write(&path, cgroup.as_os_str().as_encoded_bytes()).map_err(failed("write", &path))
    }

    /// The cgroup that an earlier master of this name has written down, and not lived to remove.
    #[must_use]
    pub fn noted_cgroup(&self) -> Option<PathBuf> {
        let path = PathBuf::from(fs::read_to_string(self.note_path()).ok()?);
        // What is in it will be killed. Half a path may be that of something else.
        (path.file_name() == Some(super::cgroup::directory_name(&self.name).as_ref())).then_some(path)
    }

    /// The secret of this fleet: `fresh`, unless an earlier master of this name has not lived to remove its own, which its
    /// workers may still go by.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn secret(&self, fresh: Secret) -> Result<Secret, LockError> {
        let path = self.path.join("secret");
        if let Ok(Ok(left)) = fs::read(&path).map(Secret::try_from) {
            return Ok(left);
        }
        fs::write(&path, fresh).map_err(failed("write", &path))?;
        Ok(fresh)
    }

    fn note_path(&self) -> PathBuf {
        self.path.join("cgroup")
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // First out of the way, in one step: the next master may come as soon as the lock is gone, and must not
        // find its new files removed. No fleet has a name with a leading dot.
        let aside = self.path.with_file_name(format!(".{}.{}", self.name, process::id()));
        if fs::rename(&self.path, &aside).is_ok() {
            // What stays behind does no harm: /run does not outlive the machine.
            let _ = fs::remove_dir_all(&aside);
        }
    }
}

/// Makes the directory if it is not there, and sees to it that it is ours and private.
fn make(root: &Path, path: &Path) -> Result<(), LockError> {
    fs::create_dir_all(root).map_err(failed("make the directory", root))?;
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make the directory", path)(error)),
    }
    // Not through a symbolic link, which another user may have put there.
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed("look at", path))?,
    };
    let user = geteuid().as_raw();
    if !found.is_dir() || found.uid() != user {
        return Err(LockError::Foreign { path: path.to_owned(), user });
    }
    if found.mode() & 0o777 != PRIVATE {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE)).map_err(failed("make private", path))?;
    }
    Ok(())
}

/// Takes the lock in `directory`. `None`: what has been locked is not there any more.
fn lock(directory: &Path, name: &Name) -> Result<Option<File>, LockError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    // Not truncated: until it is locked, the text in it is another's.
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LockError::Held { name: name.clone(), holder: read_holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
    }
    if !is_still_there(&file, &path) {
        return Ok(None);
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", process::id())).map_err(failed("write", &path))?;
    Ok(Some(file))
}

/// Whether `path` still leads to `file`: its owner removes the directory, and lets go of the lock after that.
fn is_still_there(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => identity(ours) == identity(theirs),
        _ => false,
    }
}

/// Whether the holder of the lock is dead: a child that it was just about to start holds the lock for a moment longer.
fn is_left_behind(directory: &Path) -> bool {
    let holder = File::open(directory.join("lock")).ok().and_then(|mut file| holder(&mut file));
    holder.is_some_and(|holder| holder.name.is_empty())
}

fn read_holder(file: &mut File) -> Option<String> {
    holder(file).map(|holder| holder.to_string())
}

fn holder(file: &mut File) -> Option<Process> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let pid = text.trim_end().parse().ok()?;
    Some(Process::of(nix::unistd::Pid::from_raw(pid)))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    let path = path.to_owned();
    move |source| LockError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
