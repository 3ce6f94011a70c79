//! A configuration file without a command line, for users of the library.

use std::path::Path;

use super::{
    args::Command,
    merge::{MergeError, Merged, at_its_line, merge},
    run,
};
use crate::config::{Config, FileError};

impl Config {
    /// What a configuration file asks for, as `llb run -c FILE` understands it: its keys are the options of `llb run`, and
    /// `command` is the worker's command. Without `workers` there is one worker per core. `log` is not for a library, and
    /// changes nothing.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read, with the line if something in it is wrong, or if there is no `command` in it.
    ///
    /// ```
    /// use std::fs;
    /// use llb::config::{Config, FileError, Tracking};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("llb.toml");
    /// fs::write(&path, "workers = 2\ntracking = \"reports\"\ncommand = [\"node\", \"server.js\"]\n")?;
    /// let config = Config::read(&path)?;
    /// assert_eq!((config.workers, config.tracking), (2, Tracking::Reports));
    ///
    /// fs::write(&path, "command = [\"node\"]\nworkers = 0\n")?;
    /// assert!(matches!(Config::read(&path), Err(FileError::Wrong { line: 2, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let whole = |source| FileError::Whole { path: path.into(), source };
        let Merged { cli, file } = match merge(vec!["llb".into(), "run".into(), "--config".into(), path.into()]) {
            Ok(merged) => merged,
            Err(MergeError::File(error)) => return Err(error),
            Err(MergeError::Usage(error)) => return Err(whole(error.into())),
        };
        let Command::Run(args) = cli.command else { unreachable!("it was asked for `run`") };
        run::config(args).map_err(|error| match at_its_line(file.as_ref(), error).downcast() {
            Ok(wrong) => wrong,
            Err(error) => whole(error.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn a_new_config_is_what_the_command_line_makes_of_nothing() {
        let Command::Run(args) = Cli::parse_from(["llb", "run", "-n", "1", "--", "node", "server.js"]).command else {
            panic!("not `run`")
        };
        assert_eq!(run::config(args).unwrap(), Config::new("node", ["server.js"]));
    }

    #[test]
    fn a_file_without_a_command_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("llb.toml");
        std::fs::write(&path, "workers = 2\n").unwrap();
        let FileError::Whole { path: named, source } = Config::read(&path).unwrap_err() else {
            panic!("has a command")
        };
        assert!(named == path && source.to_string().contains("no command"), "{source}");
        std::fs::write(&path, "user = \"no-such-user\"\ncommand = [\"true\"]\n").unwrap();
        assert!(matches!(Config::read(&path), Err(FileError::Wrong { line: 1, .. })));
    }
}
