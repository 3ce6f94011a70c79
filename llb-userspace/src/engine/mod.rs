//! The one loop around both journeys: it reads the clock, waits for what happens, asks the pure parts what to do, and
//! does it.
//!
//! `fleet::Lives` decides about workers and `policy::table` about costs; neither knows of clocks, sockets or processes. What
//! they decide is a queue, which `effects` empties at the end of each turn; what happens comes in by `dispatch`.
//!
//! `core` is what all parts look at and act on. Each part has what it alone knows, and is given that: `processes` starts and
//! ends workers, `health` looks at them with every tick, `waiting` has the connections that wait for one, `reports` tells of
//! all that. `requests` are the tasks beside the loop for those who ask, and `startup` is over when the loop begins.

mod core;
mod dispatch;
mod effects;
mod error;
mod handle;
mod health;
mod messages;
mod processes;
mod reports;
mod requests;
mod snapshot;
mod startup;
mod waiting;
mod wishes;

use std::{cell::Cell, rc::Rc, time::Duration};

use llb_common::policy::Policy;
use nix::sys::signal::Signal;
use tokio::{
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval},
};

pub(crate) use self::startup::guard;
use self::{
    core::Core,
    health::Health,
    messages::Message,
    processes::{Orphans, Processes, listen, pass_on, sight},
    reports::{Reports, answer},
    requests::{Asking, Reacher, Scraper, answers, lookers, probe_answers},
    waiting::{Waiting, arrival},
    wishes::{Signals, Wish},
};
pub use self::{
    error::RunError,
    handle::{Fleet, FleetBuilder, FleetHandle},
};
use crate::{
    agent,
    config::{Config, ReadyWhen},
    control,
    fleet::{Command, Granted, Refusal, RuntimeDir, Sight, Style, Worker},
    kernel::{Event, EventKind, Pins},
    metrics::{Answer, Listener, Question, serve},
    model::{Address, Instant},
    observe::stderr,
    report::say,
    sys::clock::now,
    updater::UPDATE_EVERY,
};

/// Messages that may wait for the engine; a worker whose reports do not fit waits, and its channel fills.
const INBOX: usize = 1_024;

/// How long the end of llb waits for somebody to read what workers have written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A fleet of which every slot has been ready once.
#[derive(Clone, Debug)]
pub struct Up {
    /// The addresses that are steered.
    pub addresses: Vec<Address>,
    /// The same of UDP.
    pub udp: Vec<Address>,
    /// How many workers serve: fewer than there are slots where some have never become ready.
    pub serving: u32,
    /// What was asked for.
    pub config: Config,
}

type Announce = Box<dyn FnOnce(&Up)>;

/// The one line that says that the fleet serves.
fn announce(up: &Up) {
    let udp = up.udp.iter().map(|address| format!("udp {address}"));
    let addresses: Vec<String> = up.addresses.iter().map(Address::to_string).chain(udp).collect();
    let Config { program, name, policy, .. } = &up.config;
    let workers = match up.config.workers {
        all if all == up.serving => all.to_string(),
        all => format!("{} of {all}", up.serving),
    };
    if addresses.is_empty() && up.config.ready_when == ReadyWhen::Started {
        stderr::line(&format!(
            "llb: serving with {workers} workers of {} (fleet {name}, {}), each steered as soon as it listens",
            program.display(),
            policy.name(),
        ));
        return;
    }
    if addresses.is_empty() {
        stderr::line(
            "llb: serving by the kernel's hash alone: no listener could be steered; the warnings above say why",
        );
        return;
    }
    stderr::line(&format!(
        "llb: serving {} with {workers} workers of {} (fleet {name}, {})",
        addresses.join(", "),
        program.display(),
        policy.name(),
    ));
}

/// A running fleet.
pub(crate) struct Engine {
    processes: Processes,
    health: Health,
    waiting: Waiting,
    reports: Reports,
    /// The policy, where it changes while the fleet runs.
    policy: Option<Rc<Cell<Policy>>>,
    /// How single workers are connected to.
    reacher: Reacher,
    /// Where choices come that somebody asks for.
    asking: Asking,
    /// Where metrics are served, and agent checks answered; none if they are not, or once they are.
    metrics: Option<Listener>,
    agent: Option<agent::Listener>,
    failure: Option<RunError>,
    down: bool,
    // Last, as fields are dropped in order: the fleet's cgroup goes, and with it the programs, then their pins, and then the lock.
    core: Core,
    pins: Option<Pins>,
    _guard: Option<guard::Guard>,
    lock: RuntimeDir,
}

