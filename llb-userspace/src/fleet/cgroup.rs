//! Where workers live: one cgroup for the fleet, and in it one for each worker.
//!
//! The kernel programs are attached to the fleet's cgroup and so see every worker; they tell workers apart by the
//! ids of their cgroups. No controller is enabled but for limits that are asked for: the cgroups are there to know who
//! belongs to whom.

mod error;
mod resources;
mod tree;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};

pub use self::error::CgroupError;
pub(crate) use self::resources::ran_out_of_memory;
use super::lock::LAST_CHILD;
use crate::{
    config::{Name, Resources},
    model::{Generation, Slot},
    sys::{
        clock,
        freeze::Freezer,
        mounts::{self, MountsError, OwnCgroup},
        pidfd::PidFd,
    },
};

/// The cgroup of a fleet. When it is dropped, what is still in it is killed and waited for, and it is removed.
#[derive(Debug)]
pub struct FleetCgroup {
    path: PathBuf,
    id: u64,
    level: Option<u32>,
    made: u64,
    /// Held while the master lives.
    _lock: File,
}

/// The cgroup of one worker. Removed when dropped, if no process is left in it.
#[derive(Debug)]
pub struct WorkerCgroup {
    path: PathBuf,
    id: u64,
}

/// A cgroup of this name is the master's own: its fleet is beside it. The kernel keeps limits only below cgroups in which no
/// process is, so that who wants limits starts llb in one.
const MASTER: &str = "llb-master";

/// The cgroup in a fleet's that llb's own sockets are made in.
const OWN_SOCKETS: &str = "sockets";

/// How the names of fleets' cgroups begin.
pub(super) const FLEETS: &str = "llb.";

/// The last part of a fleet's path.
pub(super) fn directory_name(name: &Name) -> String {
    format!("{FLEETS}{name}")
}

fn entrance(cgroup: &Path) -> Result<OwnedFd, CgroupError> {
    let path = cgroup.join("cgroup.procs");
    let file = OpenOptions::new().write(true).open(&path);
    file.map(OwnedFd::from).map_err(|source| CgroupError::Io { action: "open", path, source })
}

/// Where the fleet `name` of this process has its cgroup.
///
/// # Errors
/// If cgroup v2 is not mounted, or not so that our own cgroup is visible.
pub fn fleet_path(name: &Name) -> Result<PathBuf, CgroupError> {
    Ok(home()?.path.join(directory_name(name)))
}

/// The cgroup that this process makes its fleets in: the one that it is in, or the one above if that is a master's own.
fn home() -> Result<OwnCgroup, MountsError> {
    Ok(above_master(mounts::own_cgroup()?))
}

fn above_master(own: OwnCgroup) -> OwnCgroup {
    match own.path.parent() {
        Some(above) if own.path.ends_with(MASTER) => {
            OwnCgroup { path: above.to_owned(), level: own.level.and_then(|level| level.checked_sub(1)) }
        }
        _ => own,
    }
}

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
fn lock_of_the_dead(path: &Path) -> Result<File, CgroupError> {
    let deadline = clock::now().after(LAST_CHILD);
    loop {
        match lock(path) {
            Err(CgroupError::Alive { .. }) if clock::now() < deadline => thread::sleep(Duration::from_millis(5)),
            locked => return locked,
        }
    }
}

impl FleetCgroup {
    /// Where a process enters that is to be in it without being a worker's: a cgroup of its own, as there may be no process in
    /// one that limits those in it.
    ///
    /// # Errors
    /// If it cannot be made, or opened for writing.
    pub fn entrance(&self) -> Result<OwnedFd, CgroupError> {
        let path = self.path.join(OWN_SOCKETS);
        match make(&path) {
            Ok(_) | Err(CgroupError::Exists { .. }) => entrance(&path),
            Err(error) => Err(error),
        }
    }

