//! What one fleet is to be.
//!
//! ```
//! use std::time::Duration;
//! use llb::config::{Concurrency, Config, Hanging, Limit, Name, OwnPorts, Policy, ReadyWhen, Recycling, Resources, Sticky};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new("node", ["server.js"]);
//! config.name = "web".parse::<Name>()?;
//! config.workers = 4;
//! config.limits = vec![Limit { addr: None, port: 8080 }];
//! // The metrics of the worker in slot 3 are on 9103.
//! config.own_ports = vec![OwnPorts { first: 9100, last: 9100, by_slot: true }];
//! config.ready_when = ReadyWhen::Ready;
//! config.ready_check = Some("/health".into());
//! config.ready_timeout = Duration::from_secs(60);
//! config.hanging = Hanging { rescue: true, timeout: Some(Duration::from_secs(20)) };
//! config.recycling = Recycling { max_requests: Some(10_000), max_memory: Some(512 << 20), ..Recycling::default() };
//! config.concurrency = Concurrency::Fixed(1);
//! config.metrics = Some("9464".parse()?);
//! config.scrape = Some("/metrics".parse()?);
//! config.agent = Some("10.0.0.1:9777".parse()?);
//! config.sticky = Some(Sticky { v4: 32, v6: 64, ttl: Duration::from_secs(3600) });
//! // Slots 0 and 2 on CPU 0, slots 1 and 3 on CPU 1.
//! config.cpus = vec![0, 1];
//! config.nice = Some(5);
//! config.resources = Resources { memory_max: Some(1 << 30), cpu_max: Some(1_500) };
//! assert_eq!(config.policy, Policy::LeastLatency);
//! # Ok(())
//! # }
//! ```
//!
//! The command line makes it of its options, and so does [`crate::FleetBuilder`].

pub(crate) mod file;
mod metrics;
mod name;
mod recycling;
mod resources;
mod stop;
mod user;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

pub use llb_common::policy::Policy;
pub use metrics::{MetricsAddress, Scrape};
pub use name::{Name, NameError};
pub use recycling::Recycling;
pub use resources::Resources;
pub use stop::{StopSignal, StopWhom};
pub(crate) use user::Login;
pub use user::{Identity, IdentityError};

use crate::model::Slot;
pub use crate::{
    kernel::{Limit, OwnPorts, Sticky},
    tracking::Tracking,
};

/// How many requests a worker serves at once. Another example is [above](self).
///
/// ```
/// use llb::config::Concurrency;
///
/// assert_eq!(Concurrency::default(), Concurrency::Auto);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// As many as come: connections wait at workers.
    Off,
    /// One, as long as the workers are seen to serve one at a time; else as many as come.
    #[default]
    Auto,
    /// So many, at least one.
    Fixed(u32),
}

/// When a worker counts as ready: only then is it chosen. Another example is [above](self).
///
/// ```
/// use llb::config::ReadyWhen;
///
/// assert_eq!(ReadyWhen::default(), ReadyWhen::Accepting);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadyWhen {
    /// It listens on TCP ports that are steered, and is seen to wait for connections there, or to have accepted one. Where
    /// that is not to be seen, as of a program that uses `io_uring`, it counts a second after it listens.
    #[default]
    Accepting,
    /// It listens on a TCP port that is steered. It may still be loading its code.
    Listening,
    /// It has said `{"cmd":"ready"}` on its report channel, or `READY=1` by sd_notify(3), and listens.
    Ready,
    /// It has been started. It is chosen as soon as it listens.
    Started,
}

/// What becomes of the workers when the master dies without ending them.
///
/// ```
/// use llb::config::{Config, OnMasterExit};
///
/// assert_eq!(Config::new("node", ["server.js"]).on_master_exit, OnMasterExit::Keep);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMasterExit {
    /// They go on, steered by the kernel, until the next master of the name takes them over.
    #[default]
    Keep,
    /// They end with it. A process of its own sees to that: see [`Config::guard`].
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

