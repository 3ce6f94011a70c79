//! A fleet in a thread of its own, for programs that are not llb.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{FleetBuilder, FleetError};
use crate::{
    config::Config,
    control::Client,
    engine::{RunError, Up, block_on, run_in},
};

impl FleetBuilder {
    /// Starts the fleet in a thread of its own, and waits until every slot has been ready once. Signals stay the program's: the
    /// fleet listens to none.
    ///
    /// # Errors
    /// [`FleetError`] if an option is wrong, or the fleet cannot come up. Nothing of it is left then.
    pub fn spawn(self) -> Result<FleetHandle, FleetError> {
        spawn(self.config()?).map_err(FleetError::run)
    }
}

fn spawn(config: Config) -> Result<FleetHandle, RunError> {
    let (say_up, up) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let control = Client::new(&config.runtime_dir, config.name.as_str());
    let name = format!("llb {}", config.name);
    let run = move || run_here(config, say_up, async { drop(stopped.await) });
    let attempt = "start a thread";
    let thread = thread::Builder::new().name(name).spawn(run);
    let thread = thread.map_err(|source| RunError::Loop { attempt, source })?;
    match up.recv() {
        Ok(up) => Ok(FleetHandle { up, control, running: Some(RunningFleet { stop, thread }) }),
        Err(_) => Err(join(thread).err().unwrap_or_else(|| RunError::Loop {
            attempt: "wait until the fleet serves",
            source: io::Error::other("it has been stopped before"),
        })),
    }
}

fn run_here(config: Config, say_up: mpsc::Sender<Up>, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    // Nobody waits for it any more if the program has ended meanwhile.
    let up = move |up: &Up| drop(say_up.send(up.clone()));
    block_on(run_in(config, up, stop))
}

fn join(thread: JoinHandle<Result<(), RunError>>) -> Result<(), RunError> {
    let panicked = || RunError::Loop { attempt: "run the fleet", source: io::Error::other("its thread has panicked") };
    thread.join().unwrap_or_else(|_| Err(panicked()))
}

/// A fleet that runs. It is stopped when this is dropped, as by [`stop`](Self::stop). It may be sent to other threads.
#[derive(Debug)]
pub struct FleetHandle {
    up: Up,
    control: Client,
    /// None once it has been waited for.
    running: Option<RunningFleet>,
}

#[derive(Debug)]
struct RunningFleet {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl FleetHandle {
    /// The fleet as it was when it came up.
    #[must_use]
    pub fn up(&self) -> &Up {
        &self.up
    }

    /// What asks and tells the fleet, as the command line does.
    #[must_use]
    pub fn control(&self) -> &Client {
        &self.control
    }

    /// Ends the fleet in order: what workers have begun is finished within the drain time. Waits until nothing of it is left.
    ///
    /// # Errors
    /// [`FleetError`] if it has ended for another reason.
    pub fn stop(mut self) -> Result<(), FleetError> {
        self.running.take().map_or(Ok(()), RunningFleet::stop).map_err(FleetError::run)
    }

    /// Waits until the fleet ends: by [`Client::stop`], or by a failure.
    ///
    /// # Errors
    /// [`FleetError`] if it has not been told to end.
    pub fn wait(mut self) -> Result<(), FleetError> {
        self.running.take().map_or(Ok(()), RunningFleet::wait).map_err(FleetError::run)
    }
}

impl Drop for FleetHandle {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.running.take().map(RunningFleet::stop) {
            tracing::error!(%error, "the fleet has failed");
        }
    }
}

impl RunningFleet {
    fn stop(self) -> Result<(), RunError> {
        // An error says that it has ended already.
        let _ = self.stop.send(());
        join(self.thread)
    }

    fn wait(self) -> Result<(), RunError> {
        // Kept until the end, which its drop would ask for.
        let RunningFleet { stop: _stop, thread } = self;
        join(thread)
    }
}
