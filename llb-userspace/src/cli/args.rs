//! The command line; one definition of each option.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedI64ValueParser};
use llb_common::{abi::MAX_SEATS, policy::Policy};

use crate::{
    config::{MetricsAddress, OnMasterExit, ReadyWhen, Scrape, StopSignal, StopWhom, Tracking},
    control,
    fleet::Name,
    kernel::{Limit, OwnPorts},
    observe::log::{self, LogFormat},
    sys::affinity,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PolicyArg {
    /// The one expected to answer soonest, each choice charged at once
    LeastLatency,
    /// The one with the fewest requests in flight, each choice charged at once; costs do not count
    LeastInflight,
    /// The published least-latency worker alone; to compare
    Argmin,
    /// Each in turn
    RoundRobin,
    /// The kernel's own hash: plain SO_REUSEPORT
    Hash,
}

impl From<PolicyArg> for Policy {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::LeastLatency => Policy::LeastLatency,
            PolicyArg::LeastInflight => Policy::LeastInflight,
            PolicyArg::Argmin => Policy::Argmin,
            PolicyArg::RoundRobin => Policy::RoundRobin,
            PolicyArg::Hash => Policy::Hash,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TrackingArg {
    /// What the kernel sees of every connection, and what workers report
    Full,
    /// What workers report; the kernel looks at no packets
    Reports,
    /// Neither
    Off,
}

impl From<TrackingArg> for Tracking {
    fn from(arg: TrackingArg) -> Self {
        match arg {
            TrackingArg::Full => Tracking::Full,
            TrackingArg::Reports => Tracking::Reports,
            TrackingArg::Off => Tracking::Off,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormatArg {
    /// Lines to read
    Human,
    /// One JSON object a line, the fleet's events too; see docs/events.md
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(arg: LogFormatArg) -> Self {
        match arg {
            LogFormatArg::Human => LogFormat::Human,
            LogFormatArg::Json => LogFormat::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ReadyWhenArg {
    /// It listens on steered ports and waits for connections there
    Accepting,
    /// It listens on a steered port
    Listening,
    /// It listens and has said so, by {"cmd":"ready"} or READY=1
    Ready,
    /// It has been started; it is chosen as soon as it listens
    Started,
}

impl From<ReadyWhenArg> for ReadyWhen {
    fn from(arg: ReadyWhenArg) -> Self {
        match arg {
            ReadyWhenArg::Accepting => ReadyWhen::Accepting,
            ReadyWhenArg::Listening => ReadyWhen::Listening,
            ReadyWhenArg::Ready => ReadyWhen::Ready,
            ReadyWhenArg::Started => ReadyWhen::Started,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum StopWhomArg {
    /// Its first process; the others when that has exited
    First,
    /// All of its processes at once
    All,
}

impl From<StopWhomArg> for StopWhom {
    fn from(arg: StopWhomArg) -> Self {
        match arg {
            StopWhomArg::First => StopWhom::First,
            StopWhomArg::All => StopWhom::All,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OnMasterExitArg {
    /// They serve on, and the next llb of the name takes them over
    Keep,
    /// They end with it
    Stop,
}

impl From<OnMasterExitArg> for OnMasterExit {
    fn from(arg: OnMasterExitArg) -> Self {
        match arg {
            OnMasterExitArg::Keep => OnMasterExit::Keep,
            OnMasterExitArg::Stop => OnMasterExit::Stop,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RescueArg {
    /// They are, if another is clearly better off
    On,
    /// They wait
    Off,
}

impl From<RescueArg> for bool {
    fn from(arg: RescueArg) -> Self {
        matches!(arg, RescueArg::On)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum QuicLbArg {
    /// A client that changes its address or port keeps its worker
    On,
    /// A flow is known by addresses and ports only
    Off,
}

impl From<QuicLbArg> for bool {
    fn from(arg: QuicLbArg) -> Self {
        matches!(arg, QuicLbArg::On)
    }
}

/// Requests at once, or as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Concurrency(pub Option<u32>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StickyArg {
    /// Each connection is chosen for
    Off,
    /// All connections of a source address go to one slot
    Source,
}

/// Bits of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub v4: u8,
    pub v6: u8,
}

fn prefixes(text: &str) -> Result<Prefixes, String> {
    let bits = |text: &str, most: u8| text.parse().ok().filter(|bits| (1..=most).contains(bits));
    let both = text.split_once(',').and_then(|(v4, v6)| Some(Prefixes { v4: bits(v4, 32)?, v6: bits(v6, 128)? }));
    both.ok_or_else(|| "give bits of IPv4, 1 to 32, and of IPv6, 1 to 128, as 24,64".into())
}

fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl < Duration::from_secs(1) => Err("a client is remembered for a second at least".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    match text.parse() {
        Ok(0) => Err("a worker that serves none is none".into()),
        Ok(concurrency) => Ok(Concurrency(Some(concurrency))),
        Err(_) if text == "off" => Ok(Concurrency(None)),
        Err(_) => Err("give a number, or off".into()),
    }
}

/// CPUs, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cpus {
    /// Those that llb may use.
    Auto,
    List(Vec<usize>),
}

fn cpus(text: &str) -> Result<Cpus, String> {
    match text {
        "auto" => Ok(Cpus::Auto),
        list => affinity::list(list).map(Cpus::List).ok_or_else(|| "give auto, or numbers of CPUs, as 0-3,8".into()),
    }
}

/// What stands in the first line of a request.
fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("give a path, as /health, with what is not ASCII or a space as %XX".into()),
    }
}

/// A quarter of it is the grain of the kernel's table.
fn flow_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < Duration::from_millis(100) => Err("the shortest is 100ms".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

fn age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a worker is older than that when it starts".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// A number with up to three digits behind the point, in thousandths.
fn thousandths(text: &str) -> Result<u32, String> {
    const LEAST: u32 = 10;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = (digits(whole) && digits(part) && part.len() <= 3)
        .then(|| format!("{whole}{part:0<3}"))
        .and_then(|number| number.parse().ok());
    match number {
        Some(number @ LEAST..) => Ok(number),
        Some(_) => Err("the least is 0.01".into()),
        None => Err("give a number of CPUs, as 2 or 1.5".into()),
    }
}

/// A number, and the first letter of its unit behind it or none.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: &str = "KMGT";
    let unit = text.chars().last().and_then(|letter| UNITS.find(letter.to_ascii_uppercase()));
    let (number, shift) = unit.map_or((text, 0), |unit| (&text[..text.len() - 1], 10 * (unit + 1)));
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes @ 1..) => Ok(bytes),
        _ => Err("give bytes, or a whole number with K, M, G or T behind it, as 512M".into()),
    }
}

/// How many workers there can be.
fn workers() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_SEATS as i64)
}

/// `PORT`, `ADDR:PORT` or `[ADDR]:PORT`.
fn limit(text: &str) -> Result<Limit, String> {
    let limit = match text.parse::<u16>() {
        Ok(port) => Limit { addr: None, port },
        Err(_) => {
            let address: SocketAddr = text.parse().map_err(|_| {
                "give a port, as 8080, or an address and a port, as 127.0.0.1:8080 or [::1]:8080".to_owned()
            })?;
            Limit { addr: Some(address.ip()), port: address.port() }
        }
    };
    if limit.port == 0 {
        return Err("port 0 is a different port in every worker and is never shared".into());
    }
    Ok(limit)
}

/// `PORT` or `PORT-PORT`, and a `+` behind it or none.
fn own_ports(text: &str) -> Result<OwnPorts, String> {
    let (range, by_slot) = text.strip_suffix('+').map_or((text, false), |range| (range, true));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(OwnPorts { first, last, by_slot }),
        _ => {
            Err("give a port, as 9100, or a range, as 50000-50099, with a + behind it if it is higher by the slot"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn own_ports_are_read_with_range_and_plus() {
        assert_eq!(own_ports("9100"), Ok(OwnPorts { first: 9100, last: 9100, by_slot: false }));
        assert_eq!(own_ports("9100-9109+"), Ok(OwnPorts { first: 9100, last: 9109, by_slot: true }));
        for wrong in ["", "+", "0", "9-8", "9100-", "http", "70000", "9100++"] {
            assert!(own_ports(wrong).unwrap_err().contains("9100"), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        for (text, read) in
            [("1", 1), ("4096", 4096), ("2K", 2048), ("512M", 512 << 20), ("3g", 3 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(bytes(text), Ok(read));
        }
        for wrong in ["", "0", "M", "0G", "-1", "1.5G", "512MB", "99999999999T", "1é"] {
            assert!(bytes(wrong).unwrap_err().contains("512M"), "{wrong}");
        }
        assert!(path("health").is_err() && path("/a b").is_err() && path("/\r\n").is_err() && path("/a?b=%20").is_ok());
        assert!(age("0s").is_err() && age("soon").is_err() && age("1h").is_ok());
    }

    #[test]
    fn prefixes_are_read_of_both_families() {
        assert_eq!(prefixes("24,64"), Ok(Prefixes { v4: 24, v6: 64 }));
        for wrong in ["", "24", "0,64", "24,0", "33,64", "24,129", "24,64,1", "a,b"] {
            assert!(prefixes(wrong).unwrap_err().contains("24,64"), "{wrong}");
        }
        assert!(ttl("999ms").is_err() && ttl("never").is_err() && ttl("2h").is_ok());
    }

    #[test]
    fn ports_are_read_with_and_without_an_address() {
        assert_eq!(limit("8080"), Ok(Limit { addr: None, port: 8080 }));
        assert_eq!(limit("127.0.0.1:80"), Ok(Limit { addr: Some(IpAddr::from([127, 0, 0, 1])), port: 80 }));
        assert_eq!(limit("[::1]:80").map(|limit| limit.port), Ok(80));
        assert!(limit("0").unwrap_err().contains("port 0"));
        assert!(limit("http").unwrap_err().contains("8080"));
        assert!(limit("70000").is_err());
    }
}
