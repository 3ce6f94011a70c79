//! `cargo xtask costs`: what llb itself costs on this machine, beside what it may cost.
//!
//! The kernel's programs: time a run, from the kernel's own run-time statistics, at several numbers of seats, while a
//! closed loop of cheap connections runs. What the statistics cost is measured at the same time with an empty program
//! ([`overhead`]), and taken off. The master: time on the CPU, and memory ([`master`]). A worker: what it takes to report a
//! request ([`reports`]). All of it in a network namespace of its own.

mod ebpf;
mod figures;
mod master;
mod overhead;
mod reports;
mod runs;

use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::figures::Report;
use crate::fleet::Bench;
use crate::machine::Machine;
use crate::run::write;
use crate::{netns, prepare};

/// Few, many, and as many as there can be.
const SEATS: [usize; 3] = [8, 64, 256];

/// The policy under which the selector does next to nothing, and the usual one.
const POLICIES: [&str; 2] = ["hash", "least-latency"];

/// The ways to keep track of less than usual.
const LESS: [&str; 2] = ["reports", "off"];

#[derive(Debug, clap::Args)]
pub(crate) struct CostsArgs {
    /// Measure the programs under datagrams only
    #[arg(long)]
    udp: bool,
    /// Measure the master only: its time on the CPU, its memory, and what a hand-over from the line takes
    #[arg(long, conflicts_with = "udp")]
    master: bool,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures everything.
pub(crate) fn run(args: &CostsArgs) -> Result<()> {
    prepare::check()?;
    // Before there is any thread, so that all of us is in there.
    netns::enter()?;
    let bench = prepare::bench("costs")?;
    // A fleet of 256 has more descriptors than a shell usually grants.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;

    let mut report = Report { machine: Machine::look()?, ..Report::default() };
    if args.udp {
        report.programs.push(ebpf::measure_datagrams(&bench).context("datagrams")?);
        print!("{}", report.text());
        return Ok(());
    }
    if args.master {
        measure_master(&bench, &mut report)?;
        print!("{}", report.text());
        return Ok(());
    }
    for policy in POLICIES {
        for seats in SEATS {
            let costs = ebpf::measure(&bench, policy, "full", seats);
            report.programs.push(costs.with_context(|| format!("{policy} with {seats} seats"))?);
        }
    }
    for tracking in LESS {
        let costs = ebpf::measure(&bench, "least-latency", tracking, SEATS[0]);
        report.programs.push(costs.with_context(|| format!("--tracking {tracking}"))?);
    }
    report.programs.push(ebpf::measure_datagrams(&bench).context("datagrams")?);
    report.reports = Some(reports::measure()?);
    measure_master(&bench, &mut report)?;
    print!("{}", report.text());
    match &args.json {
        Some(file) => write(file, &format!("{:#}\n", report.json())),
        None => Ok(()),
    }
}

fn measure_master(bench: &Bench, report: &mut Report) -> Result<()> {
    report.master = master::measure(bench)?;
    report.hand_over_ns = Some(master::measure_hand_overs(bench)?);
    Ok(())
}
