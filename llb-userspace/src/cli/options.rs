//! The options of `llb run` without its command line, for programs that use the library.

use std::{error::Error, ffi::OsString, path::PathBuf};

use super::{
    args::Command,
    merge::{MergeError, Merged, argument, at_its_line, is_repeatable, merge},
    run,
};
use crate::config::{Config, file::FileError};

/// What a program asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// A configuration file; what is given here wins.
    pub file: Option<PathBuf>,
    /// Options by name and value. Of those that can be given once the last counts.
    pub given: Vec<(String, OsString)>,
    /// The worker's command; empty: the file names it.
    pub command: Vec<OsString>,
}

/// Why options make no fleet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// One that was given is wrong.
    #[error("{0}")]
    Given(String),
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// All of them together are no fleet.
    #[error("cannot run a fleet by these options")]
    Whole(#[source] Box<dyn Error + Send + Sync>),
}

impl Options {
    /// The fleet that they describe, as `llb run` understands them.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub(crate) fn config(&self) -> Result<Config, OptionsError> {
        let Merged { cli, file } = merge(self.arguments()?).map_err(|error| match error {
            MergeError::File(error) => error.into(),
            MergeError::Usage(error) => OptionsError::Whole(error.into()),
        })?;
        let Command::Run(args) = cli.command else { unreachable!("it was asked for `run`") };
        run::config(args).map_err(|error| match at_its_line(file.as_ref(), error).downcast::<FileError>() {
            Ok(wrong) => wrong.into(),
            Err(error) => OptionsError::Whole(error.into()),
        })
    }

    fn arguments(&self) -> Result<Vec<OsString>, OptionsError> {
        let mut line: Vec<OsString> = vec!["llb".into(), "run".into()];
        if let Some(file) = &self.file {
            line.extend(["--config".into(), file.into()]);
        }
        for (at, (key, value)) in self.given.iter().enumerate() {
            let is_last = !self.given[at + 1..].iter().any(|(later, _)| later == key);
            let word = argument(key, value).map_err(OptionsError::Given)?;
            if is_last || is_repeatable(key) {
                line.push(word);
            }
        }
        if !self.command.is_empty() {
            line.push("--".into());
            line.extend(self.command.iter().cloned());
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)], command: &[&str]) -> Options {
        let given = given.iter().map(|(key, value)| ((*key).into(), value.into())).collect();
        Options { file: None, given, command: command.iter().map(OsString::from).collect() }
    }

    /// The same, with a file of this text.
    fn with_file(text: &str, options: Options) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Options { file: Some(file.path().into()), ..options }.config().map_err(|error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }

    #[test]
    fn no_options_are_what_a_new_config_is() {
        let config = options(&[("workers", "1")], &["node", "server.js"]).config().unwrap();
        assert_eq!(config, Config::new("node", ["server.js"]));
    }

    #[test]
    fn the_last_of_an_option_counts_and_all_of_a_repeatable_one() {
        let given = [("workers", "2"), ("port", "80"), ("workers", "3"), ("port", "81")];
        let config = options(&given, &["node", "-n", "9"]).config().unwrap();
        assert_eq!(config.workers, 3);
        assert_eq!(config.limits.iter().map(|limit| limit.port).collect::<Vec<_>>(), [80, 81]);
        assert_eq!(config.args, ["-n", "9"]);
    }

    #[test]
    fn what_is_given_wins_over_the_file() {
        let text = "workers = 2\nname = 'web'\ncommand = ['node', 'server.js']";
        let config = with_file(text, options(&[("workers", "3")], &[])).unwrap();
        assert_eq!((config.workers, config.name.as_str(), config.program.to_str()), (3, "web", Some("node")));
        let config = with_file(text, options(&[], &["python3"])).unwrap();
        assert_eq!((config.program.to_str(), config.args.len()), (Some("python3"), 0));
    }

    #[test]
    fn a_wrong_option_is_named() {
        let wrong = |given| options(&[given], &["true"]).config().unwrap_err().to_string();
        assert!(wrong(("worker", "3")).contains("is \"workers\" meant"), "{}", wrong(("worker", "3")));
        assert!(wrong(("workers", "0")).starts_with("\"0\" is no value of workers"), "{}", wrong(("workers", "0")));
        assert!(wrong(("config", "x")).contains("no option \"config\""));
    }

    #[test]
    fn a_file_without_a_command_is_no_fleet() {
        let error = with_file("workers = 2\n", options(&[], &[])).unwrap_err();
        assert!(error.starts_with("cannot run a fleet by these options: no command"), "{error}");
        let error = with_file("user = \"no-such-user\"\ncommand = [\"true\"]\n", options(&[], &[])).unwrap_err();
        assert!(error.contains(", line 1: there is no user"), "{error}");
    }
}
