//! The command line over the configuration file. Each key of the file is an option of `llb run` and is understood by
//! its definition there: the file is turned into arguments, and these are put before those that were given. So an
//! option, its default and the values it takes are defined once.

use std::{
    error::Error,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::args::Cli;
use crate::{
    config::file::{File, FileError, Setting, Value},
    fleet::IdentityError,
};

/// The worker command's key.
const COMMAND: &str = "command";

/// Options that say something to the command line alone.
const NOT_IN_A_FILE: [&str; 3] = ["config", "help", "version"];

/// A command line with its file.
#[derive(Debug)]
pub(super) struct Merged {
    pub cli: Cli,
    pub file: Option<File>,
}

/// Why that cannot be had.
#[derive(Debug)]
pub(super) enum MergeError {
    /// The command line is wrong, or asks for help: as clap shows it.
    Usage(clap::Error),
    File(FileError),
}

impl From<clap::Error> for MergeError {
    fn from(error: clap::Error) -> Self {
        MergeError::Usage(error)
    }
}

impl From<FileError> for MergeError {
    fn from(error: FileError) -> Self {
        MergeError::File(error)
    }
}

/// Understands the process's arguments, with the file that they name.
pub(super) fn merge(mut given: Vec<OsString>) -> Result<Merged, MergeError> {
    let matches = Cli::command().try_get_matches_from(&given)?;
    let Some((path, of_run)) = file_of(&matches) else {
        return Ok(Merged { cli: Cli::from_arg_matches(&matches)?, file: None });
    };
    let file = File::read(path)?;
    let mut from_file = Vec::new();
    for setting in file.settings() {
        let arguments = arguments(&file, setting)?;
        if of_run.value_source(&id(&setting.key)) != Some(ValueSource::CommandLine) {
            from_file.push((setting.key == COMMAND, arguments));
        }
    }
    // The words after `--` are the end of a command line, whoever wrote them.
    if of_run.value_source(COMMAND).is_none() {
        given.pop_if(|last| last == "--");
    }
    for (is_command, arguments) in from_file {
        // Options stand right after the name of the command.
        let at = if is_command { given.len() } else { 2 };
        given.splice(at..at, arguments);
    }
    Ok(Merged { cli: Cli::try_parse_from(given)?, file: Some(file) })
}

/// An error about the value of an option, with its line if the file gave it.
pub(super) fn at_its_line(file: Option<&File>, error: anyhow::Error) -> anyhow::Error {
    let (key, name) = match error.downcast_ref() {
        Some(IdentityError::NoUser { name }) => ("user", name.clone()),
        Some(IdentityError::NoGroupOfUser { uid }) => ("user", uid.to_string()),
        Some(IdentityError::NoGroup { name }) => ("group", name.clone()),
        Some(IdentityError::Database { .. }) | None => return error,
    };
    // What the command line says instead is no fault of the file's.
    let setting =
        file.and_then(|file| file.get(key).filter(|setting| setting.value == Value::One(name)).zip(Some(file)));
    match setting {
        Some((setting, file)) => file.wrong(setting, &error).into(),
        None => error,
    }
}

/// The file that the arguments of `llb run`, or of its like, name.
fn file_of(matches: &ArgMatches) -> Option<(&Path, &ArgMatches)> {
    let (_, of_run) = matches.subcommand().filter(|(name, _)| ["run", "check"].contains(name))?;
    let path = of_run.get_one::<PathBuf>("config")?;
    Some((path, of_run))
}

/// What to write on a command line for a setting, if that is right.
fn arguments(file: &File, setting: &Setting) -> Result<Vec<OsString>, FileError> {
    let run = run();
    let Setting { key, value, .. } = setting;
    if key == COMMAND {
        return match value {
            Value::List(words) if !words.is_empty() => {
                Ok(std::iter::once("--").chain(words.iter().map(String::as_str)).map(OsString::from).collect())
            }
            _ => Err(file.wrong(setting, "give the command as a list, as command = [\"node\", \"server.js\"]")),
        };
    }
    let Some(arg) = run.get_arguments().find(|arg| arg.get_long() == Some(key) && is_for_files(key)) else {
        return Err(file.wrong(setting, unknown(key)));
    };
    let takes_value = arg.get_action().takes_values();
    let words: Vec<OsString> = match value {
        Value::Flag(flag) if !takes_value => flag.then(|| format!("--{key}").into()).into_iter().collect(),
        _ if !takes_value => return Err(file.wrong(setting, format!("{key} is true or false"))),
        Value::One(word) => vec![format!("--{key}={word}").into()],
        Value::List(words) if matches!(arg.get_action(), ArgAction::Append) => {
            words.iter().map(|word| format!("--{key}={word}").into()).collect()
        }
        Value::List(_) => return Err(file.wrong(setting, format!("{key} takes one value, and no list"))),
        Value::Flag(_) => return Err(file.wrong(setting, format!("{key} takes a value, and not true or false"))),
    };
    let line = ["llb", "run"].map(OsString::from).into_iter().chain(words.iter().cloned());
    match Cli::command().try_get_matches_from(line.chain(["--", "true"].map(OsString::from))) {
        Ok(_) => Ok(words),
        Err(error) => Err(file.wrong(setting, refused(key, &error))),
    }
}

fn run() -> Command {
    Cli::command().find_subcommand("run").cloned().expect("llb run")
}

fn is_for_files(key: &str) -> bool {
    !NOT_IN_A_FILE.contains(&key)
}

/// The name by which clap knows the option of this key.
fn id(key: &str) -> String {
    let run = run();
    let arg = run.get_arguments().find(|arg| arg.get_long() == Some(key) || arg.get_id() == key);
    arg.map_or_else(|| key.to_owned(), |arg| arg.get_id().to_string())
}

fn unknown(key: &str) -> String {
    // clap knows which of its options is near.
    let line = ["llb", "run", &format!("--{key}")].map(OsString::from);
    let near =
        Cli::command().try_get_matches_from(line).err().filter(|error| error.kind() == ErrorKind::UnknownArgument);
    let near = near.and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(near)) => Some(near.trim_start_matches('-').to_owned()),
        _ => None,
    });
    match near.filter(|near| is_for_files(near)) {
        Some(near) => format!("there is no option {key:?}; is {near:?} meant?"),
        None => format!("there is no option {key:?}; `llb run --help` lists them"),
    }
}

