//! llb's own chores. `cargo xtask --help` lists them.

#![cfg_attr(not(feature = "all-chores"), allow(dead_code, reason = "the chores that are left out use it"))]

#[cfg(feature = "all-chores")]
mod api;
mod apt;
#[cfg(feature = "all-chores")]
mod bench;
mod clock;
#[cfg(feature = "all-chores")]
mod costs;
mod demo;
mod dist;
mod ebpf;
mod fuzz;
#[cfg(not(feature = "all-chores"))]
mod others;
mod paths;
mod programs;
mod sh;
#[cfg(feature = "all-chores")]
mod simulate;
mod test;
#[cfg(feature = "all-chores")]
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "llb's own chores")]
#[cfg_attr(not(feature = "all-chores"), command(after_help = others::HELP))]
enum Chore {
    /// List the public API of the libraries in their public-api.txt
    #[cfg(feature = "all-chores")]
    Api {
        /// Compare with the committed lists instead of replacing them
        #[arg(long)]
        check: bool,
    },
    /// Measure llb against its peers on this machine; asks for root
    #[cfg(feature = "all-chores")]
    Bench(bench::BenchArgs),
    /// One worker of a benchmark: single-threaded, blocking or an event loop
    #[cfg(feature = "all-chores")]
    #[command(hide = true)]
    BenchWorker(bench::WorkerArgs),
    /// Measure what llb itself costs: its programs a run, its master in CPU and memory; asks for root
    #[cfg(feature = "all-chores")]
    Costs(costs::CostsArgs),
    /// Build llb and show what it does; asks for root
    Demo,
    /// Make packages of llb: .deb, .rpm and a tarball, for x86-64 and aarch64
    Dist(dist::DistArgs),
    /// Compile the kernel side and write the object that llb-userspace embeds
    Ebpf {
        /// Rebuild elsewhere and compare with the committed object instead of replacing it
        #[arg(long)]
        check: bool,
    },
    /// Look for cases that break the report parser, the choice or the books
    Fuzz(fuzz::FuzzArgs),
    /// Drive real servers under llb, and say what their clients lost: all, or those whose names contain one of the words
    /// (`--help` among them tells more); needs root, and installs the servers
    Programs {
        /// Names, and options of llb-programs
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Run every test and lint; needs root for the integration tests and fails if any test is skipped
    Test(test::TestArgs),
    /// Compare the ways to choose a worker, in a simulation that runs the kernel's own choice; build it with --release
    #[cfg(feature = "all-chores")]
    Simulate(simulate::SimulateArgs),
    /// Boot the oldest kernels that llb is for in virtual machines, and run it and its tests there
    #[cfg(feature = "all-chores")]
    Vm(vm::VmArgs),
    #[cfg(not(feature = "all-chores"))]
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

fn main() -> ExitCode {
    if ebpf::wrapper::is_wanted() {
        return ebpf::wrapper::run();
    }
    let done = match Chore::parse() {
        #[cfg(feature = "all-chores")]
        Chore::Api { check: false } => api::write(),
        #[cfg(feature = "all-chores")]
        Chore::Api { check: true } => api::check(),
        #[cfg(feature = "all-chores")]
        Chore::Bench(args) => bench::run(&args),
        #[cfg(feature = "all-chores")]
        Chore::BenchWorker(args) => bench::work(&args),
        #[cfg(feature = "all-chores")]
        Chore::Costs(args) => costs::run(&args),
        Chore::Demo => demo::run(),
        Chore::Dist(args) => dist::run(&args),
        Chore::Ebpf { check: false } => ebpf::rebuild(),
        Chore::Ebpf { check: true } => ebpf::check(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Programs { words } => programs::run(&words),
        Chore::Test(args) => test::run(&args),
        #[cfg(feature = "all-chores")]
        Chore::Simulate(args) => simulate::run(&args),
        #[cfg(feature = "all-chores")]
        Chore::Vm(args) => vm::run(&args),
        #[cfg(not(feature = "all-chores"))]
        Chore::Other(words) => others::run(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
