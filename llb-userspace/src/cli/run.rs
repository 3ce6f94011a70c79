//! `llb run`.

use std::{net::SocketAddr, process::ExitCode, thread::available_parallelism, time::Duration};

use anyhow::Context;
use llb_common::abi::MAX_SEATS;

use super::{
    BenchHere,
    args::{BenchHereArgs, Cpus, LogFormatArg, PolicyArg, Prefixes, RunArgs, StickyArg, TrackingArg},
    process,
};
use crate::{
    config::{
        Concurrency, Config, Hanging, Identity, MetricsAddress, Recycling, Resources, Scrape, Sticky, chooses_by_load,
    },
    doctor::{check_identity, check_machine},
    engine,
    observe::{
        journald,
        log::{self, LogFormat},
        stderr,
    },
    sys::affinity,
};

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let format = match args.log_format {
        LogFormatArg::Human if journald::is_connected() => LogFormat::Journal,
        format => format.into(),
    };
    log::start(&args.log, format)?;
    let is_default = args.workers.is_none();
    let config = config(args)?;
    process::prepare(config.workers)?;
    check_machine()?;
    check_identity(config.identity.as_ref())?;
    let cores = available_parallelism().map_or(0, usize::from);
    if is_default && config.workers < u32::try_from(cores)? {
        stderr::line(&format!(
            "llb: {} workers on {cores} cores, the most of which all can be replaced at once; give -n for more, up to {MAX_SEATS}",
            config.workers,
        ));
    }
    engine::run(config)?;
    Ok(ExitCode::SUCCESS)
}

/// One worker per core, but no more than there are seats for in a reload of all at once: each new one takes a seat beside an
/// old one.
fn default_workers(cores: usize) -> u32 {
    cores.min(MAX_SEATS / 2) as u32
}

/// The command line, and the file behind it, gave no command.
#[derive(Debug, thiserror::Error)]
#[error("no command: give it after `--`, or as `command = [...]` in the configuration file")]
pub(super) struct NoCommand;

/// A line needs to know which workers are free.
#[derive(Debug, thiserror::Error)]
#[error("--concurrency needs --tracking full, and --policy least-latency or least-inflight: it goes by who is free")]
pub(super) struct NobodyIsFree;

fn concurrency(args: &RunArgs) -> Result<Concurrency, NobodyIsFree> {
    match args.concurrency {
        None => Ok(Concurrency::default()),
        Some(Concurrency::Off) => Ok(Concurrency::Off),
        _ if !(chooses_by_load(args.policy.into()) && matches!(args.tracking, TrackingArg::Full)) => Err(NobodyIsFree),
        Some(concurrency) => Ok(concurrency),
    }
}

/// Requests are what the kernel counts.
#[derive(Debug, thiserror::Error)]
#[error("--max-requests needs --tracking full: without that nobody counts them")]
pub(super) struct NobodyCounts;

fn recycling(args: &RunArgs) -> Result<Recycling, NobodyCounts> {
    let RunArgs { max_requests, max_age, max_memory, .. } = *args;
    match max_requests {
        Some(_) if !matches!(args.tracking, TrackingArg::Full) => Err(NobodyCounts),
        _ => Ok(Recycling { max_requests, max_age, max_memory }),
    }
}

/// What workers listen on is not llb's own.
#[derive(Debug, thiserror::Error)]
#[error("{option} {address} is a port that -p or --own-port gives to the workers: give another one")]
pub(super) struct PortOfWorkers {
    option: &'static str,
    address: MetricsAddress,
}

fn metrics(args: &RunArgs) -> Result<Option<MetricsAddress>, PortOfWorkers> {
    match args.metrics.clone() {
        Some(address) if address.is_a_workers(&args.ports, &args.own_ports) => {
            Err(PortOfWorkers { option: "--metrics", address })
        }
        address => Ok(address),
    }
}

/// What workers say of themselves is served with llb's own metrics.
#[derive(Debug, thiserror::Error)]
#[error("--scrape says nothing without --metrics: what workers answer is served there, at /workers")]
pub(super) struct ServedNowhere;

fn scrape(args: &RunArgs) -> Result<Option<Scrape>, ServedNowhere> {
    match args.scrape.clone() {
        Some(_) if args.metrics.is_none() => Err(ServedNowhere),
        scrape => Ok(scrape),
    }
}

/// Agent checks are answered by requests in flight.
#[derive(Debug, thiserror::Error)]
#[error("--agent needs --tracking full: without that nobody knows who is busy")]
pub(super) struct NobodyIsBusy;

