//! What one fleet is to be.

pub mod file;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use llb_common::policy::Policy;

use crate::{
    fleet::{Identity, Name},
    kernel::Limit,
};

/// When a worker counts as ready: only then is it chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadyWhen {
    /// It listens on a TCP port that is steered.
    #[default]
    Listening,
    /// It has said `{"cmd":"ready"}` on its report channel, or `READY=1` by sd_notify(3), and listens.
    Ready,
    /// It has been started. It is chosen as soon as it listens.
    Started,
}

/// What the choice of a worker goes by, besides its charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// What the kernel sees of every connection, and what workers report.
    #[default]
    Full,
    /// What workers report.
    Reports,
    /// Nothing.
    Off,
}

impl Tracking {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tracking::Full => "full",
            Tracking::Reports => "reports",
            Tracking::Off => "off",
        }
    }

    /// Whether the kernel keeps books of connections and requests.
    #[must_use]
    pub const fn keeps_books(self) -> bool {
        matches!(self, Tracking::Full)
    }

    /// Whether what workers report, or do not, makes their cost.
    #[must_use]
    pub const fn counts_reports(self) -> bool {
        matches!(self, Tracking::Full | Tracking::Reports)
    }
}

/// What becomes of the workers when the master dies without ending them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMasterExit {
    /// They go on, steered by the kernel, until the next master of the name takes them over.
    #[default]
    Keep,
    /// They end with it.
    Stop,
}

/// What is done about workers that hang.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hanging {
    /// Whether the connections that wait for one are given to others.
    pub rescue: bool,
    /// After how much silence one is replaced, if ever.
    pub timeout: Option<Duration>,
}

/// What one fleet is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name, for several fleets on one machine.
    pub name: Name,
    /// The worker command.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Who workers are, if not who llb is.
    pub identity: Option<Identity>,
    /// Number of slots.
    pub workers: u32,
    /// How the kernel chooses.
    pub policy: Policy,
    /// What it goes by.
    pub tracking: Tracking,
    /// Only these addresses are steered; empty: every TCP port that workers listen on.
    pub limits: Vec<Limit>,
    /// When a worker counts as ready.
    pub ready_when: ReadyWhen,
    /// How long a worker may take to become ready.
    pub ready_timeout: Duration,
    /// How long a worker that is to end may take, before it is killed.
    pub drain_timeout: Duration,
    /// The least time between two starts in one slot.
    pub respawn: Duration,
    /// The most time between two starts in one slot, when its workers die again and again.
    pub backoff: Duration,
    /// What is done about workers that hang.
    pub hanging: Hanging,
    /// What becomes of the workers when the master dies.
    pub on_master_exit: OnMasterExit,
    /// Where the fleet's lock and control socket lie; `<dir>/<name>/`.
    pub runtime_dir: PathBuf,
}
