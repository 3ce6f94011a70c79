//! `cargo xtask bench`: llb beside its peers, on this machine, in one run.
//!
//! The flow: [`scenario`] -> [`arrivals`] -> for every [`peer`] a [`fleet`] and its load ([`load`] or [`closed`]) ->
//! [`round`], with the [`ideal`] for the same requests -> [`table`] -> [`report`].

mod arrivals;
mod closed;
mod fleet;
mod ideal;
mod load;
mod machine;
mod peer;
#[cfg_attr(not(test), expect(dead_code, reason = "the report does not draw yet"))]
mod plot;
mod process;
mod quantiles;
mod report;
mod round;
mod scenario;
mod table;
mod wire;
mod worker;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::fleet::Bench;
use self::machine::Machine;
use self::peer::Peer;
use self::report::Report;
use self::round::Round;
use self::scenario::Scenario;
pub(crate) use self::worker::{WorkerArgs, work};
use crate::test::needs;
use crate::{paths, sh};

/// So many times the wanted rounds are run before a machine is given up as too noisy.
const MOST_TIMES: usize = 2;

/// A quick run begins no further round after this; a round takes up to a minute.
const QUICK_ENOUGH: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Short runs and one good round: under three minutes, for a first look
    #[arg(long)]
    quick: bool,
    /// Good rounds to measure [default: 5, or 1 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// This scenario only; repeatable
    #[arg(long)]
    scenario: Vec<Scenario>,
    /// Write every round to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables as a page to this file
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// Runs it as root in a release build, whatever this is.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) || !sh::is_root()? {
        return start_over();
    }
    if let Err(error) = needs::provide_for_bench() {
        eprintln!("{error:#}; going on without");
    }
    let (peers, missing): (Vec<_>, Vec<_>) = Peer::ALL.into_iter().partition(|peer| is_there(*peer));
    for peer in missing {
        println!("{} is not installed and is left out", peer.name());
    }
    let scenarios = if args.scenario.is_empty() { Scenario::ALL.to_vec() } else { args.scenario.clone() };
    let mut report = Report {
        machine: Machine::look()?,
        command: std::iter::once("cargo xtask".into()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" "),
        peers,
        scenarios: scenarios.into_iter().map(|scenario| (scenario, Vec::new())).collect(),
    };
    measure(&bench()?, args, &mut report)?;
    println!("{}", report.machine.line());
    print!("{}", report.text());
    if let Some(file) = &args.json {
        write(file, &format!("{:#}\n", report.json()))?;
    }
    if let Some(file) = &args.markdown {
        write(file, &report.page())?;
    }
    Ok(())
}

/// Interleaves the scenarios, and repeats each until it has its good rounds or has had its share of tries.
fn measure(bench: &Bench, args: &BenchArgs, report: &mut Report) -> Result<()> {
    let wanted = args.rounds.unwrap_or(if args.quick { 1 } else { 5 }).max(1);
    let start = crate::clock::now();
    for seed in 1..=(wanted * MOST_TIMES) as u64 {
        for (scenario, rounds) in &mut report.scenarios {
            let too_late = args.quick && args.rounds.is_none() && seed > 1 && start.elapsed() > QUICK_ENOUGH;
            if round::good(rounds).len() >= wanted || too_late {
                continue;
            }
            rounds.push(Round::run(bench, *scenario, &report.peers, seed, args.quick)?);
            println!("{}: round {seed}, {} good of {wanted} wanted", scenario.name(), round::good(rounds).len());
        }
    }
    Ok(())
}

/// Builds this and llb for release, and runs this again as root. It takes our place, so a signal meant for us is its.
fn start_over() -> Result<()> {
    let build = ["build", "--release", "--package", "llb-userspace", "--package", "xtask"];
    sh::run(Command::new(sh::cargo()).args(build).current_dir(paths::root()))?;
    let xtask = release().join("xtask");
    let mut again = if sh::is_root()? {
        Command::new(&xtask)
    } else {
        let sudo = sh::find("sudo").context("the benchmark needs root and there is no sudo here; run this as root")?;
        let mut again = Command::new(sudo);
        again.arg(&xtask);
        again
    };
    let error = again.args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot start {}", xtask.display()))
}

fn bench() -> Result<Bench> {
    let xtask = std::env::current_exe().context("where am I?")?;
    let llb = xtask.with_file_name("llb");
    if !llb.is_file() {
        bail!("there is no {}; start the benchmark with `cargo xtask bench`", llb.display());
    }
    let scratch = xtask.with_file_name("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    Ok(Bench { xtask, llb, scratch })
}

fn release() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::root().join("target"), Into::into);
    target.join("release")
}

fn is_there(peer: Peer) -> bool {
    peer.program().is_none_or(|program| sh::find(program).is_some())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
