//! Under which conditions a fleet can be taken over, and why it is not.

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The settings that a fleet was started with. A master that takes it over must have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Version of [`Record`](super::Record).
    pub format: u32,
    /// Version of the maps' layouts: the name that carries it.
    pub abi: String,
    /// Which start of the machine this is.
    pub boot: String,
    /// What is steered: the values of `-p`.
    pub ports: Vec<String>,
    /// What the choice goes by: the value of `--tracking`.
    pub tracking: String,
    /// What makes a client that is remembered: the values of `--sticky` and `--sticky-prefix`.
    pub sticky: String,
    /// The user that workers run as. The kernel lets nobody else's share their ports.
    pub user: u32,
}

/// Why a fleet is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// The record cannot be read.
    #[error("what it has written down cannot be read ({0})")]
    Unreadable(#[source] io::Error),
    /// It is another llb's.
    #[error("it was run by an llb of another version: its {what} is {found}, here it is {here}")]
    Version {
        /// Of what.
        what: &'static str,
        /// Theirs.
        found: String,
        /// Ours.
        here: String,
    },
    /// The programs were loaded for something else.
    #[error("{option} is another than when it was started ({found:?}, now {here:?})")]
    Option {
        /// Which.
        option: &'static str,
        /// Theirs.
        found: String,
        /// Ours.
        here: String,
    },
    /// The cgroup is gone, or another one is in its place.
    #[error("its cgroup {} is gone", .0.display())]
    NoCgroup(PathBuf),
    /// The programs are not pinned where we can see it.
    #[error("its programs and maps are not pinned where this llb can see them")]
    NoPins,
    /// Something of the kernel's does not work.
    #[error("{0:#}")]
    Kernel(anyhow::Error),
}

impl Terms {
    pub(super) fn accept(&self, found: &Terms) -> Result<(), Obstacle> {
        let version = |what, found: &str, here: &str| match found == here {
            true => Ok(()),
            false => Err(Obstacle::Version { what, found: found.to_owned(), here: here.to_owned() }),
        };
        let option = |option, found: &str, here: &str| match found == here {
            true => Ok(()),
            false => Err(Obstacle::Option { option, found: found.to_owned(), here: here.to_owned() }),
        };
        version("format of the state", &found.format.to_string(), &self.format.to_string())?;
        version("layout of the maps", &found.abi, &self.abi)?;
        option("-p", &found.ports.join(" "), &self.ports.join(" "))?;
        option("--tracking", &found.tracking, &self.tracking)?;
        option("--sticky", &found.sticky, &self.sticky)?;
        option("the workers' user", &found.user.to_string(), &self.user.to_string())
    }
}
