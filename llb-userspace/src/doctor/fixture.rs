//! Where the examination takes place: a fleet's cgroup, and workers in it.

use std::{ffi::OsString, fs, io, path::Path, time::Duration};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

use super::{
    PREFIX, Wanted,
    missing::{Missing, Tried},
};
use crate::{
    causes::chain,
    config::{Identity, Resources},
    fleet::{CgroupError, FleetCgroup, Order, Output, SpawnError, Spawned, WorkerCgroup, clear_leftover, spawn},
    model::{Generation, Slot},
    sys::{
        child::{Scheduling, try_wait},
        mounts::MountsError,
        pidfd::PidFd,
    },
};

/// How long a worker may take to start and to say so. It takes some milliseconds, and longer on a machine that is emulated.
const START: Duration = Duration::from_secs(10);

/// The fleet's cgroup. Dropped, it takes along all that is in it.
pub(super) struct CgroupFixture {
    cgroup: FleetCgroup,
    worker: Vec<OsString>,
}

/// A running worker. Dropped, it is killed, and its cgroup removed.
pub(super) struct Helper {
    pub cgroup: WorkerCgroup,
    pid: Pid,
    pidfd: PidFd,
    channel: UnixStream,
}

/// Makes the cgroup, and sees whether a process can live in one below it, be killed there and be rid of.
pub(super) async fn make(wanted: &Wanted) -> Tried<CgroupFixture> {
    let cgroup = FleetCgroup::create(&wanted.name).map_err(|error| missing(&error))?;
    sweep(cgroup.path().parent());
    let mut fixture = CgroupFixture { cgroup, worker: wanted.worker.clone() };
    let path = fixture.cgroup.path().display().to_string();
    let mut helper = fixture.spawn(Slot(0), &[], None)?;
    helper
        .word()
        .await
        .map_err(|error| Missing::new(format!("a worker in {path} does not start: {error}"), UNEXPECTED))?;
    match helper.cgroup.is_populated() {
        Ok(true) => {}
        Ok(false) => return Err(Missing::new(format!("a worker that was put into {path} is not in it"), UNEXPECTED)),
        Err(error) => return Err(missing(&error)),
    }
    clear_leftover(helper.cgroup.path()).map_err(|error| missing(&error))?;
    Ok((fixture, format!("a process lived in a cgroup of its own below {path}")))
}

/// Removes the cgroups of examinations that were killed: their workers have ended with them. One that runs after all,
/// in a pid namespace that we do not see into, has processes in its cgroup, which then cannot be removed.
fn sweep(parent: Option<&Path>) {
    let siblings = parent.and_then(|parent| fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    for sibling in siblings {
        let name = sibling.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("llb.")?.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for worker in fs::read_dir(sibling.path()).into_iter().flatten().flatten() {
                // Fails for its files, which need no removal.
                let _ = fs::remove_dir(worker.path());
            }
            let _ = fs::remove_dir(sibling.path());
        }
    }
}

const UNEXPECTED: &str = "run `llb doctor --log debug` and look at what the kernel says (dmesg)";

impl CgroupFixture {
    pub(super) fn cgroup(&self) -> &FleetCgroup {
        &self.cgroup
    }

    pub(super) fn worker_level(&self) -> Option<u32> {
        self.cgroup.worker_level()
    }

    /// Starts a worker with these further arguments, as somebody else or as who we are.
    pub(super) fn spawn(
        &mut self,
        slot: Slot,
        args: &[String],
        identity: Option<&Identity>,
    ) -> Result<Helper, Missing> {
        let failed = |error: SpawnError| Missing::error(&error, UNEXPECTED);
        let cgroup = self.cgroup.worker(slot, Generation(0), Resources::default()).map_err(|error| missing(&error))?;
        let [program, first @ ..] = self.worker.as_slice() else {
            return Err(Missing::new("no worker command", UNEXPECTED));
        };
        let args: Vec<OsString> = first.iter().cloned().chain(args.iter().map(Into::into)).collect();
        let order = Order {
            program,
            args: &args,
            directory: None,
            slot,
            number: 0,
            generation: Generation(0),
            identity,
            notify: None,
            scheduling: Scheduling::default(),
            output: Output::Captured,
        };
        let Spawned { pid, pidfd, channel, .. } = spawn(&order, &cgroup).map_err(failed)?;
        let channel = UnixStream::from_std(channel).map_err(|error| Missing::error(&error, UNEXPECTED));
        match channel {
            Ok(channel) => Ok(Helper { cgroup, pid, pidfd, channel }),
            Err(missing) => {
                let _ = clear_leftover(cgroup.path());
                Err(missing)
            }
        }
    }
}

impl Helper {
    /// The worker's word, one line: empty if all is well.
    pub(super) async fn word(&mut self) -> io::Result<String> {
        let mut word = Vec::new();
        let line = async {
            while !word.ends_with(b"\n") {
                if self.channel.read_buf(&mut word).await? == 0 {
                    return Err(io::Error::other("it has ended"));
                }
            }
            Ok(String::from_utf8_lossy(&word).trim_end().to_owned())
        };
        timeout(START, line).await.map_err(io::Error::from)?
    }

    /// Its process.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The same by a name that is never reused.
    pub(super) fn pidfd(&self) -> &PidFd {
        &self.pidfd
    }

    /// Kills it, and leaves it to the kernel what becomes of its connections.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.pidfd.signal(Signal::SIGKILL)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // What fails here is tried again with the fleet's cgroup.
        let _ = clear_leftover(self.cgroup.path());
        let _ = try_wait(self.pid);
    }
}

impl Drop for CgroupFixture {
    fn drop(&mut self) {
        // Its own drop removes it only when it is empty.
        let _ = clear_leftover(self.cgroup.path());
    }
}

fn missing(error: &CgroupError) -> Missing {
    match error {
        CgroupError::Mounts(MountsError::NotMounted) => Missing::new(
            "cgroup v2 is mounted nowhere in /proc/self/mountinfo",
            "mount it: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
        CgroupError::Create { path, source } => Missing::new(
            format!("cannot make the cgroup {}: {source}", path.display()),
            match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => {
                    "cgroup v2 is mounted read-only: mount -o remount,rw it (a container: \
                     --security-opt writable-cgroups=true, Podman: --security-opt unmask=/sys/fs/cgroup; or \
                     -v /sys/fs/cgroup:/sys/fs/cgroup --cgroupns host)"
                }
                _ => "run llb as root, or in a cgroup that is delegated to it (systemd: Delegate=yes)",
            },
        ),
        error => Missing::new(chain(error), "see that cgroup v2 is mounted, writable, and shows llb's own cgroup"),
    }
}
