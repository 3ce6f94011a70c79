//! Rounds of a load: all fleets are up, and take turns in short slices.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::{Load, Way};
use crate::closed_loop::{self, Seen};
use crate::fleet::{Bench, Fleet};
use crate::process::Processes;
use llb_kit::quantiles::{Quantiles, median, sorted};

/// How long one is asked at a time.
const SLICE: Duration = Duration::from_millis(250);

/// Slices of each in a round: a p99 of some thousand answers.
const TURNS: usize = 8;

/// What a fleet did in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Round {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
    pub(super) failed: usize,
    /// CPUs that the neighbour had meanwhile.
    pub(super) neighbour: f64,
}

/// What came of each way, in the order of the load's.
pub(super) fn run(bench: &Bench, load: Load, cpus: usize, rounds: usize) -> Result<Vec<(Way, Vec<Round>)>> {
    let spec = load.spec(cpus);
    let mut fleets = Vec::new();
    for way in load.ways() {
        let fleet = Fleet::arranged(bench, way.name(), way.arrangement(), &spec)?;
        fleet.rest(true);
        fleets.push((*way, fleet, Vec::new()));
    }
    let neighbour = if load.has_neighbour() { Some(Neighbour::start(bench)?) } else { None };
    let cpu_time = || neighbour.as_ref().map_or(Ok(Duration::ZERO), Neighbour::cpu_time);
    // The first is a warm-up.
    for round in 0..=rounds {
        let mut slices = vec![Vec::new(); fleets.len()];
        for turn in 0..TURNS {
            for at in 0..fleets.len() {
                // There and back again: of two neighbours each comes first once.
                let at = if turn % 2 == 0 { at } else { fleets.len() - 1 - at };
                let (way, fleet, _) = &fleets[at];
                fleet.rest(false);
                let before = cpu_time()?;
                let seen = closed_loop::run(fleet.addr, load.clients(cpus), load.requests_each(), SLICE);
                let got = cpu_time()? - before;
                fleet.rest(true);
                let seen = seen.with_context(|| way.name())?;
                slices[at].push((seen, got));
            }
        }
        if round > 0 {
            for ((way, _, rounds), slices) in fleets.iter_mut().zip(slices) {
                let answers = slices.iter().any(|(seen, _)| !seen.latencies.is_empty());
                ensure!(answers, "{} answers nobody", way.name());
                rounds.push(summed(&slices));
            }
        }
    }
    Ok(fleets.into_iter().map(|(way, _fleet, rounds)| (way, rounds)).collect())
}

fn summed(slices: &[(Seen, Duration)]) -> Round {
    let latencies = sorted(slices.iter().flat_map(|(seen, _)| &seen.latencies).copied().collect());
    Round {
        per_second: median(slices.iter().map(|(seen, _)| seen.per_second()).collect()),
        p99_ms: Quantiles::of(&latencies).p99 as f64 / 1e6,
        failed: slices.iter().map(|(seen, _)| seen.failed).sum(),
        neighbour: median(slices.iter().map(|(_, got)| got.as_secs_f64() / SLICE.as_secs_f64()).collect()),
    }
}

/// A program that computes for ever.
struct Neighbour(Processes);

impl Neighbour {
    fn start(bench: &Bench) -> Result<Self> {
        let mut processes = Processes::default();
        let mut computes = Command::new("sh");
        computes.args(["-c", "while :; do :; done"]);
        processes.start(&computes, Stdio::null(), &bench.scratch.join("neighbour.log"))?;
        Ok(Self(processes))
    }

    /// What it has had of the CPUs.
    fn cpu_time(&self) -> Result<Duration> {
        let pid = self.0.first().context("it was started")?;
        let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).context("the neighbour has ended")?;
        let ns = schedstat
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse()
            .context("/proc/PID/schedstat begins with a number")?;
        Ok(Duration::from_nanos(ns))
    }
}
