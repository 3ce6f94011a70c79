//! llb's own chores. `cargo xtask --help` lists them.

mod api;
mod apt;
mod bench;
mod clock;
mod costs;
mod demo;
mod ebpf;
mod fuzz;
mod paths;
mod sh;
mod simulate;
mod test;
mod vm;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "llb's own chores")]
enum Chore {
    /// List the public API of the libraries in their public-api.txt
    Api {
        /// Compare with the committed lists instead of replacing them
        #[arg(long)]
        check: bool,
    },
    /// Measure llb against its peers on this machine; asks for root
    Bench(bench::BenchArgs),
    /// One worker of a benchmark: single-threaded, blocking or an event loop
    #[command(hide = true)]
    BenchWorker(bench::WorkerArgs),
    /// Measure what llb itself costs: its programs a run, its master in CPU and memory; asks for root
    Costs(costs::CostsArgs),
    /// Build llb and show what it does; asks for root
    Demo,
    /// Compile the kernel side and write the object that llb-userspace embeds
    Ebpf {
        /// Rebuild elsewhere and compare with the committed object instead of replacing it
        #[arg(long)]
        check: bool,
    },
    /// Look for cases that break the report parser, the choice or the books
    Fuzz(fuzz::FuzzArgs),
    /// Run every test and lint; needs root for the integration tests and fails if any test is skipped
    Test,
    /// Compare the ways to choose a worker, in a simulation that runs the kernel's own choice; build it with --release
    Simulate(simulate::SimulateArgs),
    /// Boot the oldest kernels that llb is for in virtual machines, and run it and its tests there
    Vm(vm::VmArgs),
}

fn main() -> ExitCode {
    if ebpf::wrapper::is_wanted() {
        return ebpf::wrapper::run();
    }
    let done = match Chore::parse() {
        Chore::Api { check: false } => api::write(),
        Chore::Api { check: true } => api::check(),
        Chore::Bench(args) => bench::run(&args),
        Chore::BenchWorker(args) => bench::work(&args),
        Chore::Costs(args) => costs::run(&args),
        Chore::Demo => demo::run(),
        Chore::Ebpf { check: false } => ebpf::rebuild(),
        Chore::Ebpf { check: true } => ebpf::check(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Test => test::run(),
        Chore::Simulate(args) => simulate::run(&args),
        Chore::Vm(args) => vm::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
