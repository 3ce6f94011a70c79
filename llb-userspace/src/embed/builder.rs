//! What a fleet of a program's own is to be.

use std::{ffi::OsString, path::PathBuf};

use super::FleetError;
use crate::{
    cli::Options,
    config::Config,
    engine::{Up, run_in},
};

/// A fleet of a program's own.
///
/// ```no_run
/// use llb::{Fleet, FleetHandle};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet: FleetHandle = Fleet::builder("python3", ["-m", "http.server", "8080"]).workers(4).spawn()?;
/// println!("{} workers serve on {} addresses", fleet.up().serving, fleet.up().addresses.len());
/// fleet.control().scale(8)?;
/// fleet.stop()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Fleet;

impl Fleet {
    /// A fleet of copies of this command.
    pub fn builder<Arg: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = Arg>,
    ) -> FleetBuilder {
        let command = std::iter::once(program.into()).chain(args.into_iter().map(Into::into)).collect();
        FleetBuilder { options: Options { command, ..Options::default() }, guard: None }
    }

    /// The fleet that a configuration file describes, as `llb run --config FILE` reads it.
    pub fn from_file(path: impl Into<PathBuf>) -> FleetBuilder {
        FleetBuilder { options: Options { file: Some(path.into()), ..Options::default() }, guard: None }
    }
}

/// What a fleet is to be: by default, what `llb run` makes of its command.
///
/// ```no_run
/// use llb::{Fleet, FleetBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let web: FleetBuilder = Fleet::builder("node", ["server.js"])
///     .name("web")
///     .workers(4)
///     .option("port", "8080")
///     .option("ready-check", "/health")
///     .option("drain-timeout", "30s");
/// web.spawn()?.wait()?;
///
/// // From a file, but with two workers, and another place for its control socket.
/// let other = Fleet::from_file("/etc/llb/other.toml").workers(2).option("runtime-dir", "/run/mine");
/// // A process of this binary ends the workers if this program is killed.
/// other.option("on-master-exit", "stop").guard("/usr/bin/llb").spawn()?.wait()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FleetBuilder {
    options: Options,
    guard: Option<PathBuf>,
}

impl FleetBuilder {
    /// The fleet's name, for several of them on one machine.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.option("name", name)
    }

    /// The number of slots.
    #[must_use]
    pub fn workers(self, workers: u32) -> Self {
        self.option("workers", workers.to_string())
    }

    /// Any option of `llb run`, by its long name and in the form that it has there; it wins over the file's. Of an option that
    /// can be given once the last value counts. `log` and `log-format` change nothing: the log is the program's own.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.options.given.push((name.to_owned(), value.into()));
        self
    }

    /// The binary `llb` of this crate's version, of which a process ends the workers with `on-master-exit=stop`. Without it
    /// this program has to be that binary.
    #[must_use]
    pub fn guard(mut self, binary: impl Into<PathBuf>) -> Self {
        self.guard = Some(binary.into());
        self
    }

    /// Runs the fleet inside a [`LocalSet`](tokio::task::LocalSet) of the program's own, until `stop` is done or the fleet is
    /// told to end by its control socket. `up` is called when every slot has been ready once. Signals stay the program's.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), llb::FleetError> {
    /// let stop = async { drop(tokio::signal::ctrl_c().await) };
    /// llb::Fleet::builder("node", ["server.js"]).run(|up| println!("{} workers", up.serving), stop).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FleetError`] if an option is wrong, or the fleet cannot come up. Nothing of it is left then.
    pub async fn run(self, up: impl FnOnce(&Up) + 'static, stop: impl Future<Output = ()>) -> Result<(), FleetError> {
        run_in(self.config()?, up, stop).await.map_err(FleetError::run)
    }

    pub(super) fn config(self) -> Result<Config, FleetError> {
        let config = self.options.config().map_err(FleetError::options)?;
        Ok(Config { guard: self.guard, ..config })
    }
}
