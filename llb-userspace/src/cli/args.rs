//! The command line; one definition of each option.

mod values;
mod words;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use self::values::{
    age, bytes, concurrency, cpus, flow_timeout, limit, own_ports, path, prefixes, thousandths, ttl, workers,
};
pub(super) use self::{
    values::{Concurrency, Cpus, Prefixes},
    words::{
        LogFormatArg, OnMasterExitArg, PolicyArg, QuicLbArg, ReadyWhenArg, RescueArg, StickyArg, StopWhomArg,
        TrackingArg,
    },
};
use crate::{
    config::{MetricsAddress, Name, Scrape, StopSignal},
    control,
    kernel::{Limit, OwnPorts},
    observe::log,
};

/// N copies of any server on one port; the kernel hands each connection to the copy that will answer soonest.
#[derive(Debug, Parser)]
#[command(name = "llb", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run N copies of a server on one port
    Run(RunArgs),
    /// Check a configuration file, or a command line of `llb run`, without running anything
    Check(RunArgs),
    /// Compare llb with the kernel's hash: the same load to each, one worker of eight is slow
    Demo(DemoArgs),
    /// Compare llb with the kernel's hash on a server of yours: the same load to each, in alternating rounds
    BenchHere(BenchHereArgs),
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
    /// Check what llb needs on this machine; say what is missing and what to do
    Doctor(DoctorArgs),
    #[command(hide = true)]
    DoctorWorker(DoctorWorkerArgs),
    /// Show a running fleet
    Status(FleetCommand),
    /// Print the metrics of running fleets, in Prometheus' text format
    Metrics(MetricsArgs),
    /// Ask one slot's worker for a path over HTTP, through its own listener
    Curl(CurlArgs),
    /// Show why connections go where they go: what the kernel's choices of a second have looked at
    Why(WhyArgs),
    /// Show the events of a running fleet
    Events(EventsArgs),
    /// Watch running fleets, live in the terminal
    #[cfg(feature = "top")]
    Top(TopArgs),
    /// Replace all workers by new ones of the same command. Waits until these serve, or the reload is rolled back
    Reload(ReloadArgs),
    /// Set the number of workers. Waits until the new ones serve and the old ones have exited
    Scale(ScaleArgs),
    /// Drain a slot's worker and start none in its place. Waits until it has exited
    Drain(SlotArgs),
    /// Replace a slot's worker, or fill an empty slot. Waits until the new one serves
    Restart(SlotArgs),
    /// Stop a fleet in order. Waits until nothing of it is left
    Stop(FleetCommand),
    #[command(hide = true)]
    Guard(GuardArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Read options from a TOML file; those given here win. See examples/llb.toml
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Copies to run [default: one per core, at most 128]
    #[arg(short = 'n', long, value_name = "N", value_parser = workers())]
    pub workers: Option<u32>,
    /// Steer this port only; repeatable [default: every TCP port that workers listen on]
    #[arg(short = 'p', long = "port", value_name = "[ADDR:]PORT", value_parser = limit)]
    pub ports: Vec<Limit>,
    /// Do not share these ports; each is a worker's own; with `+` the worker in slot S gets the port that is higher by S; repeatable
    #[arg(long = "own-port", value_name = "PORT[-PORT][+]", value_parser = own_ports)]
    pub own_ports: Vec<OwnPorts>,
    /// How the worker of a new connection is chosen
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = PolicyArg::LeastLatency)]
    pub policy: PolicyArg,
    /// What the choice is based on, besides the connections that it has just given away
    #[arg(long, value_name = "MODE", value_enum, default_value_t = TrackingArg::Full)]
    pub tracking: TrackingArg,
    /// When a worker counts as ready
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ReadyWhenArg::Accepting)]
    pub ready_when: ReadyWhenArg,
    /// Ask each new worker for this path over HTTP, until it answers with a status below 500; then it is ready [default path: /]
    #[arg(long, value_name = "PATH", value_parser = path, num_args = 0..=1, default_missing_value = "/")]
    pub ready_check: Option<String>,
    /// How long a worker may take to become ready
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    pub ready_timeout: Duration,
    /// How long a worker may take to end before it is killed
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    pub drain_timeout: Duration,
    /// How long idle connections of a draining worker are left alone [default: half of its time to end]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub drain_idle: Option<Duration>,
    /// Signal that asks a worker to end, by name or number; QUIT for nginx, php-fpm, unicorn [default: TERM]
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<StopSignal>,
    /// Which of a worker's processes get it
    #[arg(long, value_name = "WHOM", value_enum, default_value_t = StopWhomArg::First)]
    pub stop_whom: StopWhomArg,
    /// Least time between two starts of the same worker
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s")]
    pub respawn: Duration,
    /// Most time between two starts of a worker that dies again and again; doubles up to this
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    pub backoff: Duration,
    /// What happens to the workers when llb is killed
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnMasterExitArg::Keep)]
    pub on_master_exit: OnMasterExitArg,
    /// Whether connections that wait for a worker that hangs are given to others
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = RescueArg::On)]
    pub rescue: RescueArg,
    /// How long a worker may have requests and answer none before it is replaced [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub hang_timeout: Option<Duration>,
    /// Replace a worker when it has answered so many requests, or up to a quarter fewer; the new one first [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_requests: Option<u64>,
    /// Replace a worker when it is so old, or up to a quarter younger; the new one first [default: never]
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub max_age: Option<Duration>,
    /// Replace a worker that has so much memory resident, as 512M; the new one first [default: never]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub max_memory: Option<u64>,
    /// How many requests a worker serves at once: who finds none free waits in line, and not at a worker; a number or off
    #[arg(long, value_name = "N", value_parser = concurrency, default_value = "off")]
    pub concurrency: Concurrency,
    /// How long connections wait while no worker listens, as when all have crashed, before they are refused; 0s: not at all
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5s")]
    pub queue_timeout: Duration,
    /// How long a UDP flow that sends nothing keeps its worker
    #[arg(long, value_name = "TIME", value_parser = flow_timeout, default_value = "30s")]
    pub udp_flow_timeout: Duration,
    /// Whether QUIC connection ids name workers, by the plaintext layout of QUIC-LB with LLB_WORKER as server id
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = QuicLbArg::Off)]
    pub quic_lb: QuicLbArg,
    /// Serve metrics (/metrics), and the probes /ready and /live, over HTTP at this address: ADDR:PORT, a port of 127.0.0.1, or unix:PATH
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<MetricsAddress>,
    /// Ask each worker for its own metrics too, and serve them with a label `slot` at /workers; a port if workers listen on several
    #[arg(long, value_name = "[PORT]/PATH")]
    pub scrape: Option<Scrape>,
    /// Tell a balancer how much of its weight this host can take, by HAProxy's agent-check, at this address
    #[arg(long, value_name = "ADDR:PORT")]
    pub agent: Option<SocketAddr>,
    /// Whether a client's connections all go to one slot; source: by its address
    #[arg(long, value_name = "BY", value_enum, default_value_t = StickyArg::Off)]
    pub sticky: StickyArg,
    /// How many bits of a source address make a client, of IPv4 and of IPv6 [default: 32,128]
    #[arg(long, value_name = "V4,V6", value_parser = prefixes)]
    pub sticky_prefix: Option<Prefixes>,
    /// How long a client is remembered that makes no new connection [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    pub sticky_ttl: Option<Duration>,
    /// Run each worker on one CPU: the slots in order on these, and from the first again; a list as 0-3,8, or auto: all that llb may use
    #[arg(long, value_name = "auto|LIST", value_parser = cpus)]
    pub cpus: Option<Cpus>,
    /// How much workers give way to other processes, 0 to 19 [default: as much as llb]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: Option<i32>,
    /// The most memory that a worker may have with all that it starts, as 512M; the kernel kills what goes beyond it
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub memory_max: Option<u64>,
    /// The most CPU time that a worker may have with all that it starts, in CPUs, as 1.5
    #[arg(long, value_name = "CPUS", value_parser = thousandths)]
    pub cpu_max: Option<u32>,
    /// Run the workers as this user and its groups, by name or number [default: as llb]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Run the workers in this group only, by name or number [default: the groups of --user]
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Log level: error, warn, info, debug, trace; or target=level,...
    #[arg(long, value_name = "LEVEL", value_parser = log::filter, default_value = "warn")]
    pub log: String,
    /// How the log is written on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormatArg::Human)]
    pub log_format: LogFormatArg,
    /// The server and its arguments; see docs/worker-contract.md
    #[arg(last = true, required_unless_present = "config", value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    /// Name of the fleet; several can run at once
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub name: Name,
    /// Directory of the fleet's lock and control socket
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
}

