//! `llb metrics`: the metrics of the fleets of this machine, as text.

use std::process::ExitCode;

use super::{args::MetricsArgs, output};
use crate::{
    control::{self, Client, ControlError},
    metrics::{Format, encode, families},
    observe::{status::Status, stderr},
};

pub(super) fn run(args: &MetricsArgs) -> anyhow::Result<ExitCode> {
    let status = |name: &str| Client::new(&args.runtime_dir, name).status();
    let fleets: Vec<Status> = if args.fleets.is_empty() {
        let known = control::names(&args.runtime_dir)?;
        known.iter().filter_map(|name| told(status(name))).collect()
    } else {
        args.fleets.iter().map(|name| status(name.as_str())).collect::<Result<_, _>>()?
    };
    output::write(&encode(families(&fleets), Format::Text))?;
    Ok(ExitCode::SUCCESS)
}

/// One that does not answer must not hide the others. One whose master is gone has nothing to say.
fn told(status: Result<Status, ControlError>) -> Option<Status> {
    match status {
        Ok(status) => Some(status),
        Err(ControlError::NotRunning { .. }) => None,
        Err(error) => {
            stderr::line(&format!("llb: {:#}", anyhow::Error::from(error)));
            None
        }
    }
}