/// clap's words, without those that only fit a command line.
fn refused(key: &str, error: &clap::Error) -> String {
    let text = |kind| error.get(kind).map(ContextValue::to_string);
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let why = error.source().map(ToString::to_string);
    let why = why.or_else(|| text(ContextKind::ValidValue).map(|valid| format!("it is one of {valid}")));
    let why = why.unwrap_or_else(|| error.kind().to_string());
    format!("{value:?} is no value of {key}: {why}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::args::{Command as LlbCommand, RunArgs};

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/llb.toml");

    /// `llb run -c` of a file of this text, with more arguments.
    fn with(text: &str, more: &[&str]) -> Result<RunArgs, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let given = ["llb", "run", "-c", path].iter().chain(more).map(OsString::from).collect();
        match merge(given) {
            Ok(Merged { cli: Cli { command: LlbCommand::Run(args) }, .. }) => Ok(args),
            Ok(merged) => panic!("{merged:?}"),
            Err(MergeError::Usage(error)) => Err(error.to_string()),
            Err(MergeError::File(error)) => Err(error.to_string()),
        }
    }

    fn words(args: &RunArgs) -> Vec<&str> {
        args.command.iter().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
        let text =
            "workers = 3\nport = [80, 81]\ndrain-timeout = \"5s\"\nname = 'web'\ncommand = ['serve', '--', '-n', '9']";
        let args = with(text, &[]).unwrap();
        assert_eq!(args.workers, Some(3));
        assert_eq!(args.ports.iter().map(|limit| limit.port).collect::<Vec<_>>(), [80, 81]);
        assert_eq!(args.drain_timeout.as_secs(), 5);
        assert_eq!(args.ready_timeout.as_secs(), 30, "the default");
        assert_eq!(args.fleet.name.as_str(), "web");
        assert_eq!(words(&args), ["serve", "--", "-n", "9"]);

        let args = with(text, &["-n", "2", "-p", "90", "--drain-timeout", "10s", "--", "other", "-x"]).unwrap();
        assert_eq!(args.workers, Some(2));
        assert_eq!(args.ports.iter().map(|limit| limit.port).collect::<Vec<_>>(), [90], "instead of, not besides");
        assert_eq!(args.drain_timeout.as_secs(), 10, "also if that is the default");
        assert_eq!(args.fleet.name.as_str(), "web");
        assert_eq!(words(&args), ["other", "-x"]);
        assert_eq!(words(&with(text, &["--"]).unwrap()), ["serve", "--", "-n", "9"], "an empty command is none");
        assert_eq!(words(&with("workers = 3", &[]).unwrap()), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_was_meant() {
        for (text, says) in [
            ("\nworker = 3", &["line 2", "\"worker\"", "is \"workers\" meant", "2 | worker = 3"][..]),
            ("ready_timeout = '3s'", &["\"ready_timeout\"", "is \"ready-timeout\" meant"]),
            ("memory = 3", &["\"memory\"", "--help"]),
            ("config = 'x'", &["no option \"config\""]),
            ("help = true", &["no option \"help\""]),
            ("'name=x --workers' = 3", &["no option"]),
            ("'' = 3", &["no option \"\""]),
            ("workers = 0", &["\"0\" is no value of workers", "1..=256"]),
            ("workers = [1, 2]", &["one value"]),
            ("workers = true", &["takes a value"]),
            ("ready-timeout = 30", &["\"30\" is no value of ready-timeout", "unit"]),
            ("policy = 'best'", &["\"best\" is no value of policy", "least-latency", "1 | policy = 'best'"]),
            ("log = 'a=b=c'", &["no value of log"]),
            ("port = [8080, 0]", &["\"0\" is no value of port", "never shared"]),
            ("name = 'a/b'", &["no value of name"]),
            ("command = 'node server.js'", &["as a list"]),
            ("command = []", &["as a list"]),
        ] {
            // What is overridden must be right, too: it is there to be used one day.
            for more in [&[][..], &["-n", "1", "--policy", "hash", "--", "true"]] {
                let error = with(text, more).unwrap_err();
                for words in says {
                    assert!(error.contains(words), "{text}: {words:?} is not in {error}");
                }
                assert!(!error.contains("Usage"), "{error}");
            }
        }
    }

    /// An option that is not in the example is forgotten there; each stands with its default, if it has one.
    #[test]
    fn the_example_shows_every_option() {
        let text = std::fs::read_to_string(EXAMPLE).unwrap();
        File::parse(Path::new(EXAMPLE), text.clone()).unwrap();
        // What a comment of the form `#key = value` shows counts, and must be right.
        let is_setting =
            |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.is_empty() && !key.contains(' '));
        let shown: String = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|line| is_setting(line)).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let file = File::parse(Path::new(EXAMPLE), shown).unwrap();
        let run = run();
        for setting in file.settings() {
            arguments(&file, setting).unwrap();
            let arg = run.get_arguments().find(|arg| arg.get_long() == Some(&setting.key));
            let default = arg.and_then(|arg| arg.get_default_values().first()).and_then(|default| default.to_str());
            if let Some(default) = default {
                assert_eq!(setting.value, Value::One(default.to_owned()), "{}", setting.key);
            }
        }
        let in_file: BTreeSet<&str> = file.settings().iter().map(|setting| setting.key.as_str()).collect();
        let options = run.get_arguments().filter_map(|arg| arg.get_long()).filter(|key| is_for_files(key));
        assert_eq!(in_file, options.chain([COMMAND]).collect());
        // It can be used as it is.
        let given = ["llb", "run", "-c", EXAMPLE].map(OsString::from).into();
        assert!(merge(given).is_ok());
        assert!(Cli::try_parse_from(["llb", "run"]).is_err(), "without a file a command is needed");
    }
}
