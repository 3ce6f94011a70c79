//! The binary `llb`: its arguments, its exit codes, one file per command.

mod args;
mod check;
mod curl;
mod doctor;
mod events;
mod exit;
mod guard;
mod merge;
mod metrics;
mod options;
mod output;
mod process;
mod run;
mod status;
#[cfg(feature = "top")]
mod top;
mod verbs;
mod why;

use std::{process::ExitCode, time::Duration};

use args::{Cli, Command};
use clap::CommandFactory;
use merge::{MergeError, Merged, at_its_line, merge};
pub(crate) use options::{Options, OptionsError};

use crate::{
    config::Config,
    doctor::check_machine,
    observe::{
        log::{self, LogFormat},
        stderr, writer,
    },
};

/// The commands that are the binary's own.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// `llb demo`, with the seed of its load.
    pub demo: fn(u64) -> anyhow::Result<ExitCode>,
    /// One of its workers: the port, its slot, and the slot that is slow.
    pub demo_worker: fn(u16, u32, u32) -> anyhow::Result<ExitCode>,
    /// `llb bench-here`.
    pub bench_here: fn(BenchHere) -> anyhow::Result<ExitCode>,
}

/// What `llb bench-here` is to do.
#[derive(Clone, Debug)]
pub struct BenchHere {
    /// The fleet.
    pub config: Config,
    /// What its workers are asked for.
    pub path: String,
    /// Requests a second; one is found otherwise.
    pub rate: Option<u32>,
    /// How long it may take.
    pub time: Duration,
}

/// Runs the binary with the process's own arguments.
#[must_use]
pub fn main(own: Own) -> ExitCode {
    let result = match merge(std::env::args_os().collect()) {
        Ok(merged) => run_command(merged, own),
        // As clap shows it, help too.
        Err(MergeError::Usage(error)) => error.exit(),
        Err(MergeError::File(error)) => Err(error.into()),
    };
    let code = result.unwrap_or_else(|error| {
        stderr::fatal(&format!("llb: {error:#}"));
        exit::code(&error).into()
    });
    writer::flush();
    code
}

/// The command line, of which the manual pages and the shells' completions are made.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

fn run_command(Merged { cli, file }: Merged, own: Own) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run(args) => run::run(args).map_err(|error| at_its_line(file.as_ref(), error)),
        Command::Check(args) => check::run(args, file.as_ref()).map_err(|error| at_its_line(file.as_ref(), error)),
        Command::Demo(args) => {
            log::start("error", LogFormat::Human)?;
            check_machine()?;
            (own.demo)(args.seed)
        }
        Command::DemoWorker(args) => (own.demo_worker)(args.port, args.slot, args.slow_slot),
        Command::BenchHere(args) => {
            log::start("error", LogFormat::Human)?;
            check_machine()?;
            (own.bench_here)(run::bench_here(args)?)
        }
        Command::Doctor(args) => doctor::run(args),
        Command::DoctorWorker(args) => doctor::worker(&args),
        Command::Status(args) => status::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Curl(args) => curl::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Why(args) => why::run(&args),
        #[cfg(feature = "top")]
        Command::Top(args) => top::run(args),
        Command::Reload(args) => verbs::reload(&args),
        Command::Scale(args) => verbs::scale(&args),
        Command::Drain(args) => verbs::drain(&args),
        Command::Restart(args) => verbs::restart(&args),
        Command::Stop(args) => verbs::stop(&args),
        Command::Guard(args) => guard::run(&args),
    }
}
