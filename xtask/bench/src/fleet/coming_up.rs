//! How the workers of each arrangement, and what stands before them, come up.

use std::fs;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::unistd::Pid;

use super::{Bench, Fleet, PATIENCE, free_port, wait};
use crate::command_lines::{self, Listens, Programs};
use crate::empty::Hooked;
use crate::peer::{Arrangement, Proxy};
use crate::spec::Spec;
use crate::worker;
use llb_kit::sh;

/// Longest word of a worker that it listens: two numbers.
const WORD_MAX: u64 = 64;

impl Fleet {
    pub(super) fn come_up(&mut self, bench: &Bench, arrangement: Arrangement, spec: &Spec, log: &Path) -> Result<()> {
        let ready = worker::listen(0, false).context("cannot listen for the workers' word")?;
        let ready_port = ready.local_addr()?.port();
        let node_worker = bench.node_worker();
        let programs = Programs { this: &bench.this, llb: &bench.llb, node_worker: &node_worker };
        let worker = |listens| command_lines::worker(&programs, spec, listens, ready_port);
        let port = self.addr.port();
        let slots = 0..spec.workers();
        let mut start = |command: &mut Command, slot: usize, stdin| {
            self.processes.start(command.env("WORKER_ID", slot.to_string()), stdin, log)
        };

        // The group takes its program from the first listener, and keeps it when that closes.
        let mut first = None;
        match arrangement {
            Arrangement::Steered(policy) => {
                let worker = worker(Listens::On(port));
                let mut llb = command_lines::llb(&programs, spec, policy, &[], &bench.scratch, port, &worker);
                start(&mut llb, 0, Stdio::null())?;
            }
            Arrangement::With(options) => {
                let worker = worker(Listens::On(port));
                let mut llb =
                    command_lines::llb(&programs, spec, "least-latency", options, &bench.scratch, port, &worker);
                start(&mut llb, 0, Stdio::null())?;
            }
            Arrangement::OwnListeners => {
                for slot in slots {
                    start(&mut worker(Listens::Sharing(port)), slot, Stdio::null())?;
                }
            }
            Arrangement::Pinned(options) => {
                for slot in slots {
                    let mut worker = worker(Listens::Sharing(port));
                    start(worker.arg("--pinned").args(options), slot, Stdio::null())?;
                }
            }
            Arrangement::Hooked => {
                let hooked = self.hooked.insert(Hooked::new(port)?);
                let first = first.insert(worker::listen(port, true).context("cannot make a listener of the group")?);
                Hooked::choose(first)?;
                for slot in slots {
                    start(
                        &mut command_lines::inside(hooked.path(), &worker(Listens::Sharing(port))),
                        slot,
                        Stdio::null(),
                    )?;
                }
            }
            Arrangement::OneListener => {
                let listener = worker::listen(port, false).context("cannot make the shared listener")?;
                for slot in slots {
                    let inherited = OwnedFd::from(listener.try_clone().context("cannot copy the shared listener")?);
                    start(&mut worker(Listens::Inherited), slot, inherited.into())?;
                }
            }
            Arrangement::Cluster(schedule) => {
                start(&mut command_lines::cluster(&programs, spec, schedule, port, ready_port), 0, Stdio::null())?;
            }
            Arrangement::Proxied(kind) => {
                let ports = slots.clone().map(|_| free_port()).collect::<Result<Vec<_>>>()?;
                for slot in slots {
                    start(&mut worker(Listens::On(ports[slot])), slot, Stdio::null())?;
                }
                start(&mut proxy(bench, kind, port, &ports)?, 0, Stdio::null())?;
            }
        }
        self.hear_workers(&ready)?;
        drop(first);
        let port = self.addr;
        wait(&mut self.processes, &format!("{port}"), || Ok(TcpStream::connect(port).is_ok()))
    }

    fn hear_workers(&mut self, ready: &TcpListener) -> Result<()> {
        ready.set_nonblocking(true)?;
        let workers = &mut self.workers;
        wait(&mut self.processes, &format!("{} workers to listen", workers.len()), || match ready.accept() {
            Ok((stream, _)) => {
                let (slot, pid) = word(stream)?;
                *workers.get_mut(slot).with_context(|| format!("there is no slot {slot}"))? = Some(pid);
                Ok(workers.iter().all(Option::is_some))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        })
    }
}

/// Slot and process of the worker that listens.
fn word(stream: TcpStream) -> Result<(usize, Pid)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = String::new();
    stream.take(WORD_MAX).read_to_string(&mut said)?;
    let (slot, pid) = said.trim().split_once(' ').with_context(|| format!("a worker said {said:?}"))?;
    Ok((slot.parse()?, Pid::from_raw(pid.parse()?)))
}

fn proxy(bench: &Bench, kind: Proxy, port: u16, workers: &[u16]) -> Result<Command> {
    let (program, options, text) = match kind {
        Proxy::Haproxy { one_each } => {
            ("haproxy", &["-db", "-f"][..], command_lines::haproxy_config(port, workers, one_each))
        }
        Proxy::Nginx => ("nginx", &["-c"][..], command_lines::nginx_config(&bench.scratch, port, workers)),
    };
    let file = bench.scratch.join(format!("{program}.conf"));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(sh::find(program).with_context(|| format!("{program} is not installed"))?);
    command.args(options).arg(&file);
    Ok(command)
}
