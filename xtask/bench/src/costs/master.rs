//! What llb's own process takes: time on the CPU, and memory.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::closed;
use crate::fleet::{Bench, Fleet};
use crate::spec::CLIENTS;
use llb_kit::clock::now;

/// As many workers as cores of a large machine.
pub(super) const WORKERS: usize = 64;

/// The start, with its memory and its events, is over.
const SETTLED: Duration = Duration::from_secs(2);

/// Requests a second that all workers together report, in the load that does so: 1,563 each.
const REPORTS: u32 = 100_000;

/// A thousand publications.
const DURATION: Duration = Duration::from_secs(10);

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
        watch(master, "full load", TARGET_CORES, || closed::run(fleet.addr, CLIENTS, 1, DURATION).map(drop))?,
    ];
    drop(fleet);

    let fleet = Fleet::reporting(bench, WORKERS, REPORTS.div_ceil(WORKERS as u32))?;
    let master = fleet.first().context("the fleet has no process")?;
    thread::sleep(SETTLED);
    usages.push(watch(master, "100,000 reports/s", TARGET_REPORTED_CORES, rest)?);
    Ok(usages)
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