/// Runs a fleet until it is told to end by SIGTERM, SIGINT, SIGQUIT or SIGHUP.
///
/// # Errors
/// [`RunError`] if it cannot come up. Whatever happens, no process, cgroup, map or file of it is left.
pub fn run(config: Config) -> Result<(), RunError> {
    block_on(async {
        let (sender, inbox) = mpsc::channel(INBOX);
        let mut engine = Engine::start(config, Box::new(announce), sender)?;
        engine.processes.orphans = Orphans::Reaped;
        startup::shed(&engine.core.config, engine.core.cgroup.path(), engine.pins.as_ref());
        engine.run(inbox, std::future::pending(), Heeds::Signals).await
    })
}

/// Runs a fleet in this thread, in an event loop of its own.
fn block_on(fleet: impl Future<Output = Result<(), RunError>>) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Loop { attempt: "start the event loop", source })?;
    let result = LocalSet::new().block_on(&runtime, fleet);
    // A worker's last words may wait for a reader of our own output who does not read; we do not wait for him.
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// Runs a fleet inside a [`LocalSet`] until `stop` is done, or it is told to end by its control socket. `up` is called when
/// every slot has been ready once. Signals are the program's own: it listens to none.
///
/// # Errors
/// As [`run`].
pub async fn run_in(
    config: Config,
    up: impl FnOnce(&Up) + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (sender, inbox) = mpsc::channel(INBOX);
    Engine::start(config, Box::new(up), sender)?.run(inbox, stop, Heeds::Nothing).await
}

/// As [`run_in`], by the policy that `policy` holds at any time.
///
/// # Errors
/// As [`run`].
#[doc(hidden)] // For the binary, which compares policies.
pub async fn run_by(
    config: Config,
    policy: Rc<Cell<Policy>>,
    up: impl FnOnce(&Up) + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (sender, inbox) = mpsc::channel(INBOX);
    let mut engine = Engine::start(config, Box::new(up), sender)?;
    engine.policy = Some(policy);
    engine.run(inbox, stop, Heeds::Nothing).await
}

/// Whether a fleet listens to signals. Who begins to does so for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heeds {
    Signals,
    Nothing,
}

