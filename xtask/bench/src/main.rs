//! `cargo xtask bench` and `costs`: llb beside its peers on this machine, in one run, and what it costs ([`costs`]).
//!
//! The flow: [`scenario`], [`spec`] -> [`arrivals`] -> for every [`peer`] a [`fleet`] and its load ([`open_loop`], or
//! [`closed_loop`] in [`slices`]) -> [`round`] of [`measured`], with the [`ideal`] for the same requests -> [`noise`] ->
//! [`figure`], [`table`], [`verdict`] -> [`summary`], [`json`], [`pictures`]. Apart from that:
//! [`traffic`], [`udp`], [`cpus`].

mod arrivals;
mod busy;
mod closed_loop;
mod command_lines;
mod costs;
mod cpus;
mod draw;
mod empty;
mod event_worker;
mod figure;
mod fleet;
mod ideal;
mod json;
mod machine;
mod measured;
mod netns;
mod noise;
mod open_loop;
mod peer;
mod pictures;
mod plot;
mod prepare;
mod process;
mod round;
mod run;
mod scenario;
mod section;
mod slices;
mod spec;
mod summary;
mod table;
mod traffic;
mod udp;
mod verdict;
mod wire;
mod worker;

use std::process::ExitCode;

use clap::Parser;

/// The first word is the chore's.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "What measures llb")]
enum Chore {
    /// Measure llb against its peers on this machine; asks for root
    Bench(run::BenchArgs),
    /// One worker of a benchmark: single-threaded, blocking or an event loop
    #[command(hide = true)]
    BenchWorker(worker::WorkerArgs),
    /// Measure what llb itself costs: its programs a run, its master in CPU and memory; asks for root
    Costs(costs::CostsArgs),
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Bench(args) => run::run(&args),
        Chore::BenchWorker(args) => worker::work(&args),
        Chore::Costs(args) => costs::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llb-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
