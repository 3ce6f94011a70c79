//! A discrete-event simulation of a fleet. It drives the very function that the kernel runs,
//! `llb_common::select::choose`, over books that `llb_common::track` keeps and llb's own publisher publishes, and compares it
//! with other ways to choose on the same arrivals. This is how the policy is tuned: what is changed there must gain here in all scenarios
//! together.
//!
//! ```text
//! cargo xtask simulate                                 every scenario: 20 s on one core
//! cargo xtask simulate --scenario tail-8-90 --seed 7   one of them, and one seed; the same seed is the same run
//! ```
//!
//! Figures are the latencies of short requests, from the SYN to the first byte back, and their ratio to those of the
//! ideal: one queue from which every free worker takes, the fastest first. With unequal workers a ratio below 1 is
//! possible, as the ideal gives requests to a slow free worker rather than let them wait.
//!
//! Workers that compete for cores, and what waking one costs, are simulated apart ([`machine`]).
//!
//! What is not modelled: keep-alive (a connection is one request), rescue, the cost of the choice itself. One group has 256 seats at most ([`llb_common::abi::MAX_SEATS`]); more workers are several
//! groups, each with books and a master of its own, among which a hash chooses.

mod arrivals;
mod books;
mod figures;
mod machine;
mod method;
mod scenario;
mod scenarios;
#[cfg(test)]
mod tests;
mod worker;
mod world;

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser};

use figures::Line;
use machine::Machine;
use method::Method;
use scenario::Scenario;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// The first word is the chore's.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "What simulates llb")]
enum Chore {
    /// Compare the ways to choose a worker, in a simulation that runs the kernel's own choice
    Simulate(SimulateArgs),
}

/// What to simulate.
#[derive(Debug, Args)]
struct SimulateArgs {
    /// Only scenarios whose name begins so; repeatable
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Only ways to choose whose name begins so (the ideal is always there); repeatable
    #[arg(long = "policy", value_name = "NAME")]
    policies: Vec<String>,
    /// Run this seed only
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run seeds 1 to N; ratios are medians over them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Workers, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=4096))]
    workers: Option<u32>,
    /// Load, as a part of the capacity, instead of the scenario's; a machine has none
    #[arg(long, value_name = "X")]
    load: Option<f64>,
    /// Requests, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: Option<u32>,
    /// List the scenarios
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let Chore::Simulate(args) = Chore::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llb-simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for and prints it.
fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let seeds: Vec<u64> = args.seed.map_or_else(|| (1..=args.seeds).collect(), |seed| vec![seed]);
    let methods = methods(&args.policies)?;
    let (scenarios, machines) = chosen(args)?;
    for scenario in scenarios {
        let Scenario { name, workers, load, about, .. } = scenario;
        println!("{name}: {workers} workers, load {load}; {about}");
        if !args.list {
            println!("{}", figures::table(&lines(&scenario, &methods, &seeds)));
        }
    }
    for machine in machines {
        let Machine { name, workers, cores, about, .. } = machine;
        println!("{name}: {workers} workers on {cores} cores; {about}");
        if !args.list {
            println!("{}", machine::table(&machine, &methods, &seeds));
        }
    }
    Ok(())
}

fn lines(scenario: &Scenario, methods: &[Method], seeds: &[u64]) -> Vec<Line> {
    let line = |method: &Method| Line { name: method.name(), quantiles: Vec::new(), failed: Vec::new() };
    let mut lines: Vec<Line> = methods.iter().map(line).collect();
    for seed in seeds {
        let arrivals = arrivals::arrivals(scenario, *seed);
        for (line, method) in lines.iter_mut().zip(methods) {
            let outcome = world::run(scenario, *method, &arrivals, *seed);
            line.quantiles.push(figures::quantiles(&outcome));
            line.failed.push(outcome.failed as f64 / scenario.requests as f64);
        }
    }
    lines
}

fn chosen(args: &SimulateArgs) -> anyhow::Result<(Vec<Scenario>, Vec<Machine>)> {
    let wanted = |name: &str| args.scenarios.is_empty() || args.scenarios.iter().any(|begin| name.starts_with(begin));
    let mut chosen: Vec<Scenario> = scenarios::ALL.iter().filter(|scenario| wanted(scenario.name)).copied().collect();
    let mut machines: Vec<Machine> = machine::ALL.iter().filter(|machine| wanted(machine.name)).copied().collect();
    ensure!(
        !chosen.is_empty() || !machines.is_empty(),
        "no scenario is called {:?}; --list shows them",
        args.scenarios
    );
    for scenario in &mut chosen {
        scenario.workers = args.workers.map_or(scenario.workers, |workers| workers as usize);
        scenario.load = args.load.unwrap_or(scenario.load);
        scenario.requests = args.requests.map_or(scenario.requests, |requests| requests as usize);
        ensure!(scenario.load > 0.0 && scenario.load < 1.0, "a load of {} has no steady state", scenario.load);
    }
    for machine in &mut machines {
        machine.workers = args.workers.map_or(machine.workers, |workers| workers as usize);
        machine.requests = args.requests.map_or(machine.requests, |requests| requests as usize);
    }
    Ok((chosen, machines))
}

fn methods(names: &[String]) -> anyhow::Result<Vec<Method>> {
    let wanted = |method: &&Method| {
        **method == Method::Central || names.is_empty() || names.iter().any(|name| method.name().starts_with(name))
    };
    let methods: Vec<Method> = method::ALL.iter().filter(wanted).copied().collect();
    (names.is_empty() || methods.len() > 1).then_some(methods).with_context(|| {
        let known: Vec<String> = method::ALL.iter().map(|method| method.name()).collect();
        format!("no policy is called {names:?}; there are {}", known.join(", "))
    })
}