    /// Makes the fleet's cgroup, below the one that this process is in.
    ///
    /// # Errors
    /// `CgroupError::Exists` if it is there already, otherwise if cgroup v2 is not mounted or llb may not.
    pub fn create(name: &Name) -> Result<Self, CgroupError> {
        let OwnCgroup { path, level } = home()?;
        let path = path.join(directory_name(name));
        let id = make(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, id, level: level.map(|level| level + 1), made: 0, _lock: lock })
    }

    /// Takes over what an earlier master of `name` has left at `path`, and the workers in it. `worker_level` is what
    /// [`worker_level`](Self::worker_level) was there.
    ///
    /// # Errors
    /// `CgroupError::Alive` if its master lives, otherwise if it is not there.
    pub fn adopt(name: &Name, path: &Path, worker_level: Option<u32>) -> Result<Self, CgroupError> {
        let failed = |source| CgroupError::Io { action: "take over", path: path.to_owned(), source };
        if path.file_name() != Some(directory_name(name).as_ref()) {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let lock = lock_of_the_dead(path)?;
        let id = lock.metadata().map_err(failed)?.ino();
        let level = worker_level.and_then(|level| level.checked_sub(1));
        let mut adopted = Self { path: path.to_owned(), id, level, made: 0, _lock: lock };
        let numbers = adopted.workers()?.into_iter().filter_map(|worker| Some(worker.parts()?.2));
        adopted.made = numbers.max().map_or(0, |number| number + 1);
        Ok(adopted)
    }

    /// The cgroups of all workers, also of those that have ended and left something behind.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn workers(&self) -> Result<Vec<WorkerCgroup>, CgroupError> {
        let failed = |source| CgroupError::Io { action: "list", path: self.path.clone(), source };
        let mut workers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // What has been removed since is not there, and a file is no cgroup.
            if let Some(found) = entry.metadata().ok().filter(fs::Metadata::is_dir) {
                workers.push(WorkerCgroup { path: entry.path(), id: found.ino() });
            }
        }
        Ok(workers)
    }

    /// Its directory, to attach programs to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id, as the kernel's `bpf_get_current_ancestor_cgroup_id` returns it at the fleet's level.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many cgroups are above a worker's: the level at which the kernel finds it among its processes'
    /// ancestors. `None` in a cgroup namespace, which does not show how deep it is itself.
    #[must_use]
    pub fn worker_level(&self) -> Option<u32> {
        self.level.map(|level| level + 1)
    }

    /// Makes the cgroup of a slot's next worker, with its limits.
    ///
    /// # Errors
    /// If the kernel refuses, as at the limit `cgroup.max.descendants`, or cannot keep the limits there.
    pub fn worker(
        &mut self,
        slot: Slot,
        generation: Generation,
        resources: Resources,
    ) -> Result<WorkerCgroup, CgroupError> {
        // A number that no other worker had: its predecessor's may still be there.
        let path = self.path.join(format!("w{slot}.g{generation}.{}", self.made));
        let id = make(&path)?;
        self.made += 1;
        let worker = WorkerCgroup { path, id };
        resources.set(&self.path, &worker.path)?;
        Ok(worker)
    }

    /// Kills every process of every worker at once. Returns before they are dead.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&self) -> Result<(), CgroupError> {
        tree::kill(&self.path)
    }

    /// Removes it and whatever cgroups are in it.
    ///
    /// # Errors
    /// `EBUSY` if a process is in it.
    pub fn remove(self) -> Result<(), CgroupError> {
        tree::remove(&self.path)
    }
}

/// The processes in the cgroup at `path`, and in those that are in it.
///
/// # Errors
/// If the kernel refuses.
pub fn processes(path: &Path) -> Result<Vec<Pid>, CgroupError> {
    tree::processes(path)
}

/// Whether a process lives in the cgroup at `path`, or below.
///
/// # Errors
/// If the kernel refuses.
pub fn is_populated(path: &Path) -> Result<bool, CgroupError> {
    tree::is_populated(path)
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

    fn parts(&self) -> Option<(Slot, Generation, u64)> {
        let mut parts = self.path.file_name()?.to_str()?.strip_prefix('w')?.splitn(3, '.');
        let slot = parts.next()?.parse().ok()?;
        let generation = parts.next()?.strip_prefix('g')?.parse().ok()?;
        Some((Slot(slot), Generation(generation), parts.next()?.parse().ok()?))
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

    /// Opens the door: who writes `0` to this file is in the cgroup.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn entrance(&self) -> Result<OwnedFd, CgroupError> {
        entrance(&self.path)
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

impl Drop for FleetCgroup {
    fn drop(&mut self) {
        // Workers that are gone may have left children that are only just dying. What resists is cleared by the next
        // master of this name.
        let cleared = tree::kill(&self.path)
            .and_then(|()| tree::wait_until_empty(&self.path))
            .and_then(|()| tree::remove(&self.path));
        if let Err(error) = cleared {
            tracing::error!(%error, "cannot remove the fleet's cgroup");
        }
    }
}

impl Drop for WorkerCgroup {
    fn drop(&mut self) {
        // Fails while a process is in it: then the fleet's cgroup takes it along.
        let _ = tree::remove(&self.path);
    }
}

/// Locks a fleet's cgroup directory, as long as the file is open.
fn lock(path: &Path) -> Result<File, CgroupError> {
    let failed = |source| CgroupError::Io { action: "lock", path: path.to_owned(), source };
    let directory = File::open(path).map_err(failed)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => Err(CgroupError::Alive { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes a cgroup and returns its id.
fn make(path: &Path) -> Result<u64, CgroupError> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CgroupError::Exists { path: path.to_owned() });
        }
        Err(source) => return Err(CgroupError::Create { path: path.to_owned(), source }),
    }
    let found = fs::metadata(path).map_err(|source| CgroupError::Create { path: path.to_owned(), source })?;
    Ok(found.ino())
}

#[cfg(all(test, feature = "tests-as-root"))]
mod tests;
