//! `llb why`.

use std::process::ExitCode;

use super::{args::WhyArgs, exit::Exit, output};
use crate::{control::Failed, observe::stderr, why::report};

pub(super) fn run(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let seen = match args.common.fleet.of().why(args.time)? {
        Ok(seen) => seen,
        Err(Failed { error, .. }) => {
            stderr::line(&format!("llb: refused: {error}"));
            return Ok(Exit::Refused.into());
        }
    };
    output::write(&if args.common.json { serde_json::to_string(&seen)? + "\n" } else { report(&seen) })?;
    Ok(ExitCode::SUCCESS)
}
