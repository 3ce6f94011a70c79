//! llb's own chores. `cargo xtask --help` lists them.

mod simulate;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "llb's own chores")]
enum Chore {
    /// Compare the ways to choose a worker, in a simulation that runs the kernel's own choice
    Simulate(simulate::SimulateArgs),
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Simulate(args) => simulate::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
