//! The one loop around both journeys: it reads the clock, waits for what happens, asks the pure parts what to do, and
//! does it.
//!
//! `fleet::Lives` decides about workers and `policy::table` about costs; neither knows of clocks, sockets or
//! processes. What they decide is a queue, emptied in `effects` at the end of each turn; who sits where is kept by `seating`, what is shown in `status`.

mod acceptance;
mod agent;
mod answers;
mod canary;
mod check;
mod completion;
mod diagnose;
mod dispatch;
mod drain;
mod effects;
mod end;
mod error;
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
pub(crate) mod guard;
mod handle;
mod journal;
mod leftover;
mod line;
mod messages;
mod metrics;
mod notify;
mod orphans;
mod ports;
mod queues;
mod reach;
mod record;
mod recycle;
mod rescue;
mod rights;
mod scrape;
mod seating;
mod service;
mod signals;
mod standby;
mod start;
mod status;
mod sticky;
mod takeover;
mod totals;
mod turns;
mod udp;
mod wake;
mod why;
mod worker;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use llb_common::policy::Policy;
use nix::sys::signal::Signal;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval},
};

pub use error::RunError;
pub use handle::{Fleet, FleetBuilder, FleetHandle};

use crate::{
    agent::Headroom,
    config::{Config, ReadyWhen},
    control,
    fleet::{
        Bound, Bypass, Command, FleetCgroup, Granted, Lives, NotifySocket, Others, Refusal, RuntimeDir, Sight, Style,
        Worker, totals::Totals,
    },
    kernel::{Connections, Event, EventKind, Pins},
    metrics::{Answer, Listener, Question, serve},
    model::{Address, Instant, Slot, WorkerId},
    observe::stderr,
    report::say,
    sys::clock::now,
    updater::{UPDATE_EVERY, Updater},
};
use journal::Journal;
use messages::Message;
use service::Service;
use signals::{Signals, Wish};
use worker::{ExitRecord, Running};

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

/// How reloads have ended since the master started.
#[derive(Clone, Copy, Debug, Default)]
struct Reloads {
    succeeded: u64,
    rolled_back: u64,
}

