//! `llb run`, and `llb check`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::{
    Cpus, FleetArgs, LogFormatArg, OnMasterExitArg, PolicyArg, Prefixes, QuicLbArg, ReadyWhenArg, RescueArg, StickyArg,
    StopWhomArg, TrackingArg,
    values::{
        age, bytes, concurrency, cpus, flow_timeout, limit, own_ports, path, prefixes, thousandths, ttl, workers,
    },
};
use crate::{
    config::{Concurrency, MetricsAddress, Scrape, StopSignal},
    kernel::{Limit, OwnPorts},
    observe::log,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
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
    /// How many requests a worker serves at once: who finds none free waits in line, and not at a worker; a number, off, or auto: one, where that is seen [default: auto]
    #[arg(long, value_name = "N", value_parser = concurrency)]
    pub concurrency: Option<Concurrency>,
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
