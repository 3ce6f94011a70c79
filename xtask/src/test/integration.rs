//! The integration tests: built by cargo, and run by us, as root and where a BPF file system is mounted or is not,
//! whatever this machine has.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use llb_kit::results::{self, Rule, Suite};
use llb_kit::{fixtures, paths, root, sh};

/// So many suites run at once: most of the time a test waits for processes to start, to drain and to end.
const LANES: usize = 3;

/// What tells how late an answer may come, or how fast the machine must be, runs with nothing beside it.
const ALONE: [&str; 11] = [
    "answering_errors",
    "chaos",
    "concurrency",
    "failing",
    "flood",
    "hanging",
    "loop_turns",
    "publishing",
    "rescue",
    "scale",
    "traffic",
];

/// What takes longest, first: the other lane has enough left meanwhile.
const LONG: [&str; 11] =
    ["storm", "agent", "quic", "go", "many", "udp", "bench_here", "line", "http3", "reload", "life"];

/// The suites that run once more where no BPF file system is mounted: what pins, sweeps pins or says where they are.
const OF_PINS: [&str; 8] = ["commands", "doctor", "embedded", "errors", "life", "rights", "succession", "takeover"];

/// Whether the tests find a BPF file system where systems mount it. In a mount namespace of theirs, so that nothing changes
/// for this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BpfFs {
    Mounted,
    Absent,
}

impl BpfFs {
    /// What the shell does in the new mount namespace before it becomes the runner. There may be several, one over another.
    const fn script(self) -> &'static str {
        match self {
            Self::Mounted => "mount -t bpf bpf /sys/fs/bpf && exec \"$@\"",
            Self::Absent => {
                "while grep -q ' /sys/fs/bpf ' /proc/self/mounts; do umount /sys/fs/bpf || exit; done; exec \"$@\""
            }
        }
    }
}

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runner {
    /// As in `--test`.
    target: String,
    path: PathBuf,
}

/// Builds those of these targets, or all, with what is in cargo's environment here.
pub(super) fn build(cargo: &mut Command) -> Result<Vec<Runner>> {
    let (heard, verdict) = sh::tee(cargo)?;
    verdict?;
    let runners: Vec<_> = heard.lines().filter_map(runner).collect();
    ensure!(!runners.is_empty(), "cargo has built no integration test");
    Ok(runners)
}

/// Those that run once more without a BPF file system.
pub(super) fn of_pins(runners: &[Runner]) -> Vec<Runner> {
    runners.iter().filter(|runner| OF_PINS.contains(&&*runner.target)).cloned().collect()
}

/// Runs them all, whatever fails.
pub(super) fn run(runners: &[Runner], bpffs: BpfFs) -> Result<Vec<Suite>> {
    let prefix = root::prefix()?;
    let path = search_path()?;
    let compiled = paths::root().join("target/fixtures");
    fixtures::compile(&compiled)?;
    let command = |runner: &Runner| {
        let mut command = command(runner, &prefix, bpffs);
        command.env("PATH", &path).env(fixtures::COMPILED, &compiled);
        command
    };
    let (alone, beside): (Vec<_>, Vec<_>) =
        in_order(runners).into_iter().partition(|runner| ALONE.contains(&&*runner.target));
    let mut heard = run_in_lanes(beside, LANES, &command)?;
    heard.extend(run_in_lanes(alone, 1, &command)?);
    let suites = results::read(&heard.concat());
    ensure!(suites.len() == runners.len(), "{} of {} suites ran", suites.len(), runners.len());
    Rule::SomeTestInEverySuite.judge(&suites)?;
    Ok(suites)
}

fn in_order(runners: &[Runner]) -> Vec<Runner> {
    let mut runners = runners.to_vec();
    runners.sort_by_key(|runner| LONG.iter().position(|long| *long == runner.target).unwrap_or(LONG.len()));
    runners
}

/// Runs them, so many at once, and returns what each wrote, which is shown when it has ended.
fn run_in_lanes(
    runners: Vec<Runner>,
    lanes: usize,
    command: &(impl Fn(&Runner) -> Command + Sync),
) -> Result<Vec<String>> {
    let queue = Mutex::new(VecDeque::from(runners));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        let mut heard = Vec::new();
        while let Some(runner) = next() {
            let output = sh::listen(&mut command(&runner))?;
            let text = format!("     Running {} ({})\n{output}", runner.target, runner.path.display());
            println!("{text}");
            heard.push(text);
        }
        Ok(heard)
    };
    let ended: Vec<Result<Vec<String>>> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane that does not panic")).collect()
    });
    Ok(ended.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Where programs are looked for: in a bare environment of python3's, first. What a machine adds to its Python, or puts in its
/// place, takes longer to start than Python itself, thousands of times.
fn search_path() -> Result<OsString> {
    let environment = paths::root().join("target/python");
    sh::run(Command::new("python3").args(["-m", "venv", "--without-pip", "--clear"]).arg(&environment))?;
    let others = env::var_os("PATH").unwrap_or_default();
    let all = iter::once(environment.join("bin")).chain(env::split_paths(&others));
    env::join_paths(all).context("a path of PATH has a colon")
}

/// As cargo would run it: in the directory of its package. With the signals as a terminal leaves them: llb heeds it if one
/// is ignored when it starts, as under nohup.
fn command(runner: &Runner, prefix: &[&str], bpffs: BpfFs) -> Command {
    let words = [prefix, &["env", "--default-signal", "unshare", "--mount", "sh", "-c", bpffs.script(), "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(&runner.path).current_dir(paths::root().join("llb-userspace"));
    command
}

/// The binary in `  Executable ../tests/life.rs (target/debug/deps/life-1)`.
fn runner(line: &str) -> Option<Runner> {
    let (source, path) = line.trim_start().strip_prefix("Executable ")?.strip_suffix(')')?.split_once(" (")?;
    let source = Path::new(source);
    let target = source.parent()?.ends_with("tests").then(|| source.file_stem())??.to_str()?.to_owned();
    Some(Runner { target, path: paths::root().join(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runners(targets: &[&str]) -> Vec<Runner> {
        let runner = |target: &&str| Runner { target: (*target).to_owned(), path: PathBuf::new() };
        targets.iter().map(runner).collect()
    }

    #[test]
    fn runners_are_read_from_what_cargo_says() {
        let read = runner("  Executable ../tests/life.rs (target/debug/deps/life-1)").unwrap();
        assert_eq!(read, Runner { target: "life".into(), path: paths::root().join("target/debug/deps/life-1") });
        let elsewhere = runner("  Executable ../tests/life.rs (/a place/life-1)").unwrap();
        assert_eq!(elsewhere.path, Path::new("/a place/life-1"));
        assert_eq!(runner("   Compiling libc v0.2.191 (x)"), None);
        assert_eq!(runner("  Executable ../examples/axum.rs (target/debug/examples/axum-1)"), None);
    }

    #[test]
    fn the_longest_come_first_and_none_is_lost() {
        let order: Vec<_> = in_order(&runners(&["master", "go", "storm"])).into_iter().map(|r| r.target).collect();
        assert_eq!(order, ["storm", "go", "master"]);
    }

    #[test]
    fn what_is_named_is_there() {
        for target in ALONE.iter().chain(&LONG).chain(&OF_PINS) {
            assert!(paths::root().join("tests").join(target).with_extension("rs").exists(), "{target}");
        }
    }
}
