//! Commands to fleets that run.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::values::{limit, path, workers};
use crate::{config::Name, control, kernel::Limit};

#[derive(Debug, Args)]
pub(in crate::cli) struct FleetArgs {
    /// Name of the fleet; several can run at once
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub name: Name,
    /// Directory of the fleet's lock and control socket
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
}

impl FleetArgs {
    /// The running fleet of this name.
    pub(in crate::cli) fn of(&self) -> control::Client {
        control::Client::new(&self.runtime_dir, self.name.as_str())
    }
}

/// What every command about a running fleet takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct FleetCommand {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MetricsArgs {
    /// Of this fleet; repeatable [default: all that run]
    #[arg(long = "fleet", value_name = "NAME")]
    pub fleets: Vec<Name>,
    /// Directory of the fleets' control sockets
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CurlArgs {
    /// The slot, as `llb status` numbers them
    #[arg(value_name = "SLOT")]
    pub slot: u32,
    /// What to ask for
    #[arg(value_name = "PATH", value_parser = path)]
    pub path: String,
    /// Which of its ports, if it listens on several
    #[arg(short = 'p', long, value_name = "[ADDR:]PORT", value_parser = limit)]
    pub port: Option<Limit>,
    /// How long it may take, to connect and to answer
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    pub timeout: Duration,
    #[command(flatten)]
    pub fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    /// For how long choices are noted, a minute at the most
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s")]
    pub time: Duration,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EventsArgs {
    /// Show new events as they happen, too
    #[arg(short = 'f', long)]
    pub follow: bool,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[cfg(feature = "top")]
#[derive(Debug, Args)]
pub(in crate::cli) struct TopArgs {
    /// Print one frame as plain text, after a second of looking, and exit
    #[arg(long)]
    pub once: bool,
    /// The fleet to show first [default: main if it is there, or else the first by name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// Directory of the fleets' locks and control sockets
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReloadArgs {
    /// Replace slot by slot, instead of all at once
    #[arg(long)]
    pub rolling: bool,
    /// How many workers more than slots may run meanwhile; 0: each old one ends first [default: 1]
    #[arg(long, value_name = "N", requires = "rolling")]
    pub max_surge: Option<u32>,
    /// Start the new code in so many slots first, watch it there, and go back if it does clearly worse than the old
    #[arg(long, value_name = "SLOTS", requires = "watch", value_parser = workers())]
    pub canary: Option<u32>,
    /// For how long
    #[arg(long, value_name = "TIME", requires = "canary", value_parser = humantime::parse_duration)]
    pub watch: Option<Duration>,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ScaleArgs {
    /// The number of workers
    #[arg(value_name = "N", value_parser = workers())]
    pub workers: u32,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SlotArgs {
    /// The slot, as `llb status` numbers them
    #[arg(value_name = "SLOT")]
    pub slot: u32,
    #[command(flatten)]
    pub common: FleetCommand,
}