/// What one fleet is to be. [`Config::new`] has the defaults of `llb run`; an example is [above](self).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Name, for several fleets on one machine.
    pub name: Name,
    /// The worker command.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Who workers are, if not who llb is.
    pub identity: Option<Identity>,
    /// Number of slots, 1 to [`llb_common::abi::MAX_SEATS`].
    pub workers: u32,
    /// How the kernel chooses.
    pub policy: Policy,
    /// What it goes by.
    pub tracking: Tracking,
    /// Only these addresses are steered; empty: every TCP port that workers listen on.
    pub limits: Vec<Limit>,
    /// Ports that are each worker's own: never shared, whatever `limits` says.
    pub own_ports: Vec<OwnPorts>,
    /// When a worker counts as ready.
    pub ready_when: ReadyWhen,
    /// The path that a worker is asked for over HTTP, and has to answer with a status below 500, before it counts as ready.
    pub ready_check: Option<String>,
    /// How long a worker may take to become ready.
    pub ready_timeout: Duration,
    /// How long a worker that is to end may take, before it is killed.
    pub drain_timeout: Duration,
    /// How long idle connections of a worker that drains are left alone; none: half of [`drain_timeout`](Self::drain_timeout),
    /// and all of it if the worker has a shutdown of its own.
    pub drain_idle: Option<Duration>,
    /// The signal that asks a worker to end; none: SIGTERM, and what runtimes and servers are known to make of it counts.
    pub stop_signal: Option<StopSignal>,
    /// Which of its processes are asked.
    pub stop_whom: StopWhom,
    /// The least time between two starts in one slot.
    pub respawn: Duration,
    /// The most time between two starts in one slot, when its workers die again and again.
    pub backoff: Duration,
    /// What is done about workers that hang.
    pub hanging: Hanging,
    /// When workers are replaced although nothing is wrong with them.
    pub recycling: Recycling,
    /// How many requests a worker serves at once: who finds none free waits in line, and not at a worker.
    /// Counts with [`Policy::LeastLatency`] and [`Policy::LeastInflight`], and [`Tracking::Full`]: it goes by who is free.
    pub concurrency: Concurrency,
    /// How long connections wait at an address where no worker listens, while workers are restarted, before they are refused;
    /// zero: not at all. Not with [`Policy::Hash`].
    pub queue_timeout: Duration,
    /// How long a UDP flow that sends nothing keeps its worker.
    pub udp_flow_timeout: Duration,
    /// Whether a QUIC connection id names the worker of a datagram whose flow is not known ([`llb_common::quic`]).
    pub quic_lb: bool,
    /// Where metrics are served; none: nowhere.
    pub metrics: Option<MetricsAddress>,
    /// What each worker is asked for its own metrics, which are served there too; none: they are not.
    pub scrape: Option<Scrape>,
    /// Where a balancer is told, by HAProxy's agent-check, how much of its weight this host can take; none: nowhere.
    /// Counts with [`Tracking::Full`].
    pub agent: Option<SocketAddr>,
    /// Whether a client's connections all go to one slot. Not with [`Policy::Hash`].
    pub sticky: Option<Sticky>,
    /// The CPUs that workers run on, each on one: the slots in order, and from the first again. Empty: as llb itself.
    pub cpus: Vec<usize>,
    /// How much workers give way to other processes, 0 to 19; none: as much as llb.
    pub nice: Option<i32>,
    /// What each worker may take of memory and CPU time.
    pub resources: Resources,
    /// What becomes of the workers when the master dies.
    pub on_master_exit: OnMasterExit,
    /// The binary `llb` of this crate's version, of which a process ends the workers with [`OnMasterExit::Stop`]; none: this
    /// program is it.
    pub guard: Option<PathBuf>,
    /// Where the fleet's lock and control socket lie; `<dir>/<name>/`.
    pub runtime_dir: PathBuf,
}

impl Config {
    /// A fleet named `main` of one worker, whose command is `program` with `args`; all else is as `llb run` has it when it is
    /// not told otherwise.
    #[must_use]
    pub fn new<Arg: Into<OsString>>(program: impl Into<OsString>, args: impl IntoIterator<Item = Arg>) -> Self {
        Config {
            name: Name::main(),
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            identity: None,
            workers: 1,
            policy: Policy::default(),
            tracking: Tracking::default(),
            limits: Vec::new(),
            own_ports: Vec::new(),
            ready_when: ReadyWhen::default(),
            ready_check: None,
            ready_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            drain_idle: None,
            stop_signal: None,
            stop_whom: StopWhom::default(),
            respawn: Duration::from_secs(1),
            backoff: Duration::from_secs(30),
            hanging: Hanging { rescue: true, timeout: None },
            recycling: Recycling::default(),
            concurrency: Concurrency::default(),
            queue_timeout: Duration::from_secs(5),
            udp_flow_timeout: Duration::from_secs(30),
            quic_lb: false,
            metrics: None,
            scrape: None,
            agent: None,
            sticky: None,
            cpus: Vec::new(),
            nice: None,
            resources: Resources::default(),
            on_master_exit: OnMasterExit::default(),
            guard: None,
            runtime_dir: PathBuf::from("/run/llb"),
        }
    }

    /// How many requests a worker serves at once where it is known who is free; elsewhere nobody waits in line.
    pub(crate) fn concurrency_by_load(&self) -> Concurrency {
        if chooses_by_load(self.policy) && self.tracking == Tracking::Full {
            self.concurrency
        } else {
            Concurrency::Off
        }
    }

    /// The CPU of the workers of a slot, if they have one.
    pub(crate) fn cpu_of(&self, slot: Slot) -> Option<usize> {
        let at = (slot.0 as usize).checked_rem(self.cpus.len())?;
        self.cpus.get(at).copied()
    }
}

/// Whether a policy goes by what workers have to do. The others are there to compare with.
pub(crate) fn chooses_by_load(policy: Policy) -> bool {
    match policy {
        Policy::LeastLatency | Policy::LeastInflight => true,
        Policy::Argmin | Policy::RoundRobin | Policy::Hash => false,
    }
}
