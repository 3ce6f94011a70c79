//! Exit codes, so that scripts and units can tell what happened.

use super::{
    check::WrongCommand,
    process::TooFewFiles,
    run::{NoCommand, NobodyCounts, NobodyIsBusy, PortOfWorkers, ServedNowhere},
};
use crate::{
    config::{IdentityError, file::FileError},
    doctor::MachineError,
    engine::RunError,
    fleet::{CgroupError, LockError, SpawnError},
};

/// How llb ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Something that the other codes do not name.
    Failure = 1,
    /// The command line (this is clap's own code), or the configuration file, is wrong.
    Usage = 2,
    /// The machine lacks something: rights, a kernel that is new enough, cgroup v2. `llb doctor` tells more.
    Machine = 3,
    /// The workers do not come up.
    Workers = 4,
    /// Another llb of this name runs.
    Taken = 5,
    /// A reload was tried and undone: the old workers serve on.
    RolledBack = 6,
    /// The fleet does not do what it was asked for, and has changed nothing.
    Refused = 7,
    /// The worker command is not executable (the shell's code).
    NotExecutable = 126,
    /// The worker command was not found (the shell's code).
    NotFound = 127,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// The code of an error.
pub(super) fn code(error: &anyhow::Error) -> Exit {
    if error.is::<MachineError>() || error.is::<TooFewFiles>() {
        return Exit::Machine;
    }
    let is_wrong = error.is::<FileError>()
        || error.is::<NoCommand>()
        || error.is::<NobodyCounts>()
        || error.is::<NobodyIsBusy>()
        || error.is::<ServedNowhere>();
    if is_wrong || error.is::<PortOfWorkers>() || error.is::<WrongCommand>() || error.is::<IdentityError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<RunError>() {
        Some(RunError::Cgroup(CgroupError::Alive { .. })) => Exit::Taken,
        Some(RunError::Kernel(_) | RunError::Cgroup(_)) => Exit::Machine,
        Some(RunError::Lock(LockError::Held { .. })) => Exit::Taken,
        Some(RunError::Exited { .. } | RunError::NotReady { .. }) => Exit::Workers,
        Some(RunError::Spawn { source, .. }) => match source {
            SpawnError::NotInPath { .. } | SpawnError::NoProgram { .. } => Exit::NotFound,
            SpawnError::NotExecutable { .. } | SpawnError::NoInterpreter { .. } => Exit::NotExecutable,
            _ => Exit::Failure,
        },
        Some(
            RunError::Lock(_)
            | RunError::Control(_)
            | RunError::Metrics(_)
            | RunError::Agent(_)
            | RunError::Loop { .. },
        )
        | None => Exit::Failure,
    }
}