impl Engine {
    async fn run(
        mut self,
        inbox: mpsc::Receiver<Message>,
        stop: impl Future<Output = ()>,
        heeds: Heeds,
    ) -> Result<(), RunError> {
        let result = self.turn(inbox, stop, heeds).await;
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => result,
        }
    }

    async fn turn(
        &mut self,
        mut inbox: mpsc::Receiver<Message>,
        stop: impl Future<Output = ()>,
        heeds: Heeds,
    ) -> Result<(), RunError> {
        let failed = |attempt| move |source| RunError::Loop { attempt, source };
        let signals = (heeds == Heeds::Signals).then(Signals::listen).transpose();
        let mut signals = signals.map_err(failed("wait for signals"))?;
        let lookers = lookers();
        let reacher = self.reacher.clone();
        let answers = answers(self.core.inbox.clone(), lookers.clone(), reacher.clone(), self.asking.clone());
        let scraper =
            self.core.config.scrape.clone().map(|scrape| Scraper::new(self.core.inbox.clone(), reacher, scrape));
        let control = control::Server::open(self.lock.path())?.run(answers);
        // Ends with this.
        let mut beside = JoinSet::new();
        if let Some(listener) = self.metrics.take() {
            let scrapes = scraper.is_some();
            let answers = probe_answers(self.core.inbox.clone(), lookers, scraper);
            beside.spawn_local(serve_metrics(listener, scrapes, answers));
        }
        if let Some((listener, headroom)) = self.agent.take().zip(self.reports.headroom.clone()) {
            beside.spawn_local(answer(listener, headroom));
        }
        tokio::pin!(control);
        let socket = self.processes.notify.clone();
        let notified = listen(&socket, self.core.inbox.clone());
        tokio::pin!(notified);
        // What an earlier master has left in the maps, and is not so any more, goes.
        self.core.reconcile(now());
        // Who is told that the fleet serves may ask at once.
        self.perform(now());
        let mut events = self.core.updater.steering_mut().take_events()?;
        let mut tick = interval(UPDATE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tokio::pin!(stop);
        let mut stopping = false;

        while !self.down {
            tokio::select! {
                biased;
                _ = tick.tick() => self.tick(self.reports.turns.begin()),
                wish = next_wish(&mut signals) => self.wish(wish, self.reports.turns.begin()),
                () = &mut stop, if !stopping => {
                    stopping = true;
                    self.stop(self.reports.turns.begin());
                }
                batch = next(&mut events) => {
                    let batch = batch.map_err(failed("read the kernel's events"))?;
                    let now = self.reports.turns.begin();
                    let closed = batch.iter().any(|event| event.kind == EventKind::Close);
                    for event in batch {
                        self.socket_event(event, now);
                        self.perform(now);
                    }
                    if closed {
                        // It may have been the last.
                        self.waiting.tend_standby(&mut self.core, now);
                    }
                    self.waiting.serve_lines(&mut self.core, now);
                }
                arrived = arrival(&mut self.waiting.lines) => {
                    arrived.map_err(failed("wait for connections"))?;
                    self.waiting.serve_lines(&mut self.core, now());
                }
                message = inbox.recv() => {
                    if let Some(message) = message {
                        self.message(message, self.reports.turns.begin());
                    }
                }
                never = &mut control => match never {},
                never = &mut notified => match never {},
            }
            self.perform(now());
            self.reports.keep_record(&mut self.core, self.lock.path());
            self.reports.turns.end(now());
        }
        self.reports.journal.is_heard().await;
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        self.processes.look_round(&mut self.core, now);
        {
            let (Core { lives, updater, running, .. }, udp) = (&mut self.core, &self.health.udp);
            let sight = |worker: &Worker| Sight {
                has_flows: udp.has_flows(worker.seats()),
                ..sight(worker, running.get(&worker.id), updater, now)
            };
            lives.tick(now, sight, |seat| updater.is_drained(seat, now));
        }
        self.perform(now);
        for (id, ping) in self.core.updater.pings(now) {
            if let Some(running) = self.core.running.get(&id) {
                running.say(&say::ping(ping));
            }
        }
        self.health.begin_tick(&mut self.core);
        if let Some(policy) = &self.policy {
            self.core.updater.go_by(policy.get());
        }
        self.core.updater.steering_mut().tend_clients(now);
        if self.core.updater.is_due(now) {
            self.core.reconcile(now);
        }
        self.core.updater.update(now);
        self.waiting.tick(&mut self.core, now);
        self.health.tick(&mut self.core, now);
        self.processes.reap_what_was_hidden(&self.core);
        self.reports.sample_headroom(&self.core, self.waiting.lines.is_some(), now);
        self.reports.service.tick(now);
    }

    fn stop(&mut self, now: Instant) {
        self.waiting.close(&mut self.core, now);
        self.core.lives.stop(now);
    }

    fn wish(&mut self, wish: Wish, now: Instant) {
        let workers = self.core.lives.slots().count() as u32;
        let command = match wish {
            Wish::Stop => Command::Stop,
            Wish::Reload => Command::Reload(Style::AtOnce),
            Wish::More => Command::Scale { workers: workers.saturating_add(1) },
            Wish::Fewer => Command::Scale { workers: workers.saturating_sub(1) },
            Wish::PassOn => return pass_on(&self.core, Signal::SIGUSR1),
            Wish::Reap => return self.processes.reap_orphans(&self.core),
        };
        if let Err(refusal) = self.command(command, now) {
            tracing::warn!("a signal's wish is refused: {refusal}");
        }
    }

    fn command(&mut self, command: Command, now: Instant) -> Result<Granted, Refusal> {
        if matches!(command, Command::Stop) {
            self.waiting.close(&mut self.core, now);
        }
        if matches!(command, Command::Try(..)) && !self.core.updater.steering().keeps_books() {
            return Err(Refusal::NoBooks);
        }
        self.core.lives.command(command, now)
    }
}

async fn serve_metrics(listener: Listener, scrapes: bool, answers: impl AsyncFn(Question) -> Answer + Clone + 'static) {
    let error = serve(listener, scrapes, answers).await;
    tracing::error!(%error, "cannot serve metrics");
}

async fn next_wish(signals: &mut Option<Signals>) -> Wish {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

async fn next(events: &mut Option<crate::kernel::Events>) -> std::io::Result<Vec<Event>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
