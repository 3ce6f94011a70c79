//! What a master that has died leaves behind.

use std::{fs::File, io, path::Path, thread, time::Duration};

use nix::sys::signal::Signal;

use super::{CgroupError, lock, tree};
use crate::{fleet::lock::LAST_CHILD, sys::clock};

/// Kills all that is in the cgroup `path`, which a crashed master has left behind, and removes it. Returns how many
/// processes there were: 0 also if there was no such cgroup. Blocks until they are dead, some milliseconds as a rule.
///
/// The caller makes sure that no master of this fleet runs.
///
/// # Errors
/// `CgroupError::Undead` if a process does not die, otherwise if the kernel refuses.
pub fn clear_leftover(path: &Path) -> Result<usize, CgroupError> {
    let Some(_lock) = lock_leftover(path)? else { return Ok(0) };
    let left = tree::processes(path)?;
    clear(path)?;
    Ok(left.len())
}

/// Ends all that is in the cgroup `path`, whose master has died: `signal`, and after `patience` SIGKILL. Then removes it.
/// Blocks until that is done. Returns how many processes there were.
///
/// # Errors
/// As [`clear_leftover`].
pub fn end_leftover(path: &Path, signal: Signal, patience: Duration) -> Result<usize, CgroupError> {
    let Some(_lock) = lock_leftover(path)? else { return Ok(0) };
    let left = tree::processes(path)?;
    // A stopped process must run to end in order.
    tree::signal(path, &[signal, Signal::SIGCONT], |_| true)?;
    tree::wait_until_empty_or(path, clock::now().after(patience))?;
    clear(path)?;
    Ok(left.len())
}

fn clear(path: &Path) -> Result<(), CgroupError> {
    tree::kill(path)?;
    tree::wait_until_empty(path)?;
    tree::remove(path)
}

/// Locks the cgroup that a dead master has left at `path`; `None` if there is none. A living master holds the lock, also
/// one whose runtime directory is another than ours.
fn lock_leftover(path: &Path) -> Result<Option<File>, CgroupError> {
    match lock_of_the_dead(path) {
        Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        locked => locked.map(Some),
    }
}

/// Locks what a dead master has left. A child that it was just about to start holds the lock for a moment longer.
pub(super) fn lock_of_the_dead(path: &Path) -> Result<File, CgroupError> {
    let deadline = clock::now().after(LAST_CHILD);
    loop {
        match lock(path) {
            Err(CgroupError::Alive { .. }) if clock::now() < deadline => thread::sleep(Duration::from_millis(5)),
            locked => return locked,
        }
    }
}