/// A running fleet.
pub(crate) struct Engine {
    config: Config,
    started_at: Instant,
    updater: Updater,
    /// Asked from the threads that look at connections.
    connections: Option<Arc<Connections>>,
    journal: Journal,
    lives: Lives,
    running: HashMap<WorkerId, Running>,
    /// Workers by the id of their cgroup, as the kernel's events name them.
    by_cgroup: HashMap<u64, WorkerId>,
    exit_records: BTreeMap<Slot, ExitRecord>,
    /// Why workers could not be started, until that is told.
    unspawned: BTreeMap<WorkerId, (Slot, RunError)>,
    /// What workers have bound and do not listen on.
    bound: Bound,
    /// Whether connections come past the selector.
    bypass: Bypass,
    /// What other fleets listen on.
    others: Others,
    rescue: rescue::Rescue,
    udp: udp::Udp,
    recycler: recycle::Recycler,
    canary: canary::Trial,
    waking: wake::Waking,
    /// The policy, where it changes while the fleet runs.
    policy: Option<Rc<Cell<Policy>>>,
    /// Where connections wait while no worker listens.
    standby: standby::Standby,
    /// Where clients wait for whom nobody is free; none if they are to wait at workers.
    lines: Option<line::Lines>,
    inbox: mpsc::Sender<Message>,
    /// For looking at workers that start.
    lookers: Rc<Semaphore>,
    /// How workers that start are asked whether they are ready; none if they are not.
    checker: Option<check::Checker>,
    /// How single workers are connected to.
    reacher: reach::Reacher,
    /// Where choices come that somebody asks for.
    asking: why::Asking,
    /// Where workers say by sd_notify(3) that they are ready, and how often somebody else has.
    notify: Rc<NotifySocket>,
    unknown_senders: u64,
    /// What workers that are gone have counted.
    totals: Totals,
    reloads: Reloads,
    /// Where metrics are served; none if they are not, or once they are.
    metrics: Option<Listener>,
    /// What a balancer above is told of the fleet, and where; none if it is told nothing, or once it is.
    headroom: Option<Rc<RefCell<Headroom>>>,
    agent: Option<agent::Listener>,
    orphans: orphans::Orphans,
    turns: turns::Turns,
    service: Service,
    up: Option<Announce>,
    failure: Option<RunError>,
    down: bool,
    /// What the next master would have to know; nothing if it could not go on with the programs anyway.
    record: Option<record::Keeper>,
    // Last, as fields are dropped in order: the cgroup goes, and with it the programs, then their pins, and then the lock.
    cgroup: FleetCgroup,
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
        engine.orphans = orphans::Orphans::Reaped;
        rights::shed(&engine.config, engine.cgroup.path(), engine.pins.as_ref());
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
        let lookers = answers::lookers();
        let reacher = self.reacher.clone();
        let answers = answers::answers(self.inbox.clone(), lookers.clone(), reacher.clone(), self.asking.clone());
        let scraper =
            self.config.scrape.clone().map(|scrape| scrape::Scraper::new(self.inbox.clone(), reacher, scrape));
        let control = control::Server::open(self.lock.path())?.run(answers);
        // Ends with this.
        let mut beside = JoinSet::new();
        if let Some(listener) = self.metrics.take() {
            let scrapes = scraper.is_some();
            let answers = metrics::answers(self.inbox.clone(), lookers, scraper);
            beside.spawn_local(serve_metrics(listener, scrapes, answers));
        }
        if let Some((listener, headroom)) = self.agent.take().zip(self.headroom.clone()) {
            beside.spawn_local(agent::answer(listener, headroom));
        }
        tokio::pin!(control);
        let socket = self.notify.clone();
        let notified = notify::listen(&socket, self.inbox.clone());
        tokio::pin!(notified);
        // What an earlier master has left in the maps, and is not so any more, goes.
        self.reconcile(now());
        // Who is told that the fleet serves may ask at once.
        self.perform(now());
        let mut events = self.updater.steering_mut().take_events()?;
        let mut tick = interval(UPDATE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tokio::pin!(stop);
        let mut stopping = false;

        while !self.down {
            tokio::select! {
                biased;
                _ = tick.tick() => self.tick(self.turns.begin()),
                wish = next_wish(&mut signals) => self.wish(wish, self.turns.begin()),
                () = &mut stop, if !stopping => {
                    stopping = true;
                    self.stop(self.turns.begin());
                }
                batch = next(&mut events) => {
                    let batch = batch.map_err(failed("read the kernel's events"))?;
                    let now = self.turns.begin();
                    let closed = batch.iter().any(|event| event.kind == EventKind::Close);
                    for event in batch {
                        self.socket_event(event, now);
                        self.perform(now);
                    }
                    if closed {
                        // It may have been the last.
                        self.tend_standby(now);
                    }
                    self.serve_lines(now);
                }
                arrived = line::arrival(&mut self.lines) => {
                    arrived.map_err(failed("wait for connections"))?;
                    self.serve_lines(now());
                }
                message = inbox.recv() => {
                    if let Some(message) = message {
                        self.message(message, self.turns.begin());
                    }
                }
                never = &mut control => match never {},
                never = &mut notified => match never {},
            }
            self.perform(now());
            self.keep_record();
            self.turns.end(now());
        }
        self.journal.is_heard().await;
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        self.look_round(now);
        {
            let Engine { lives, updater, running, udp, .. } = self;
            let sight = |worker: &Worker| Sight {
                has_flows: udp.has_flows(worker.seats()),
                ..drain::sight(worker, running.get(&worker.id), updater, now)
            };
            lives.tick(now, sight, |seat| updater.is_drained(seat, now));
        }
        self.perform(now);
        for (id, ping) in self.updater.pings(now) {
            if let Some(running) = self.running.get(&id) {
                running.say(&say::ping(ping));
            }
        }
        self.wake_targets();
        if let Some(policy) = &self.policy {
            self.updater.go_by(policy.get());
        }
        self.updater.steering_mut().tend_clients(now);
        if self.updater.is_due(now) {
            self.reconcile(now);
        }
        self.updater.update(now);
        self.tend_lines(now);
        self.tend_standby(now);
        self.tend_udp(now);
        self.check_suspects(now);
        self.recycle(now);
        self.watch_canary(now);
        self.reap_what_was_hidden();
        self.say_what_is_only_bound(now);
        self.attach_anew_if_bypassed(now);
        self.sample_headroom(now);
        self.service.tick(now);
    }

    fn stop(&mut self, now: Instant) {
        self.close_lines(now);
        self.end_standby(now);
        self.lives.stop(now);
    }

    fn wish(&mut self, wish: Wish, now: Instant) {
        let workers = self.lives.slots().count() as u32;
        let command = match wish {
            Wish::Stop => Command::Stop,
            Wish::Reload => Command::Reload(Style::AtOnce),
            Wish::More => Command::Scale { workers: workers.saturating_add(1) },
            Wish::Fewer => Command::Scale { workers: workers.saturating_sub(1) },
            Wish::PassOn => return self.pass_on(Signal::SIGUSR1),
            Wish::Reap => return self.reap_orphans(),
        };
        if let Err(refusal) = self.command(command, now) {
            tracing::warn!("a signal's wish is refused: {refusal}");
        }
    }

    fn command(&mut self, command: Command, now: Instant) -> Result<Granted, Refusal> {
        if matches!(command, Command::Stop) {
            self.close_lines(now);
            self.end_standby(now);
        }
        if matches!(command, Command::Try(..)) && !self.updater.steering().keeps_books() {
            return Err(Refusal::NoBooks);
        }
        self.lives.command(command, now)
    }

    fn slot(&self, id: WorkerId) -> Slot {
        self.lives.worker(id).map_or(Slot(u32::MAX), |worker| worker.slot)
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
