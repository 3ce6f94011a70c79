//! Why a worker did not start. The kernel has one word, "not found", for four different troubles; here they are told
//! apart, after the attempt, so that nothing is forbidden which the kernel would have allowed.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::Order;
use crate::{config::Login, fleet::cgroup::CgroupError, model::Slot};

/// Why a worker could not be spawned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No such command in `PATH`.
    #[error("there is no command {program:?} in PATH ({searched:?}); install it, or give its path")]
    NotInPath {
        /// The command.
        program: OsString,
        /// `PATH` as llb has it. `sudo` sets one of its own.
        searched: OsString,
    },
    /// No such program file.
    #[error("there is no program {path}; correct its path, which is relative to the directory that workers run in")]
    NoProgram {
        /// The program.
        path: PathBuf,
    },
    /// The program is there, but what it needs to run is not.
    #[error("{path} is there, but not what runs it: the interpreter in its first line (#!), or its dynamic loader")]
    NoInterpreter {
        /// The program.
        path: PathBuf,
    },
    /// The program is there, but must not be run.
    #[error(
        "{path} may not be run by {user}; is it a program (chmod +x) in directories that {user} may enter, \
         and its file system mounted without noexec?"
    )]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Who the worker was to be.
        user: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory cannot be entered.
    #[error("workers cannot run in {path}: it is no directory that this user may enter")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The worker's cgroup is not there.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Between fork and exec something has failed.
    #[error("cannot prepare worker {slot}")]
    Prepare {
        /// Its slot.
        slot: Slot,
        /// What has failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// llb or the machine has run out of something.
    #[error("cannot {action} worker {slot}; is there memory, and are there processes and open files left (ulimit -a)?")]
    Resources {
        /// What was tried.
        action: &'static str,
        /// Its slot.
        slot: Slot,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Finds out why the kernel said `source` when it was given `order`.
pub(super) fn explain(order: &Order<'_>, source: io::Error) -> SpawnError {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};

    if !matches!(source.kind(), NotADirectory | NotFound | PermissionDenied) {
        return SpawnError::Resources { action: "start", slot: order.slot, source };
    }
    let here = Path::new(".");
    let directory = order.directory.unwrap_or(here);
    // Looking up the directory itself in it takes the right to enter it.
    if fs::metadata(directory.join(".")).is_err() {
        return SpawnError::Directory { path: directory.to_owned(), source };
    }
    let path_variable = env::var_os("PATH").unwrap_or_default();
    let is_path = order.program.as_bytes().contains(&b'/');
    let found = if is_path {
        Some(directory.join(order.program)).filter(|path| path.exists())
    } else {
        search(order.program, &path_variable, directory)
    };
    match found {
        None if is_path => SpawnError::NoProgram { path: order.program.into() },
        None => SpawnError::NotInPath { program: order.program.to_owned(), searched: path_variable },
        Some(path) if source.kind() == NotFound => SpawnError::NoInterpreter { path },
        Some(path) => SpawnError::NotExecutable { path, user: user(order), source },
    }
}

fn user(order: &Order<'_>) -> String {
    match order.identity {
        None => "this user".to_owned(),
        Some(identity) => match &identity.login {
            Some(Login { entry: Some((name, ..)) }) => format!("user {name}"),
            _ => format!("user {}", identity.uid),
        },
    }
}

/// Finds a program as exec would, without running it: whether it is a program the kernel only tells when it runs.
///
/// # Errors
/// [`SpawnError`] if there is no such program, or this user may not run it.
pub fn find_program(program: &OsStr) -> Result<PathBuf, SpawnError> {
    let path_variable = env::var_os("PATH").unwrap_or_default();
    let is_path = program.as_bytes().contains(&b'/');
    let found = if is_path {
        let path = PathBuf::from(program);
        path.exists().then_some(path).ok_or_else(|| SpawnError::NoProgram { path: program.into() })?
    } else {
        search(program, &path_variable, Path::new("."))
            .ok_or_else(|| SpawnError::NotInPath { program: program.to_owned(), searched: path_variable })?
    };
    let allowed = access(&found, AccessFlags::X_OK).map_err(io::Error::from);
    let allowed = allowed.and_then(|()| if found.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) });
    match allowed {
        Ok(()) => Ok(found),
        Err(source) => Err(SpawnError::NotExecutable { path: found, user: "this user".to_owned(), source }),
    }
}

/// The file that exec would take: the first in `PATH` that may be run, or else the first of that name.
pub(super) fn search(program: &OsStr, path_variable: &OsStr, directory: &Path) -> Option<PathBuf> {
    let candidates = || {
        let joined = env::split_paths(path_variable).map(|entry| directory.join(entry).join(program));
        joined.filter(|path| path.is_file())
    };
    let may_run = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    candidates().find(may_run).or_else(|| candidates().next())
}
