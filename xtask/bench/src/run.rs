//! One run of `cargo xtask bench`: rounds of scenarios, and what is written of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use llb_kit::{clock::now, needs};

use super::fleet::Bench;
use super::machine::Machine;
use super::pictures::Pictures;
use super::round::Round;
use super::scenario::Scenario;
use super::summary::{Report, Section};
use super::{cpus, json, netns, prepare, spec, traffic, udp};

/// So many times the wanted rounds are run before a machine is given up as too noisy.
const MOST_TIMES: usize = 2;

/// Good rounds that are wanted; three tell a difference from noise.
const ROUNDS: usize = 3;

/// So often a peer is measured in a round until the load generator was on time. A quick run has no time to try again.
const TRIES: usize = 2;

/// Unless rounds are asked for, no further one is begun after this; the last takes up to a minute and a half, or twice
/// that where much is measured again, and 12 s in a quick run.
const LONG_ENOUGH: Duration = Duration::from_secs(32 * 60);
const QUICK_ENOUGH: Duration = Duration::from_secs(165);

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// One short round with the peers that matter most: under three minutes, for a first look
    #[arg(long)]
    pub(super) quick: bool,
    /// Good rounds to measure [default: 3, or 1 with --quick]
    #[arg(long)]
    pub(super) rounds: Option<usize>,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Set::Peers)]
    set: Set,
    /// This cell of the traffic set only; repeatable
    #[arg(long, value_name = "NAME")]
    pub(super) cell: Vec<String>,
    /// This scenario only; repeatable
    #[arg(long)]
    scenario: Vec<Scenario>,
    /// Write every round to this file
    #[arg(long)]
    pub(super) json: Option<PathBuf>,
    /// Write the tables as a page to this file
    #[arg(long)]
    pub(super) markdown: Option<PathBuf>,
    /// Write pictures into this directory; the page shows them
    #[arg(long)]
    plots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Set {
    /// Other ways to put workers behind a port, in each scenario
    Peers,
    /// What real programs are asked, under each policy
    Traffic,
    /// Datagrams, beside plain SO_REUSEPORT
    Udp,
    /// A CPU for each worker (`--cpus`) and workers that give way (`--nice`), beside the same fleet without
    Cpus,
}

/// Measures what is asked for.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    prepare::check()?;
    if args.set == Set::Traffic {
        return traffic::run(args);
    }
    if args.set == Set::Udp {
        netns::enter()?;
        return udp::run(&prepare::bench("bench")?, &mut std::io::stdout());
    }
    if args.set == Set::Cpus {
        netns::enter()?;
        return cpus::run(&prepare::bench("bench")?, args);
    }
    if let Err(error) = needs::BENCH.check() {
        eprintln!("{error:#}; going on without");
    }
    netns::enter()?;
    let bench = prepare::bench("bench")?;
    let mut report = Report {
        machine: Machine::look()?,
        command: std::iter::once("cargo xtask".into()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" "),
        quick: args.quick,
        left_out: Vec::new(),
        node_shares: bench.node_shares,
        sections: Vec::new(),
    };
    let all = Scenario::value_variants();
    for scenario in if args.scenario.is_empty() { all } else { &args.scenario } {
        let mut spec = spec::spec(*scenario, args.quick);
        report.left_out.extend(prepare::leave_out(&mut spec));
        if !spec.peers.is_empty() {
            report.sections.push(Section { scenario: *scenario, spec, rounds: Vec::new(), failures: Vec::new() });
        }
    }
    report.left_out.dedup();
    for line in &report.left_out {
        println!("{line}");
    }
    measure(&bench, args, &mut report)?;
    println!("{}", report.machine.line());
    print!("{}", report.text());
    Ok(())
}

/// Interleaves the scenarios, and repeats each until it has its good rounds or has had its share of tries.
fn measure(bench: &Bench, args: &BenchArgs, report: &mut Report) -> Result<()> {
    let wanted = args.rounds.unwrap_or(if args.quick { 1 } else { ROUNDS }).max(1);
    let (most, tries) = if args.quick { (QUICK_ENOUGH, 1) } else { (LONG_ENOUGH, TRIES) };
    let start = now();
    for seed in 1..=(wanted * MOST_TIMES) as u64 {
        for section in &mut report.sections {
            let is_late = args.rounds.is_none() && start.elapsed() > most;
            if section.good().len() >= wanted || is_late {
                continue;
            }
            let name = section.scenario.name();
            // One that fails must not cost what half an hour has measured.
            match Round::run(bench, &section.spec, seed, tries) {
                Ok(round) => section.rounds.push(round),
                Err(error) => {
                    eprintln!("{name}: {error:#}");
                    section.failures.push(format!("{error:#}"));
                }
            }
            let (good, seconds) = (section.good().len(), start.elapsed().as_secs());
            println!("{:02}:{:02} {name}: round {seed}, {good} good of {wanted} wanted", seconds / 60, seconds % 60);
        }
        leave(args, report)?;
    }
    Ok(())
}

/// Writes what was asked for.
fn leave(args: &BenchArgs, report: &Report) -> Result<()> {
    if let Some(file) = &args.json {
        write(file, &format!("{}\n", json::json(report)))?;
    }
    let pictures = args.plots.clone().map(Pictures);
    if let Some(pictures) = &pictures {
        pictures.write(report)?;
    }
    if let Some(file) = &args.markdown {
        let shown = |scenario| pictures.as_ref().map_or_else(String::new, |all| all.shown_on(file, scenario));
        write(file, &report.page(shown))?;
    }
    Ok(())
}

pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
