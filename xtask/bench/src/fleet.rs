//! A fleet that serves: a peer's workers, and what stands before them.

mod coming_up;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::command_lines;
use super::empty::Hooked;
use super::peer::{Arrangement, Peer};
use super::process::Processes;
use super::scenario::Scenario;
use super::spec::{Spec, spec};
use llb_kit::clock::now;

/// How long a fleet may take until every worker listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the programs are, and where fleets may write.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    /// This one, which is a worker too.
    pub(super) this: PathBuf,
    pub(super) llb: PathBuf,
    pub(super) scratch: PathBuf,
    /// Whether Node can set SO_REUSEPORT itself.
    pub(super) node_shares: bool,
}

impl Bench {
    pub(super) fn node_worker(&self) -> PathBuf {
        self.scratch.join("worker.js")
    }
}

/// It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) addr: SocketAddr,
    /// Each slot's process.
    workers: Vec<Option<Pid>>,
    processes: Processes,
    /// Where they are, if that is a cgroup of their own.
    hooked: Option<Hooked>,
}

impl Fleet {
    /// Starts it and waits until every worker listens.
    pub(super) fn start(bench: &Bench, peer: Peer, spec: &Spec) -> Result<Self> {
        Self::arranged(bench, peer.name(), peer.arrangement(spec.kind, bench.node_shares), spec)
    }

    /// llb under this policy, with so many workers that block.
    pub(crate) fn steered(bench: &Bench, policy: &'static str, tracking: &'static str, workers: usize) -> Result<Self> {
        let spec = Spec { slowness: vec![1.0; workers], tracking, ..spec(Scenario::Cheap, true) };
        Self::arranged(bench, "llb", Arrangement::Steered(policy), &spec)
    }

    /// llb with so many workers that block, and a line before them.
    pub(crate) fn lined(bench: &Bench, workers: usize) -> Result<Self> {
        let spec = Spec { slowness: vec![1.0; workers], ..spec(Scenario::Cheap, true) };
        Self::arranged(bench, "llb", Arrangement::With(&["--concurrency", "1"]), &spec)
    }

    /// llb with so many workers, each of which reports so many requests a second and is asked for nothing.
    pub(crate) fn reporting(bench: &Bench, workers: usize, reports: u32) -> Result<Self> {
        let spec = Spec { slowness: vec![1.0; workers], reports, ..spec(Scenario::Cheap, true) };
        Self::arranged(bench, "llb", Arrangement::Steered("least-latency"), &spec)
    }

    /// llb under this policy, with so many workers of any program; `worker` says how one is started that listens on a port.
    /// `number` is one for each fleet that is there at the same time.
    pub(super) fn of_program(
        bench: &Bench,
        number: usize,
        policy: &str,
        workers: usize,
        worker: impl Fn(u16) -> Command,
    ) -> Result<Self> {
        let port = free_port()?;
        let log = bench.scratch.join(format!("traffic-{number}.log"));
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let name = format!("traffic-{}-{number}", std::process::id());
        let mut llb = command_lines::llb_of(&bench.llb, &name, policy, workers, &bench.scratch, port, &worker(port));
        let mut fleet = Self {
            addr: (Ipv4Addr::LOCALHOST, port).into(),
            workers: Vec::new(),
            processes: Processes::default(),
            hooked: None,
        };
        fleet.processes.start(llb.env("PYTHONDONTWRITEBYTECODE", "1"), Stdio::null(), &log)?;
        wait(&mut fleet.processes, &format!("{workers} workers to serve"), || {
            Ok(fs::read_to_string(&log)?.contains("llb: serving "))
        })
        .with_context(|| format!("llb does not serve; it said:\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
        Ok(fleet)
    }

    /// Asks all that we started of it to end, and does not wait: dropping it does.
    pub(super) fn end(&self) {
        self.processes.signal(Signal::SIGTERM);
    }

    /// Starts one that is arranged so.
    pub(super) fn arranged(bench: &Bench, name: &str, arrangement: Arrangement, spec: &Spec) -> Result<Self> {
        let port = free_port()?;
        let log = bench.scratch.join("peer.log");
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let mut fleet = Self {
            addr: (Ipv4Addr::LOCALHOST, port).into(),
            workers: vec![None; spec.workers()],
            processes: Processes::default(),
            hooked: None,
        };
        fleet.come_up(bench, arrangement, spec, &log).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("{name} does not serve; it said:\n{said}")
        })?;
        Ok(fleet)
    }

    /// The process of the worker of this slot.
    pub(super) fn worker(&self, slot: usize) -> Result<Pid> {
        self.workers.get(slot).copied().flatten().with_context(|| format!("nothing was heard of worker {slot}"))
    }

    /// The process that was started first; of a steered fleet that is llb.
    pub(crate) fn first(&self) -> Option<Pid> {
        self.processes.first()
    }

    /// Stops all that we started of it, or lets it go on: a fleet that waits for its turn costs nothing. llb's workers
    /// go on, as idle as the others'.
    pub(super) fn rest(&self, rest: bool) {
        self.processes.signal(if rest { Signal::SIGSTOP } else { Signal::SIGCONT });
    }
}

fn wait(processes: &mut Processes, what: &str, mut is_there: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = now() + PATIENCE;
    while !is_there()? {
        if processes.any_ended() {
            bail!("a process ended while we waited for {what}");
        }
        if now() >= deadline {
            bail!("waited {PATIENCE:?} for {what}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A port that nobody holds. Somebody may take it before we do; then the fleet does not start.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}
