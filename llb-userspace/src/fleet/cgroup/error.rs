//! What goes wrong with cgroups.

use std::{io, path::PathBuf};

use crate::sys::mounts::MountsError;

/// Why a cgroup cannot be had, or rid of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// Another master lives in it: one of the same name with another runtime directory.
    #[error("a fleet of this name runs already in {path}; stop it, or give this one another --name")]
    Alive {
        /// The fleet's cgroup.
        path: PathBuf,
    },
    /// It is not known where we live.
    #[error(transparent)]
    Mounts(#[from] MountsError),
    /// It cannot be made.
    #[error("cannot make the cgroup {path}; run llb as root, or in a cgroup that is delegated (systemd: Delegate=yes)")]
    Create {
        /// The cgroup.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An earlier master of this name has left it behind.
    #[error("the cgroup {path} is there already; an llb of this name has left it behind, or runs: clear it first")]
    Exists {
        /// The cgroup.
        path: PathBuf,
    },
    /// A file of it cannot be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A limit is asked for that the kernel does not keep there.
    #[error(
        "{option} needs the {controller} controller, which the cgroup {path} does not have: its parent must pass it on \
         (cgroup.subtree_control), and no hierarchy of version 1 may have it (systemd.unified_cgroup_hierarchy=1 on the kernel's \
         command line)"
    )]
    NoController {
        /// The option that asks for it.
        option: &'static str,
        /// The controller.
        controller: &'static str,
        /// The cgroup that lacks it.
        path: PathBuf,
    },
    /// A limit is asked for, and processes are where only cgroups may be.
    #[error(
        "{option} cannot be kept below the cgroup {path} while processes are in it: start llb in a cgroup {master} in that \
         (systemd: DelegateSubgroup={master}), and nothing else in {path}"
    )]
    Occupied {
        /// The option that asks for it.
        option: &'static str,
        /// The name of the cgroup that llb should be in.
        master: &'static str,
        /// The cgroup that is to be empty.
        path: PathBuf,
    },
    /// Processes do not die.
    #[error(
        "{count} processes in {path} have not died of SIGKILL, the first is {first}; \
         the kernel holds them, most likely for a device or a network file system that does not answer"
    )]
    Undead {
        /// The cgroup.
        path: PathBuf,
        /// How many are left.
        count: usize,
        /// What the first of them does.
        first: String,
    },
}
