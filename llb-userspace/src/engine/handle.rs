//! A fleet in a thread of its own, for programs that are not llb.

use std::{
    ffi::OsString,
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{RunError, Up, block_on, run_in};
use crate::{config::Config, control::Client};

/// A fleet of a program's own: [`Fleet::builder`] begins one.
///
/// ```no_run
/// use llb::{Fleet, FleetHandle, RunError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet: FleetHandle = Fleet::builder("python3", ["-m", "http.server", "8080"]).workers(4).spawn()?;
/// println!("{} workers serve on {} addresses", fleet.up().serving, fleet.up().addresses.len());
/// fleet.control().scale(8)?;
/// match fleet.stop() {
///     Err(RunError::NotReady { slot, .. }) => println!("worker {slot} never listened"),
///     ended => ended?,
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Fleet;

impl Fleet {
    /// A fleet of copies of this command, as [`Config::new`] has it.
    pub fn builder<Arg: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = Arg>,
    ) -> FleetBuilder {
        FleetBuilder { config: Config::new(program, args) }
    }
}

/// What a fleet is to be; each part of it is explained at [`Config`].
///
/// ```no_run
/// use llb::{Fleet, FleetBuilder, config::Config};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // From a file, as `llb run --config` reads it, but with two workers, and another place for its control socket.
/// let builder = FleetBuilder::from(Config::read("/etc/llb/web.toml".as_ref())?).workers(2);
/// let fleet = builder.with(|config| config.runtime_dir = "/run/mine".into()).spawn()?;
/// fleet.wait()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FleetBuilder {
    config: Config,
}

impl From<Config> for FleetBuilder {
    fn from(config: Config) -> Self {
        FleetBuilder { config }
    }
}

impl FleetBuilder {
    /// The number of slots.
    #[must_use]
    pub fn workers(self, workers: u32) -> Self {
        self.with(|config| config.workers = workers)
    }

    /// Changes anything of it.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the fleet in a thread of its own, and waits until every slot has been ready once. Signals stay the program's: the
    /// fleet listens to none.
    ///
    /// # Errors
    /// [`RunError`] if it cannot come up. Nothing of it is left then.
    pub fn spawn(self) -> Result<FleetHandle, RunError> {
        let (say_up, up) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let name = format!("llb {}", self.config.name);
        let run = move || run_here(self.config, say_up, async { drop(stopped.await) });
        let attempt = "start a thread";
        let thread = thread::Builder::new().name(name).spawn(run);
        let thread = thread.map_err(|source| RunError::Loop { attempt, source })?;
        match up.recv() {
            Ok(up) => Ok(FleetHandle { up, running: Some(RunningFleet { stop, thread }) }),
            Err(_) => Err(join(thread).err().unwrap_or_else(|| RunError::Loop {
                attempt: "wait until the fleet serves",
                source: io::Error::other("it has been stopped before"),
            })),
        }
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
    pub fn control(&self) -> Client<'_> {
        Client { runtime_dir: &self.up.config.runtime_dir, name: self.up.config.name.as_str() }
    }

    /// Ends the fleet in order: what workers have begun is finished within the drain time. Waits until nothing of it is left.
    ///
    /// # Errors
    /// [`RunError`] if it has ended for another reason.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.running.take().map_or(Ok(()), RunningFleet::stop)
    }

    /// Waits until the fleet ends: by [`Client::stop`], or by a failure.
    ///
    /// # Errors
    /// [`RunError`] if it has not been told to end.
    pub fn wait(mut self) -> Result<(), RunError> {
        self.running.take().map_or(Ok(()), |running| {
            // Kept until the end, which its drop would ask for.
            let RunningFleet { stop: _stop, thread } = running;
            join(thread)
        })
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
}
