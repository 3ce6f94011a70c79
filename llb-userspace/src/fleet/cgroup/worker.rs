//! The cgroup of one worker.

use std::{
    ffi::OsStr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::{sys::signal::Signal, unistd::Pid};

use super::{CgroupError, open, tree};
use crate::{
    model::{Generation, Slot},
    sys::{freeze::Freezer, pidfd::PidFd},
};

/// The cgroup of one worker. Removed when dropped, if no process is left in it.
#[derive(Debug)]
pub struct WorkerCgroup {
    pub(super) path: PathBuf,
    pub(super) id: u64,
}

impl WorkerCgroup {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is, by its name, which [`FleetCgroup::worker`] has made; nothing if somebody else has.
    #[must_use]
    pub fn owner(&self) -> Option<(Slot, Generation)> {
        self.parts().map(|(slot, generation, _)| (slot, generation))
    }

    pub(super) fn parts(&self) -> Option<(Slot, Generation, u64)> {
        parts(self.path.file_name()?)
    }

    /// Kills what is in it, waits until that is dead, and removes it.
    ///
    /// # Errors
    /// `CgroupError::Undead` if a process does not die, otherwise if the kernel refuses.
    pub fn clear(self) -> Result<(), CgroupError> {
        tree::kill(&self.path)?;
        tree::wait_until_empty(&self.path)?;
        tree::remove(&self.path)
    }

    /// Its id, as the kernel's `bpf_get_current_cgroup_id` returns it: the inode number of its directory.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The worker's processes, also those in cgroups that it has made itself.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn processes(&self) -> Result<Vec<Pid>, CgroupError> {
        tree::processes(&self.path)
    }

    /// Its processes by names that no other process can have, however fast their numbers are used again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn members(&self) -> Result<Vec<(Pid, PidFd)>, CgroupError> {
        // One that has ended is none.
        let opened = self.processes()?.into_iter().filter_map(|pid| Some((pid, PidFd::open(pid).ok()?)));
        let opened: Vec<_> = opened.collect();
        let still = self.processes()?;
        Ok(opened.into_iter().filter(|(pid, _)| still.contains(pid)).collect())
    }

    /// Whether a process of the worker runs.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn is_populated(&self) -> Result<bool, CgroupError> {
        tree::is_populated(&self.path)
    }

    /// What holds all its processes still for a moment.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn freezer(&self) -> Result<Freezer, CgroupError> {
        let failed = |source| CgroupError::Io { action: "open the freezer of", path: self.path.clone(), source };
        Freezer::open(&self.path).map_err(failed)
    }

    /// Opens its directory: a process can be born in it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn directory(&self) -> Result<OwnedFd, CgroupError> {
        open(&self.path)
    }

    /// Kills every process of the worker at once. Returns before they are dead.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&self) -> Result<(), CgroupError> {
        tree::kill(&self.path)
    }

    /// Sends each of its processes that `is_meant` these signals, one after the other. Returns how many there were. None is
    /// sent to a process outside, also if the kernel gives a process's number to another one meanwhile.
    ///
    /// # Errors
    /// If its processes cannot be listed.
    pub fn signal(&self, signals: &[Signal], is_meant: impl Fn(Pid) -> bool) -> Result<usize, CgroupError> {
        tree::signal(&self.path, signals, is_meant)
    }

    /// Removes it and whatever cgroups are in it.
    ///
    /// # Errors
    /// `EBUSY` if a process is in it.
    pub fn remove(self) -> Result<(), CgroupError> {
        tree::remove(&self.path)
    }
}

impl Drop for WorkerCgroup {
    fn drop(&mut self) {
        // Fails while a process is in it: then the fleet's cgroup takes it along.
        let _ = tree::remove(&self.path);
    }
}

/// What the name of a worker's cgroup says.
pub(super) fn parts(name: &OsStr) -> Option<(Slot, Generation, u64)> {
    let mut parts = name.to_str()?.strip_prefix('w')?.splitn(3, '.');
    let slot = parts.next()?.parse().ok()?;
    let generation = parts.next()?.strip_prefix('g')?.parse().ok()?;
    Some((Slot(slot), Generation(generation), parts.next()?.parse().ok()?))
}
