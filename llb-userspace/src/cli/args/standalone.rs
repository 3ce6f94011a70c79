//! Commands that start something of llb's own: the doctor, the demo, a comparison, the guard.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use super::{
    FleetArgs,
    values::{limit, path, workers},
};
use crate::{config::StopSignal, kernel::Limit, observe::log};

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Directory of the fleets' locks and control sockets
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
    /// Log level; debug shows the log of the kernel's verifier
    #[arg(long, value_name = "LEVEL", value_parser = log::filter, default_value = "error")]
    pub log: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorWorkerArgs {
    #[arg(long)]
    pub port: Option<u16>,
    #[arg(long, env = "WORKER_ID")]
    pub slot: u8,
    #[arg(long)]
    pub idle: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GuardArgs {
    #[arg(long)]
    pub master: i32,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[arg(long, value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
    #[arg(long)]
    pub stop_signal: StopSignal,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// Seed of the load; the same seed is the same load
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchHereArgs {
    /// What to ask the workers for
    #[arg(value_name = "PATH", value_parser = path, default_value = "/")]
    pub path: String,
    /// Copies to run [default: one per core]
    #[arg(short = 'n', long, value_name = "N", value_parser = workers())]
    pub workers: Option<u32>,
    /// Steer and ask this port [default: the TCP port that workers listen on]
    #[arg(short = 'p', long, value_name = "[ADDR:]PORT", value_parser = limit)]
    pub port: Option<Limit>,
    /// Requests a second [default: half of what the workers answer at most, which is found out first]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How long it may take, besides the workers' start and end
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "50s")]
    pub time: Duration,
    /// The server and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DemoWorkerArgs {
    #[arg(long)]
    pub port: u16,
    #[arg(long, env = "WORKER_ID")]
    pub slot: u32,
    #[arg(long)]
    pub slow_slot: u32,
}
