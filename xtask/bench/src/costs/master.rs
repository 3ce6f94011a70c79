//! What llb's own process takes: time on the CPU, and memory.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::closed_loop;
use crate::fleet::{Bench, Fleet};
use crate::spec::CLIENTS;
use crate::wire;
use llb_kit::clock::now;
use llb_kit::http::try_get;

/// As many workers as cores of a large machine.
pub(super) const WORKERS: usize = 64;

/// The start, with its memory and its events, is over.
const SETTLED: Duration = Duration::from_secs(2);

/// Requests a second that all workers together report, in the load that does so: 1,563 each.
const REPORTS: u32 = 100_000;

/// A thousand publications.
const DURATION: Duration = Duration::from_secs(10);

/// Work by which all workers are busy all the time, and half of them with a request of which nobody knows whether it will end: one in
/// forty is long.
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(800);
const LONG_ONE_IN: usize = 40;

/// Workers that a line is served by, and their work: two thousand hand-overs a second.
const LINE_WORKERS: usize = 8;
const LINE_WORK: Duration = Duration::from_millis(4);

/// What it may take, as a part of one core; and when it reads what workers report.
const TARGET_CORES: f64 = 0.01;
const TARGET_REPORTED_CORES: f64 = 0.02;

/// A master under one load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Usage {
    pub(super) load: &'static str,
    /// Time on the CPU, as a part of one core, and what it may be.
    pub(super) cores: f64,
    pub(super) target_cores: f64,
    pub(super) memory: Memory,
}

/// Memory that is there, KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// The most that has been.
    pub(super) peak: u64,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Usage>> {
    let fleet = Fleet::steered(bench, "least-latency", "full", WORKERS)?;
    let master = fleet.first().context("the fleet has no process")?;
    thread::sleep(SETTLED);
    let mut usages = vec![
        watch(master, "idle", TARGET_CORES, rest)?,
        watch(master, "full load", TARGET_CORES, || closed_loop::run(fleet.addr, CLIENTS, 1, DURATION).map(drop))?,
    ];
    usages.push(watch(master, "all busy", TARGET_CORES, || keep_busy(fleet.addr, WORKERS, SHORT, LONG).map(drop))?);
    drop(fleet);

    let fleet = Fleet::reporting(bench, WORKERS, REPORTS.div_ceil(WORKERS as u32))?;
    let master = fleet.first().context("the fleet has no process")?;
    thread::sleep(SETTLED);
    usages.push(watch(master, "100,000 reports/s", TARGET_REPORTED_CORES, rest)?);
    Ok(usages)
}

/// What a hand-over from the line takes, ns of the CPU: all that llb does meanwhile, by the clients that waited.
pub(super) fn measure_hand_overs(bench: &Bench) -> Result<f64> {
    let fleet = Fleet::lined(bench, LINE_WORKERS)?;
    let clock = clock_getcpuclockid(fleet.first().context("the fleet has no process")?).context("llb has ended")?;
    let used = || clock_gettime(clock).map(Duration::from).context("llb has ended");
    thread::sleep(SETTLED);
    let before = used()?;
    // Twice as many as can be served at once: each waits for another's answer.
    let answers = keep_busy(fleet.addr, 2 * LINE_WORKERS, LINE_WORK, LINE_WORK)?;
    Ok((used()? - before).as_nanos() as f64 / answers.max(1) as f64)
}

/// So many clients ask one after the other, on connections of their own; how often they were answered.
fn keep_busy(addr: SocketAddr, clients: usize, short: Duration, long: Duration) -> Result<usize> {
    let end = now() + DURATION;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || {
                    // Not all of them at the same time.
                    let asked = (client..).map(|turn| if turn % LONG_ONE_IN == 0 { long } else { short });
                    asked.take_while(|_| now() < end).map(|work| ask(addr, work)).sum::<Result<usize>>()
                })
            })
            .collect();
        asking.into_iter().map(|client| client.join().expect("a client does not panic")).sum()
    })
}

/// One request of this work; 1 if it was answered.
fn ask(addr: SocketAddr, work: Duration) -> Result<usize> {
    let answer = try_get(&addr.to_string(), &wire::path(work.as_micros() as u64))?;
    Ok(usize::from(answer.status == 200))
}

fn rest() -> Result<()> {
    thread::sleep(DURATION);
    Ok(())
}

fn watch(pid: Pid, load: &'static str, target_cores: f64, during: impl FnOnce() -> Result<()>) -> Result<Usage> {
    let clock = clock_getcpuclockid(pid).context("llb has ended")?;
    let used = || clock_gettime(clock).map(Duration::from).context("llb has ended");
    let (begun, before) = (now(), used()?);
    during()?;
    let cores = (used()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("llb has ended")?;
    Ok(Usage {
        load,
        cores,
        target_cores,
        memory: Memory::read(&status).context("/proc tells nothing of llb's memory")?,
    })
}

impl Memory {
    /// From the text of `/proc/PID/status`.
    fn read(status: &str) -> Option<Self> {
        let field =
            |name| status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
        Some(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_its_lines_and_a_process_that_has_ended_has_none() {
        let status = "Name:\tllb\nVmPeak:\t  99999 kB\nVmHWM:\t   23344 kB\nVmRSS:\t    8200 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(Memory::read(status), Some(Memory { resident: 8_200, peak: 23_344 }));
        assert_eq!(Memory::read("Name:\tllb\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn time_on_the_cpu_is_counted_and_sleep_is_not() {
        let spin = || {
            let begun = now();
            while begun.elapsed() < Duration::from_millis(100) {}
            Ok(())
        };
        let busy = watch(Pid::this(), "busy", 1.0, spin).unwrap();
        assert!(busy.cores > 0.0 && busy.memory.peak >= busy.memory.resident, "{busy:?}");
    }
}
