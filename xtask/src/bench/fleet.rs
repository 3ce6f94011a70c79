//! A fleet that serves: a peer's workers, and what stands before them.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use super::peer::{self, Peer};
use super::process::Processes;
use super::scenario::{Scenario, WORKERS};
use super::worker;
use crate::clock::now;
use crate::sh;

/// How long a fleet may take until every worker listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the programs are, and where fleets may write.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(super) xtask: PathBuf,
    pub(super) llb: PathBuf,
    pub(super) scratch: PathBuf,
}

/// It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) addr: SocketAddr,
    processes: Processes,
}

impl Fleet {
    /// Starts it and waits until every worker listens.
    pub(super) fn start(bench: &Bench, peer: Peer, scenario: Scenario) -> Result<Self> {
        let log = bench.scratch.join("peer.log");
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let port = free_port()?;
        let mut processes = Processes::default();
        start(&mut processes, bench, peer, scenario, port, &log).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("{} does not serve; it said:\n{said}", peer.name())
        })?;
        Ok(Self { addr: (Ipv4Addr::LOCALHOST, port).into(), processes })
    }

    /// llb under this policy, with so many workers that do no work.
    pub(crate) fn steered(bench: &Bench, policy: &str, workers: usize) -> Result<Self> {
        let log = bench.scratch.join("llb.log");
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let port = free_port()?;
        let mut processes = Processes::default();
        let ready = worker::listen(0, false).context("cannot listen for the workers' word")?;
        let worker = peer::worker(&bench.xtask, Scenario::Cheap, Some(port), ready.local_addr()?.port());
        processes.start(&peer::llb(&bench.llb, policy, workers, &bench.scratch, port, &worker), Stdio::null(), &log)?;
        wait_for_workers(&mut processes, &ready, workers).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("llb does not serve; it said:\n{said}")
        })?;
        Ok(Self { addr: (Ipv4Addr::LOCALHOST, port).into(), processes })
    }

    /// The process that was started first; of a steered fleet that is llb.
    pub(crate) fn first(&self) -> Option<Pid> {
        self.processes.first()
    }
}

fn start(
    processes: &mut Processes,
    bench: &Bench,
    peer: Peer,
    scenario: Scenario,
    port: u16,
    log: &Path,
) -> Result<()> {
    let ready = worker::listen(0, false).context("cannot listen for the workers' word")?;
    let ready_port = ready.local_addr()?.port();
    let worker = |port| peer::worker(&bench.xtask, scenario, port, ready_port);
    let slots = 0..WORKERS;

    if let Some(policy) = peer.policy() {
        let llb = peer::llb(&bench.llb, policy, WORKERS, &bench.scratch, port, &worker(Some(port)));
        processes.start(&llb, Stdio::null(), log)?;
    } else if peer == Peer::Plain {
        for slot in slots {
            processes.start(
                worker(Some(port)).arg("--reuseport").env("WORKER_ID", slot.to_string()),
                Stdio::null(),
                log,
            )?;
        }
    } else if peer == Peer::Shared {
        let listener = worker::listen(port, false).context("cannot make the shared listener")?;
        for slot in slots {
            let inherited = OwnedFd::from(listener.try_clone().context("cannot copy the shared listener")?);
            processes.start(worker(None).env("WORKER_ID", slot.to_string()), inherited.into(), log)?;
        }
    } else {
        let ports = slots.clone().map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        for slot in slots {
            processes.start(worker(Some(ports[slot])).env("WORKER_ID", slot.to_string()), Stdio::null(), log)?;
        }
        processes.start(&proxy(bench, peer, port, &ports)?, Stdio::null(), log)?;
    }
    wait_for_workers(processes, &ready, WORKERS)?;
    wait_for_port(processes, port)
}

fn proxy(bench: &Bench, peer: Peer, port: u16, workers: &[u16]) -> Result<Command> {
    let name = peer.program().context("this peer is no proxy")?;
    let mut command = Command::new(sh::find(name).with_context(|| format!("{name} is not installed"))?);
    let file = bench.scratch.join(format!("{name}.conf"));
    let text = if peer == Peer::Nginx {
        command.arg("-c").arg(&file);
        peer::nginx_config(&bench.scratch, port, workers)
    } else {
        command.args(["-db", "-f"]).arg(&file);
        peer::haproxy_config(port, workers)
    };
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(command)
}

fn wait_for_workers(processes: &mut Processes, ready: &TcpListener, workers: usize) -> Result<()> {
    ready.set_nonblocking(true)?;
    let mut said = 0;
    wait(processes, &format!("{workers} workers to listen"), || match ready.accept() {
        Ok(_) => {
            said += 1;
            Ok(said == workers)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    })
}

fn wait_for_port(processes: &mut Processes, port: u16) -> Result<()> {
    wait(processes, &format!("port {port}"), || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()))
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
