//! Where workers live: one cgroup for the fleet, and in it one for each worker.
//!
//! The kernel programs are attached to the fleet's cgroup and so see every worker; they tell workers apart by the
//! ids of their cgroups. No controller is enabled but for limits that are asked for: the cgroups are there to know who
//! belongs to which worker.

mod error;
mod home;
mod leftover;
mod resources;
mod tree;
mod worker;

use std::{
    fs::{self, File, TryLockError},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::Pid;

pub(super) use self::home::{directory_name, fleet_name};
pub(crate) use self::resources::ran_out_of_memory;
pub use self::{
    error::CgroupError,
    home::fleet_path,
    leftover::{clear_leftover, end_leftover},
    worker::WorkerCgroup,
};
use self::{home::home, leftover::lock_of_the_dead};
use crate::{
    config::{Name, Resources},
    model::{Generation, Slot},
    sys::mounts::OwnCgroup,
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

/// The cgroup in a fleet's that llb's own sockets are made in.
const OWN_SOCKETS: &str = "sockets";

fn open(path: &Path) -> Result<OwnedFd, CgroupError> {
    let directory = File::open(path);
    directory.map(OwnedFd::from).map_err(|source| CgroupError::Io { action: "open", path: path.to_owned(), source })
}

impl FleetCgroup {
    /// The directory of a cgroup below it for a process that is to be in it without being a worker's: there may be no process
    /// in one that limits those in it.
    ///
    /// # Errors
    /// If it cannot be made, or opened.
    pub fn of_own_sockets(&self) -> Result<OwnedFd, CgroupError> {
        let path = self.path.join(OWN_SOCKETS);
        match make(&path) {
            Ok(_) | Err(CgroupError::Exists { .. }) => open(&path),
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
