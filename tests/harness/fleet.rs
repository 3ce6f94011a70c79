//! A fleet, run by the real binary, and gone when the test is over.

use std::{
    os::unix::{fs::chown, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use llb::{
    control::Client,
    internals::{clear_leftover, fleet_path},
    observe::status::{GroupStatus, Status, WorkerStatus},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    DEADLINE, holds_within,
    launcher::Launcher,
    output::Output,
    pins::{clear_pins, pins_of},
    until,
};

/// The binary under test.
pub(crate) const LLB: &str = env!("CARGO_BIN_EXE_llb");

/// A running `llb run`. Dropping it ends it, and fails the test if anything of it is left.
#[derive(Debug)]
pub(crate) struct Fleet {
    name: String,
    runtime: TempDir,
    cgroup: PathBuf,
    master: Child,
    stdout: Output,
    stderr: Output,
    ended: Option<ExitStatus>,
    by: Launcher,
    stage: PathBuf,
}

/// How a fleet ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What llb and its workers wrote as errors.
    pub stderr: String,
}

impl Fleet {
    /// Starts it; the workers know `stage` as `$STAGE`.
    #[track_caller]
    pub(crate) fn launch(stage: &Path, args: &[&str], command: &[&str]) -> Self {
        Self::launch_by(&Launcher::default(), stage, args, command)
    }

    /// Starts it otherwise than by running the binary as it is.
    #[track_caller]
    pub(crate) fn launch_by(by: &Launcher, stage: &Path, args: &[&str], command: &[&str]) -> Self {
        let name = unique_name();
        let cgroup = match &by.cgroup {
            Some(parent) => parent.join(format!("llb.{name}")),
            None => fleet_path(&name.parse().expect("a name")).expect("cgroup v2"),
        };
        let runtime = TempDir::new().expect("a temporary directory");
        chown(runtime.path(), by.owner, None).expect("a directory of the fleet's user");
        let (master, stdout, stderr) = by.start(&name, runtime.path(), stage, args, command);
        Fleet { name, runtime, cgroup, master, stdout, stderr, ended: None, by: by.clone(), stage: stage.to_owned() }
    }

    /// Kills the master, and waits until it is dead: its workers are nobody's.
    #[track_caller]
    pub(crate) fn kill_master(&mut self) {
        self.signal(Signal::SIGKILL);
        assert!(self.has_ended_in_time(), "a killed process does not end");
    }

    /// Starts another master on the fleet's name, whose own has died. The fleet is that one's from here on.
    #[track_caller]
    pub(crate) fn take_over(&mut self, args: &[&str], command: &[&str]) {
        let by = self.by.clone();
        self.take_over_by(by, args, command);
    }

    /// The same, by way of another launcher.
    #[track_caller]
    pub(crate) fn take_over_by(&mut self, by: Launcher, args: &[&str], command: &[&str]) {
        assert!(self.ended.is_some(), "its master lives");
        self.by = by;
        let (master, stdout, stderr) = self.by.start(&self.name, self.runtime.path(), &self.stage, args, command);
        (self.master, self.stdout, self.stderr, self.ended) = (master, stdout, stderr, None);
        self.wait_until_serving();
    }

    /// Waits for the line that says that every slot is ready.
    #[track_caller]
    pub(crate) fn wait_until_serving(&self) {
        let serves = || self.stderr().contains("llb: serving ");
        let over = || serves() || self.stderr.is_closed();
        assert!(holds_within(DEADLINE, over) && serves(), "llb does not serve: {}", self.stderr());
    }

    /// Waits until these addresses, and no others, are steered by all of `slots`: a worker is ready with its first
    /// listener, so a second one may come after the fleet's first word.
    #[track_caller]
    pub(crate) fn wait_for_groups(&self, addresses: &[&str], slots: u32) {
        let slots: Vec<u32> = (0..slots).collect();
        let mut expected: Vec<GroupStatus> = addresses
            .iter()
            .map(|address| GroupStatus { address: (*address).to_owned(), slots: slots.clone() })
            .collect();
        expected.sort_by(|a, b| a.address.cmp(&b.address));
        let mut groups = Vec::new();
        let complete = holds_within(DEADLINE, || {
            groups = self.status().groups;
            groups.sort_by(|a, b| a.address.cmp(&b.address));
            groups == expected
        });
        assert!(complete, "expected {expected:#?}, there are {groups:#?}\n{}", self.stderr());
    }

    /// What `llb status --json` says, without its process: tests look often, and starting one costs more than the answer.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        Client::new(self.runtime.path(), &self.name).status().unwrap_or_else(|error| panic!("llb status: {error}"))
    }

    /// A command of the binary that is about this fleet.
    pub(crate) fn command(&self, command: &str) -> Command {
        let mut llb = Command::new(LLB);
        llb.args([command, "--name", &self.name, "--runtime-dir"]).arg(self.runtime.path());
        llb
    }

    /// The oldest worker of a slot.
    #[track_caller]
    pub(crate) fn worker(&self, slot: u32) -> WorkerStatus {
        let workers = self.status().workers;
        workers.into_iter().find(|worker| worker.slot == slot).unwrap_or_else(|| panic!("no worker in slot {slot}"))
    }

    /// Waits until no connection is open and no request in flight: the books are balanced.
    #[track_caller]
    pub(crate) fn wait_until_quiet(&self) {
        until("all connections are closed", || {
            self.status().workers.iter().all(|worker| (worker.open, worker.in_flight) == (Some(0), Some(0)))
        });
    }

    /// How many requests are in flight.
    #[track_caller]
    pub(crate) fn in_flight(&self) -> u64 {
        self.status().workers.iter().filter_map(|worker| worker.in_flight).sum()
    }

    /// The fleet's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its lock and control socket lie: `runtime_dir()/name()`.
    pub(crate) fn runtime_dir(&self) -> &Path {
        self.runtime.path()
    }

    /// The directories in which it has pinned its programs and maps.
    pub(crate) fn pins(&self) -> Vec<PathBuf> {
        pins_of(&self.name, self.runtime.path())
    }

    /// Where its workers live.
    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The master.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.master.id().cast_signed())
    }

    /// What llb and its workers have written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What llb and its workers have written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends the master a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "the master has ended");
        kill(self.pid(), signal).expect("a child that has not been waited for");
    }

    /// Ends it in order, by SIGTERM, and asserts that nothing of it is left.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Ended {
        self.terminate();
        self.finish()
    }

    /// Waits for an end that the test has brought about, and asserts that nothing of the fleet is left.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        self.finish()
    }

    #[track_caller]
    fn finish(&mut self) -> Ended {
        assert!(self.has_ended_in_time(), "llb does not end: {}", self.stderr());
        let status = self.ended.expect("an end");
        // Their last words are read when the last of those who hold the pipes has ended.
        until("llb's output is closed", || self.stdout.is_closed() && self.stderr.is_closed());
        self.assert_gone();
        Ended { code: status.code(), signal: status.signal(), stderr: self.stderr() }
    }

    fn terminate(&mut self) {
        if !self.has_ended() {
            // The child has not been waited for, so the pid is its own.
            let _ = kill(self.pid(), Signal::SIGTERM);
        }
    }

    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.master.try_wait().expect("a child");
        }
        self.ended.is_some()
    }

    fn has_ended_in_time(&mut self) -> bool {
        holds_within(DEADLINE, || self.has_ended())
    }

    #[track_caller]
    fn assert_gone(&self) {
        assert!(!self.cgroup.exists(), "the cgroup {} is left, so processes may be", self.cgroup.display());
        let directory = self.runtime.path().join(&self.name);
        assert!(!directory.exists(), "{} is left", directory.display());
        assert_eq!(self.pins(), Vec::<PathBuf>::new(), "pins are left");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.terminate();
        let in_order = self.has_ended_in_time();
        if !in_order {
            // It has been given its time; what it leaves behind is cleared next.
            let _ = self.master.kill();
            self.ended = self.master.wait().ok();
        }
        let left = self.cgroup.exists();
        // A test that fails shows why below; it must not leave anything either.
        let cleared = clear_leftover(&self.cgroup);
        let pinned = self.pins();
        clear_pins(&self.name, self.runtime.path());
        if thread::panicking() {
            eprintln!("--- the fleet's stdout\n{}\n--- the fleet's stderr\n{}", self.stdout(), self.stderr());
            return;
        }
        assert!(in_order, "llb did not end in time after SIGTERM: {}", self.stderr());
        assert!(!left, "llb left its cgroup {}: {cleared:?}", self.cgroup.display());
        assert_eq!(pinned, Vec::<PathBuf>::new(), "llb left its pins");
        self.assert_gone();
    }
}

/// Names are unique on the machine as long as pids are: tests run in parallel, in several processes.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
