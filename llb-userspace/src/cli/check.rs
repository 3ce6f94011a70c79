//! `llb check`: checks the options and files of an `llb run`. Nothing is run, and no rights are needed.

use std::process::ExitCode;

use super::{args::RunArgs, run};
use crate::{
    config::file::{File, FileError},
    fleet::{SpawnError, spawn},
};

pub(super) fn run(args: RunArgs, file: Option<&File>) -> anyhow::Result<ExitCode> {
    let config = run::config(args)?;
    if let Err(source) = spawn::find_program(&config.program) {
        return Err(wrong_command(file, &config.program.to_string_lossy(), source).into());
    }
    println!("ok");
    Ok(ExitCode::SUCCESS)
}

/// The command that is named cannot be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongCommand {
    /// The file names it.
    #[error(transparent)]
    InFile(FileError),
    /// The command line names it.
    #[error(transparent)]
    Given(SpawnError),
}

fn wrong_command(file: Option<&File>, program: &str, source: SpawnError) -> WrongCommand {
    let in_file =
        file.and_then(|file| file.get("command").filter(|setting| setting.begins_with(program)).zip(Some(file)));
    match in_file {
        Some((setting, file)) => WrongCommand::InFile(file.wrong(setting, source)),
        None => WrongCommand::Given(source),
    }
}
