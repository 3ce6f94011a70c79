//! The one loop around both journeys: it reads the clock, waits for what happens, asks the pure parts what to do, and
//! does it.
//!
//! `fleet::Lives` decides about workers and `policy::table` about costs; neither knows of clocks, sockets or processes. What
//! they decide is a queue, which `effects` empties at the end of each turn, as far as a long one may go on; what happens comes in by `dispatch`.
//!
//! `core` is what all parts look at and act on. Each part has what it alone knows, and is given that: `processes` starts and
//! ends workers, `health` looks at them with every tick, `waiting` has the connections that wait for one, `reports` reports
//! all that. `requests` are the tasks beside the loop for those who ask, and `startup` is over when the loop begins.

mod core;
mod dispatch;
mod effects;
mod error;
mod event_loop;
mod health;
mod inbox;
mod processes;
mod reports;
mod requests;
mod signals;
mod snapshot;
mod startup;
mod up;
mod waiting;

use std::{cell::Cell, rc::Rc, time::Duration};

use llb_common::policy::Policy;
use tokio::{sync::mpsc, task::LocalSet};

pub(crate) use self::startup::guard;
use self::{
    core::Core,
    health::Health,
    inbox::Message,
    processes::{Orphans, Processes},
    reports::Reports,
    requests::{Asking, Reacher},
    up::{Announce, announce},
    waiting::Waiting,
};
pub use self::{error::RunError, up::Up};
use crate::{agent, config::Config, fleet::RuntimeDir, kernel::Pins, metrics::Listener};

/// Messages that may wait for the engine; a worker whose reports do not fit waits, and its channel fills.
const INBOX: usize = 1_024;

/// How long the end of llb waits for somebody to read what workers have written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

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
pub(crate) fn run(config: Config) -> Result<(), RunError> {
    block_on(async {
        let (sender, inbox) = mpsc::channel(INBOX);
        let mut engine = Engine::start(config, Box::new(announce), sender)?;
        engine.processes.orphans = Orphans::Reaped;
        startup::shed(&engine.core.config, engine.core.cgroup.path(), engine.pins.as_ref());
        engine.run(inbox, std::future::pending(), Heeds::Signals).await
    })
}

/// Runs a fleet in this thread, in an event loop of its own.
pub(crate) fn block_on(fleet: impl Future<Output = Result<(), RunError>>) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Loop { attempt: "start the event loop", source })?;
    let result = LocalSet::new().block_on(&runtime, fleet);
    // What workers have written last may wait for somebody to read our output. A reader that does not read must not keep llb from ending.
    runtime.shutdown_timeout(FLUSH_WITHIN);
    result
}

/// Runs a fleet inside a [`LocalSet`] until `stop` is done, or it is told to end by its control socket. `up` is called when
/// every slot has been ready once. Signals are the program's own: it listens to none.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_in(
    config: Config,
    up: impl FnOnce(&Up) + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (sender, inbox) = mpsc::channel(INBOX);
    Engine::start(config, Box::new(up), sender)?.run(inbox, stop, Heeds::Nothing).await
}

/// As `run_in`, by the policy that `policy` holds at any time: for the binary, which compares policies.
///
/// # Errors
/// As `run`.
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

/// Whether a fleet listens to signals. Once it does, it does so for as long as the process lives.
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
        let result = self.run_loop(inbox, stop, heeds).await;
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => result,
        }
    }
}
