//! What a master writes down of its fleet, so that the next one can go on with it when this one has died.
//!
//! The record says what nobody else knows: which process is a worker's first, how far each life had come. It is a hint,
//! and the fleet's own cgroup is the truth: [`Record::survivors`] finds nobody outside of it. Listeners are not in it, as
//! the workers' descriptors and the kernel's maps say more.

mod terms;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use llb_common::abi::MAX_SEATS;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub use self::terms::{Obstacle, Terms};
use super::{AdoptedSlot, FleetCgroup, WorkerCgroup, totals::Totals};
use crate::{
    model::{Generation, Slot},
    sys::{pidfd::PidFd, procfs},
};

/// The version of [`Record`]: it grows when a field changes its meaning, or one is added that must not be missing.
pub const FORMAT: u32 = 1;

/// The record's name in the runtime directory.
const FILE: &str = "state";

/// A record is some hundred bytes a worker; one that is larger than this is none.
const LARGEST_BYTES: u64 = 16 * 1024 * 1024;

/// A fleet as its master has last seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The conditions.
    #[serde(flatten)]
    pub terms: Terms,
    /// The fleet's cgroup.
    pub cgroup: PathBuf,
    /// Its id.
    pub cgroup_id: u64,
    /// How deep its workers' cgroups are: [`FleetCgroup::worker_level`].
    pub worker_level: Option<u32>,
    /// The generation that serves.
    pub generation: u32,
    /// The one that is being started, during a reload.
    pub reloading: Option<u32>,
    /// The addresses at which workers were ready and accepted nothing.
    #[serde(default)]
    pub unattended: Vec<SocketAddr>,
    /// The slots.
    #[serde(rename = "places")]
    pub slots: Vec<AdoptedSlot>,
    /// What workers that are gone had counted; not in the record of an llb that does not keep that.
    #[serde(default)]
    pub totals: Totals,
    /// The workers.
    pub workers: Vec<WorkerRecord>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its slot.
    pub slot: u32,
    /// What it sees as `LLB_WORKER`; none in a record of an llb that gave none.
    #[serde(default)]
    pub number: Option<u32>,
    /// Its generation.
    pub generation: u32,
    /// The name of its cgroup, below the fleet's.
    pub cgroup: String,
    /// Its first process.
    pub pid: i32,
    /// When that was started: see [`procfs::started_at`].
    pub pid_started_at: u64,
    /// When it was spawned, ns.
    pub started_at: u64,
    /// How far its life had come.
    pub stage: Stage,
    /// Why it is to be replaced, if it is.
    pub asked_to_leave: Option<String>,
    /// Whether that is as it has reached a limit, and its replacement has not been started.
    #[serde(default)]
    pub is_recycled: bool,
    /// The seats that it holds.
    pub seats: Vec<SeatRecord>,
}

/// How far a worker's life had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Not ready.
    Starting,
    /// Ready.
    Serving,
    /// Out of its groups, finishing.
    Draining,
    /// Told to end, or killed.
    Stopping,
}

/// A seat, and what it had counted for others before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatRecord {
    /// Its index.
    pub seat: u32,
    /// The words of its books, without the zeros at the end.
    pub books: Vec<u64>,
    /// The answers by what they took, without the zeros at the end.
    pub latencies: Vec<u64>,
}

/// A worker that lives, and is the one that was written down.
#[derive(Debug)]
pub struct Survivor {
    /// What was written down.
    pub record: WorkerRecord,
    /// Its cgroup.
    pub cgroup: WorkerCgroup,
    /// Its first process.
    pub pidfd: PidFd,
}

impl Record {
    /// Reads the record in a runtime directory. Nothing if there is none, or if it is of an earlier start of the machine,
    /// which nothing has survived.
    ///
    /// # Errors
    /// [`Obstacle`] if it cannot be read, or the terms are others.
    pub fn read(directory: &Path, terms: &Terms) -> Result<Option<Self>, Obstacle> {
        let path = directory.join(FILE);
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Obstacle::Unreadable(error)),
            Ok(found) if found.len() > LARGEST_BYTES => {
                return Err(Obstacle::Unreadable(io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => fs::read(&path).map_err(Obstacle::Unreadable)?,
        };
        // Another version's record may have other fields; that it is another version must be said all the same.
        let bad = |error: serde_json::Error| Obstacle::Unreadable(error.into());
        let found: Terms = serde_json::from_slice(&text).map_err(bad)?;
        if found.boot != terms.boot {
            return Ok(None);
        }
        terms.accept(&found)?;
        serde_json::from_slice(&text).map(Some).map_err(bad)
    }

    /// Writes it into a runtime directory, in one step.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(text: &[u8], directory: &Path) -> io::Result<()> {
        let new = directory.join(format!("{FILE}.new"));
        fs::write(&new, text)?;
        fs::rename(&new, directory.join(FILE))
    }

    /// The workers that are still there: their cgroup is one of `cgroup`'s and made for them, and their first process is in
    /// it and the very one. Each once.
    ///
    /// Returns the others' cgroups too, which hold what dead workers have left behind.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn survivors(&self, cgroup: &FleetCgroup) -> Result<(Vec<Survivor>, Vec<WorkerCgroup>), super::CgroupError> {
        let (mut survivors, mut remains) = (Vec::new(), Vec::new());
        for cgroup in cgroup.workers()? {
            let of = |record: &&WorkerRecord| cgroup.path().file_name() == Some(record.cgroup.as_ref());
            match self.workers.iter().find(of).and_then(|record| record.find(&cgroup).map(|pidfd| (record, pidfd))) {
                Some((record, pidfd)) => survivors.push(Survivor { record: record.clone(), cgroup, pidfd }),
                None => remains.push(cgroup),
            }
        }
        survivors.sort_by_key(|survivor| (survivor.record.slot, survivor.record.started_at));
        Ok((survivors, remains))
    }
}

impl WorkerRecord {
    /// The first process, if it lives in `cgroup`, and `cgroup` was made for this worker.
    fn find(&self, cgroup: &WorkerCgroup) -> Option<PidFd> {
        let pid = Pid::from_raw(self.pid);
        let is_slot = (self.slot as usize) < MAX_SEATS;
        let is_owner = cgroup.owner() == Some((Slot(self.slot), Generation(self.generation)));
        if !is_slot || !is_owner || !cgroup.processes().ok()?.contains(&pid) {
            return None;
        }
        // From here on it is this process. What was said of it before may have been another's of the number.
        let pidfd = PidFd::open(pid).ok()?;
        let is_same = procfs::started_at(pid).ok()? == self.pid_started_at;
        (is_same && pidfd.is_alive().ok()?).then_some(pidfd)
    }
}

#[cfg(test)]
mod tests;
