//! How a master begins: with what an earlier one has left, or afresh.

use std::{cell::RefCell, collections::HashMap, fs::File, io, rc::Rc};

use llb_common::{abi::MAX_SEATS, names};
use nix::unistd::geteuid;
use tokio::sync::{Mutex, mpsc};

use super::{
    found::{self, Found, Left},
    guard::Guard,
    leftover,
};
use crate::{
    agent::{self, Headroom},
    config::{Config, OnMasterExit},
    engine::{
        Announce, Engine, RunError,
        core::{Core, Running, Sockets},
        health::Health,
        inbox::Message,
        processes::{self, Checker, Processes},
        reports::{Keeper, Reports, Service},
        requests::Reacher,
        waiting::{Lines, Standby, Waiting},
    },
    fleet::{
        Adopted, AdoptedWorker, FleetCgroup, Refusal, Rules, RuntimeDir, Supervisor, clear_leftover,
        takeover::{FORMAT, Record, Terms},
        totals::Totals,
    },
    kernel::{Checks, KernelError, Limit, Options, Pins, Steering},
    metrics::Listener,
    model::{Address, Generation, Instant, Slot},
    observe::stderr,
    sys::{clock::now, procfs},
    updater::Updater,
};

impl Engine {
    pub(in crate::engine) fn start(
        config: Config,
        up: Announce,
        inbox: mpsc::Sender<Message>,
    ) -> Result<Self, RunError> {
        let now = now();
        if !(1..=MAX_SEATS as u32).contains(&config.workers) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, Refusal::BadCount);
            return Err(RunError::Loop { attempt: "have so many workers", source });
        }
        let lock = RuntimeDir::take(&config.runtime_dir, &config.name)?;
        // While nothing has been done yet that would have to be undone.
        let metrics = config.metrics.as_ref().map(Listener::open).transpose()?;
        let agent = config.agent.map(agent::Listener::open).transpose()?;
        let guard = match config.on_master_exit {
            OnMasterExit::Keep => None,
            OnMasterExit::Stop => Some(Guard::start(&config)),
        };
        let guard = guard.transpose().map_err(|source| RunError::Loop { attempt: "start the guard", source })?;
        let terms = terms(&config)?;
        let left = match found::take_over(&config, &lock, &terms) {
            Ok(left) => left,
            Err(found::NotAdopted::Alive(error)) => return Err(error.into()),
            Err(found::NotAdopted::Obstacle(obstacle)) => {
                tracing::warn!("starts afresh instead of taking over what an llb of this name has left: {obstacle}");
                None
            }
        };
        // A manager that cannot be reached does not wait for a message.
        let service = Service::find(std::process::id(), |name| std::env::var_os(name)).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot reach the service manager that NOTIFY_SOCKET names");
            Service::default()
        });
        let rules = Rules {
            slots: config.workers,
            ready_when: config.ready_when,
            ready_check: config.ready_check.is_some(),
            ready_timeout: config.ready_timeout,
            drain_timeout: config.drain_timeout,
            drain_idle: config.drain_idle,
            respawn: config.respawn,
            backoff: config.backoff,
        };
        let (cgroup, mut steering, pins, adopt) = match left {
            None => {
                let (cgroup, steering, pins) = afresh(&config, &lock)?;
                (cgroup, steering, pins, None)
            }
            Some(Left { cgroup, steering, pins, record, workers, ended, spared }) => {
                (cgroup, steering, Some(pins), Some((record, workers, ended, spared)))
            }
        };
        let checker = match &config.ready_check {
            Some(path) => Some(Checker::new(Checks::attach()?, path)),
            None => None,
        };
        let notify = processes::open(&config, &lock, cgroup.path(), lock.secret(processes::random())?)
            .map_err(|source| RunError::Loop { attempt: "open a socket for what workers notify", source })?;
        // The listeners of an earlier master's lines have ended with it.
        steering.books().clear_lines();
        let lines = Lines::of(config.concurrency_by_load(), now)
            .map_err(|source| RunError::Loop { attempt: "watch the line", source })?;
        steering.books().set_concurrency(lines.as_ref().map_or(0, Lines::concurrency));
        steering.keep_flows(config.udp_flow_timeout);
        steering.set_connection_ids(config.quic_lb);
        steering.tend_flows(now);
        if let Some(sticky) = config.sticky {
            steering.remember_clients(sticky.ttl, now);
        }
        let missing = KernelError::Missing { what: "map", name: names::REACHES };
        let reacher = Reacher::new(inbox.clone(), steering.take_reaches().ok_or(missing)?);
        let missing = KernelError::Missing { what: "map", name: names::CHOICES };
        let asking = Rc::new(Mutex::new(steering.take_choices().ok_or(missing)?));
        let mut reports = Reports::new(service, up, now);
        reports.headroom = agent.is_some().then(|| Rc::new(RefCell::new(Headroom::new(now))));
        reports.record = pins.is_some().then(|| Keeper::new(terms));
        let mut engine = Engine {
            processes: Processes::new(steering.take_connections(), checker, notify, inbox.clone()),
            health: Health::default(),
            waiting: Waiting { lines, standby: Standby::new(&config) },
            reports,
            policy: None,
            reacher,
            asking,
            metrics,
            agent,
            failure: None,
            down: false,
            core: Core {
                supervisor: Supervisor::new(rules, now),
                updater: Updater::new(steering, config.policy, config.tracking),
                running: HashMap::new(),
                sockets: Sockets::default(),
                totals: Totals::default(),
                is_changed: true,
                config,
                inbox,
                cgroup,
            },
            pins,
            _guard: guard,
            lock,
        };
        if let Some((record, workers, ended, spared)) = adopt {
            stderr::line(&format!("llb: took over {} workers of fleet {}", workers.len(), engine.core.config.name));
            engine.core.updater.spare(spared);
            engine.core.totals = record.totals.clone();
            engine.core.keep_totals_of(&ended);
            adopt_workers(&mut engine.core, record, workers, now)?;
        }
        Ok(engine)
    }
}

