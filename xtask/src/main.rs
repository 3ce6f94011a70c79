//! llb's own chores. `cargo xtask --help` lists them.

mod demo;
mod ebpf;
mod fuzz;
mod lint;
mod programs;
mod setup;
mod step;
mod test;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "llb's own chores", after_help = tools::HELP)]
enum Chore {
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
    /// Check formats, lints and the documentation
    Lint,
    /// Drive real servers under llb, and say what their clients lost: all, or those whose names contain one of the words
    /// (`--help` among them tells more); needs root, and installs the servers
    Programs {
        /// Names, and options of llb-programs
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Install what a chore needs and this machine lacks; needs root on Debian
    Setup(setup::SetupArgs),
    /// Run every test; needs root for the integration tests and fails if any test is skipped
    Test(test::TestArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

fn main() -> ExitCode {
    if ebpf::wrapper::is_wanted() {
        return ebpf::wrapper::run();
    }
    let done = match Chore::parse() {
        Chore::Demo => demo::run(),
        Chore::Ebpf { check: false } => ebpf::rebuild(),
        Chore::Ebpf { check: true } => ebpf::check(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Lint => lint::run(),
        Chore::Programs { words } => programs::run(&words),
        Chore::Setup(args) => setup::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Other(words) => tools::run(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
