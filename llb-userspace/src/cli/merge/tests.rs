//! Files and command lines as they are written.

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
        ("memory = 3", &["\"memory\"", "is \"memory-max\" meant"]),
        ("zebra = 3", &["\"zebra\"", "--help"]),
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
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.is_empty() && !key.contains(' '));
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
