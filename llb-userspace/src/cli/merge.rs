//! The command line over the configuration file. Each key of the file is an option of `llb run` and is understood by
//! its definition there: the file is turned into arguments, and these are put before those that were given. So an
//! option, its default and the values it takes are defined once.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    slice,
};

use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::args::Cli;
use crate::config::{
    IdentityError,
    file::{File, FileError, Setting, Value},
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
    let Some(arg) = option_of(&run, key) else { return Err(file.wrong(setting, unknown(key))) };
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
    understand(key, &words).map_err(|trouble| file.wrong(setting, trouble))?;
    Ok(words)
}

/// What to write on a command line for an option of a program's own, or why there is no such thing.
pub(super) fn argument(key: &str, value: &OsStr) -> Result<OsString, String> {
    option_of(&run(), key).ok_or_else(|| unknown(key))?;
    let mut word = OsString::from(format!("--{key}="));
    word.push(value);
    understand(key, slice::from_ref(&word))?;
    Ok(word)
}

/// Whether an option may be given more than once.
pub(super) fn is_repeatable(key: &str) -> bool {
    option_of(&run(), key).is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append))
}

fn option_of<'a>(run: &'a Command, key: &str) -> Option<&'a Arg> {
    run.get_arguments().find(|arg| arg.get_long() == Some(key) && is_for_files(key))
}

/// Whether these words are understood; if not, why.
fn understand(key: &str, words: &[OsString]) -> Result<(), String> {
    let line = ["llb", "run"].map(OsString::from).into_iter().chain(words.iter().cloned());
    let understood = Cli::command().try_get_matches_from(line.chain(["--", "true"].map(OsString::from)));
    understood.map(drop).map_err(|error| refused(key, &error))
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
mod tests;
