//! The binary `llb`: its arguments, its exit codes, one file per command.

mod args;
mod demo;
mod doctor;
mod exit;
mod guard;
mod run;
mod status;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

use crate::observe::stderr;

/// Runs the binary with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(args),
        Command::DemoWorker(args) => demo::worker(args),
        Command::Doctor(args) => doctor::run(args),
        Command::DoctorWorker(args) => doctor::worker(&args),
        Command::Status(args) => status::run(&args),
        Command::Guard(args) => guard::run(&args),
    };
    let code = result.unwrap_or_else(|error| {
        stderr::line(&format!("llb: {error:#}"));
        exit::code(&error).into()
    });
    stderr::flush();
    code
}
