//! `llb metrics`: the metrics of the fleets of this machine, as text.

use std::{fs, io, path::Path, process::ExitCode};

use super::{args::MetricsArgs, output};
use crate::{
    control::{ControlError, Fleet},
    metrics::{Format, encode, families},
    observe::{status::Status, stderr},
};

pub(super) fn run(args: &MetricsArgs) -> anyhow::Result<ExitCode> {
    let status = |name: &str| Fleet { runtime_dir: &args.runtime_dir, name }.status();
    let fleets: Vec<Status> = if args.fleets.is_empty() {
        let known = names(&args.runtime_dir)?;
        known.iter().filter_map(|name| told(status(name))).collect()
    } else {
        args.fleets.iter().map(|name| status(name.as_str())).collect::<Result<_, _>>()?
    };
    output::write(&encode(families(&fleets), Format::Text))?;
    Ok(ExitCode::SUCCESS)
}

/// The fleets that have a directory there; none if there is no such place, as nothing has run yet.
fn names(runtime_dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(runtime_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
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