fn agent(args: &RunArgs) -> anyhow::Result<Option<SocketAddr>> {
    match args.agent.map(MetricsAddress::Tcp) {
        Some(_) if !matches!(args.tracking, TrackingArg::Full) => Err(NobodyIsBusy.into()),
        Some(address) if address.is_a_workers(&args.ports, &args.own_ports) => {
            Err(PortOfWorkers { option: "--agent", address }.into())
        }
        _ => Ok(args.agent),
    }
}

/// Clients are remembered for nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NobodySticks {
    #[error("--sticky needs a policy that chooses, and not --policy hash")]
    Hash,
    #[error("--sticky-prefix and --sticky-ttl say nothing without --sticky source")]
    Off,
}

/// How long a client is remembered: sessions of web frameworks that are kept in memory live for half an hour to two.
const TTL: Duration = Duration::from_secs(3600);

fn sticky(args: &RunArgs) -> Result<Option<Sticky>, NobodySticks> {
    let Prefixes { v4, v6 } = args.sticky_prefix.unwrap_or(Prefixes { v4: 32, v6: 128 });
    match args.sticky {
        StickyArg::Off if args.sticky_prefix.is_some() || args.sticky_ttl.is_some() => Err(NobodySticks::Off),
        StickyArg::Off => Ok(None),
        StickyArg::Source if matches!(args.policy, PolicyArg::Hash) => Err(NobodySticks::Hash),
        StickyArg::Source => Ok(Some(Sticky { v4, v6, ttl: args.sticky_ttl.unwrap_or(TTL) })),
    }
}

fn cpus(args: &RunArgs) -> anyhow::Result<Vec<usize>> {
    match &args.cpus {
        None => Ok(Vec::new()),
        Some(Cpus::List(list)) => Ok(list.clone()),
        Some(Cpus::Auto) => affinity::ours().context("cannot tell which CPUs llb may use for --cpus auto"),
    }
}

/// What the arguments ask for.
pub(super) fn config(args: RunArgs) -> anyhow::Result<Config> {
    let concurrency = concurrency(&args)?;
    let cpus = cpus(&args)?;
    let recycling = recycling(&args)?;
    let metrics = metrics(&args)?;
    let agent = agent(&args)?;
    let scrape = scrape(&args)?;
    let sticky = sticky(&args)?;
    let identity = Identity::find(args.user.as_deref(), args.group.as_deref())?;
    let mut command = args.command.into_iter();
    let program = command.next().ok_or(NoCommand)?;
    let cores = available_parallelism().context("cannot tell the number of cores; give -n")?;
    Ok(Config {
        name: args.fleet.name,
        program,
        args: command.collect(),
        identity,
        workers: args.workers.unwrap_or(default_workers(cores.get())),
        policy: args.policy.into(),
        tracking: args.tracking.into(),
        limits: args.ports,
        own_ports: args.own_ports,
        ready_when: args.ready_when.into(),
        ready_check: args.ready_check,
        ready_timeout: args.ready_timeout,
        drain_timeout: args.drain_timeout,
        drain_idle: args.drain_idle,
        stop_signal: args.stop_signal,
        stop_whom: args.stop_whom.into(),
        respawn: args.respawn,
        backoff: args.backoff,
        hanging: Hanging { rescue: args.rescue.into(), timeout: args.hang_timeout },
        recycling,
        concurrency,
        queue_timeout: args.queue_timeout,
        udp_flow_timeout: args.udp_flow_timeout,
        quic_lb: args.quic_lb.into(),
        metrics,
        scrape,
        agent,
        sticky,
        cpus,
        nice: args.nice,
        resources: Resources { memory_max: args.memory_max, cpu_max: args.cpu_max },
        on_master_exit: args.on_master_exit.into(),
        guard: None,
        runtime_dir: args.fleet.runtime_dir,
    })
}

/// What is to be compared, and how.
pub(super) fn bench_here(args: BenchHereArgs) -> anyhow::Result<BenchHere> {
    let BenchHereArgs { path, workers, port, rate, time, command } = args;
    let mut command = command.into_iter();
    let program = command.next().ok_or(NoCommand)?;
    let cores = available_parallelism().context("cannot tell the number of cores; give -n")?;
    let config = Config {
        workers: workers.unwrap_or(default_workers(cores.get())),
        limits: port.into_iter().collect(),
        ..Config::new(program, command)
    };
    process::prepare(config.workers)?;
    Ok(BenchHere { config, path, rate, time })
}

#[cfg(test)]
mod tests {
    use super::default_workers;

    #[test]
    fn by_default_there_is_a_seat_for_each_new_worker_of_a_reload() {
        assert_eq!([1, 64, 128, 129, 300].map(default_workers), [1, 64, 128, 128, 128]);
    }
}
