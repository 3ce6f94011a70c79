//! Why a fleet of a program's own could not run.

use std::error::Error;

use crate::{cli::OptionsError, engine::RunError};

/// Why a fleet could not run, or ended unasked: what it says is what `llb run` would say.
///
/// ```no_run
/// use llb::{Fleet, FleetError};
///
/// let Err(error) = Fleet::builder("sh", ["-c", "exit 3"]).workers(2).spawn() else { return };
/// let error: FleetError = error;
/// assert!(error.to_string().starts_with("worker 0 exited with code 3 before it was ready"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FleetError(Box<dyn Error + Send + Sync>);

impl FleetError {
    pub(super) fn options(error: OptionsError) -> Self {
        FleetError(error.into())
    }

    pub(super) fn run(error: RunError) -> Self {
        FleetError(error.into())
    }
}