/// Takes over the workers that an earlier master has spawned, and watches them.
fn adopt_workers(core: &mut Core, record: Record, workers: Vec<Found>, now: Instant) -> Result<(), RunError> {
    let adopted = workers.iter().map(|Found { survivor, listeners, udp, seats }| AdoptedWorker {
        slot: Slot(survivor.record.slot),
        generation: Generation(survivor.record.generation),
        stage: survivor.record.stage,
        asked_to_leave: survivor.record.asked_to_leave.clone(),
        is_recycled: survivor.record.is_recycled,
        started_at: Instant(survivor.record.started_at).min(now),
        listeners: listeners.clone(),
        udp: udp.clone(),
        seats: seats.keys().copied().collect(),
    });
    let Record { slots, generation, reloading, unattended, .. } = record;
    let unattended = unattended.into_iter().map(Address).collect();
    let found = Adopted { workers: adopted.collect(), slots, generation, reloading, unattended };
    let books = core.updater.steering().books();
    let ids = core.supervisor.adopt(found, |seat| books.seat(seat).charged > 0, now);
    for (id, Found { survivor, seats, .. }) in ids.into_iter().zip(workers) {
        core.updater.adopt(id, seats);
        let running = Running::adopt(id, survivor, &core.inbox)
            .map_err(|source| RunError::Loop { attempt: "watch a worker", source })?;
        core.running.insert(id, running);
    }
    Ok(())
}

/// Clears what is left of an earlier fleet, and makes another one.
fn afresh(config: &Config, lock: &RuntimeDir) -> Result<(FleetCgroup, Steering, Option<Pins>), RunError> {
    let killed = leftover::clear(lock, &config.name, clear_leftover)?;
    if killed > 0 {
        tracing::warn!(processes = killed, "killed what an llb of this name that did not end in order had left");
    }
    let cgroup = FleetCgroup::create(&config.name)?;
    leftover::sweep(lock, cgroup.path());
    lock.note_cgroup(cgroup.path())?;
    let options = Options {
        cgroup_level: cgroup.worker_level(),
        limits: config.limits.clone(),
        keeps_books: config.tracking.keeps_books(),
        sticky: config.sticky,
    };
    let pinned = match Pins::make(lock.path(), &leftover::key(&config.name, cgroup.id())) {
        Err(error) => Err(error.into()),
        Ok(pins) => match Steering::load_pinned(&options, &pins) {
            Ok(steering) => Ok((steering, pins)),
            Err(error @ KernelError::Pin { .. }) => Err(anyhow::Error::from(error)),
            Err(error) => return Err(error.into()),
        },
    };
    let (mut steering, pins) = match pinned {
        Ok((steering, pins)) => (steering, Some(pins)),
        Err(error) => {
            tracing::warn!("should this llb be killed, the next one cannot take over its workers: {error:#}");
            (Steering::load(&options)?, None)
        }
    };
    steering.set_own_ports(&config.own_ports)?;
    let directory =
        File::open(cgroup.path()).map_err(|source| RunError::Loop { attempt: "open the fleet's cgroup", source })?;
    steering.attach(&directory)?;
    Ok((cgroup, steering, pins))
}

/// Under which conditions another master can go on with this one's programs.
fn terms(config: &Config) -> Result<Terms, RunError> {
    let boot = procfs::boot_id().map_err(|source| RunError::Loop { attempt: "read the boot id", source })?;
    let mut ports: Vec<String> = config.limits.iter().map(Limit::to_string).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.extend(config.own_ports.iter().map(|own| format!("--own-port {own}")));
    let user = config.identity.as_ref().map_or_else(geteuid, |identity| identity.uid);
    Ok(Terms {
        format: FORMAT,
        abi: names::ABI.to_owned(),
        boot,
        ports,
        tracking: config.tracking.name().to_owned(),
        sticky: config.sticky.map_or_else(String::new, |sticky| sticky.to_string()),
        user: user.as_raw(),
    })
}