impl FleetArgs {
    /// The running fleet of this name.
    pub(super) fn of(&self) -> control::Client<'_> {
        control::Client { runtime_dir: &self.runtime_dir, name: self.name.as_str() }
    }
}

/// What every command about a running fleet takes.
#[derive(Debug, Args)]
pub(super) struct FleetCommand {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// Of this fleet; repeatable [default: all that run]
    #[arg(long = "fleet", value_name = "NAME")]
    pub fleets: Vec<Name>,
    /// Directory of the fleets' control sockets
    #[arg(long, value_name = "DIR", default_value = "/run/llb")]
    pub runtime_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CurlArgs {
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
pub(super) struct WhyArgs {
    /// For how long choices are noted, a minute at the most
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s")]
    pub time: Duration,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Show new events as they happen, too
    #[arg(short = 'f', long)]
    pub follow: bool,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[cfg(feature = "top")]
#[derive(Debug, Args)]
pub(super) struct TopArgs {
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
pub(super) struct ReloadArgs {
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
pub(super) struct ScaleArgs {
    /// The number of workers
    #[arg(value_name = "N", value_parser = workers())]
    pub workers: u32,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(super) struct SlotArgs {
    /// The slot, as `llb status` numbers them
    #[arg(value_name = "SLOT")]
    pub slot: u32,
    #[command(flatten)]
    pub common: FleetCommand,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
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
pub(super) struct DoctorWorkerArgs {
    #[arg(long)]
    pub port: Option<u16>,
    #[arg(long, env = "WORKER_ID")]
    pub slot: u8,
    #[arg(long)]
    pub idle: bool,
}

#[derive(Debug, Args)]
pub(super) struct GuardArgs {
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
pub(super) struct DemoArgs {
    /// Seed of the load; the same seed is the same load
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct BenchHereArgs {
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
pub(super) struct DemoWorkerArgs {
    #[arg(long)]
    pub port: u16,
    #[arg(long, env = "WORKER_ID")]
    pub slot: u32,
    #[arg(long)]
    pub slow_slot: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
