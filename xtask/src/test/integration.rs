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
use llb_kit::results::{self, Suite};
use llb_kit::{fixtures, paths, root, sh};

use super::suites::{self, Module};

/// So many suites run at once: most of the time a test waits for processes to start, to drain and to end.
const LANES: usize = 3;

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

/// The test program.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// All that it consists of.
    pub modules: Vec<Module>,
}

/// Builds it, with what is in cargo's environment here.
pub(super) fn build(cargo: &mut Command) -> Result<Program> {
    let (heard, verdict) = sh::tee(cargo)?;
    verdict?;
    let path = heard.lines().find_map(program).context("cargo has built no integration tests")?;
    Ok(Program { modules: suites::of(&path)?, path })
}

/// Runs these modules of it, whatever fails; each test of theirs must run.
pub(super) fn run(program: &Program, modules: &[Module], bpffs: BpfFs) -> Result<Vec<Suite>> {
    let prefix = root::prefix()?;
    let path = search_path()?;
    let compiled = paths::root().join("target/fixtures");
    fixtures::compile(&compiled)?;
    let run = |module: &Module| {
        let mut command = command(&program.path, &prefix, bpffs);
        command.arg("--exact").args(&module.tests).env("PATH", &path).env(fixtures::COMPILED, &compiled);
        let output = sh::listen(&mut command)?;
        Ok(format!("     Running {} ({})\n{output}", module.name, program.path.display()))
    };
    let (alone, beside): (Vec<_>, Vec<_>) = modules.iter().partition(|module| module.is_alone());
    let mut heard = run_in_lanes(beside, LANES, &run)?;
    heard.extend(run_in_lanes(alone, 1, &run)?);
    let (wanted, said): (Vec<usize>, Vec<String>) = heard.into_iter().unzip();
    let suites = results::read(&said.concat());
    ensure!(suites.len() == modules.len(), "{} of {} suites ran", suites.len(), modules.len());
    results::check_parts(suites.iter().zip(wanted))?;
    Ok(suites)
}

/// Runs them, so many at once, and returns how many tests each has and what it wrote, which is shown when it has ended.
fn run_in_lanes(
    modules: Vec<&Module>,
    lanes: usize,
    run: &(impl Fn(&Module) -> Result<String> + Sync),
) -> Result<Vec<(usize, String)>> {
    let queue = Mutex::new(VecDeque::from(modules));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        let mut heard = Vec::new();
        while let Some(module) = next() {
            let text = run(module)?;
            println!("{text}");
            heard.push((module.tests.len(), text));
        }
        Ok(heard)
    };
    let ended: Vec<Result<Vec<_>>> = thread::scope(|scope| {
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
fn command(program: &Path, prefix: &[&str], bpffs: BpfFs) -> Command {
    let words = [prefix, &["env", "--default-signal", "unshare", "--mount", "sh", "-c", bpffs.script(), "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program).current_dir(paths::root().join("llb-userspace"));
    command
}

/// The program in `  Executable ../tests/main.rs (target/debug/deps/integration-1)`.
fn program(line: &str) -> Option<PathBuf> {
    let (source, path) = line.trim_start().strip_prefix("Executable ")?.strip_suffix(')')?.split_once(" (")?;
    Path::new(source).ends_with("tests/main.rs").then(|| paths::root().join(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use anyhow::bail;

    use super::*;

    #[test]
    fn the_program_is_read_from_what_cargo_says() {
        let here = program("  Executable ../tests/main.rs (target/debug/deps/integration-1)");
        assert_eq!(here, Some(paths::root().join("target/debug/deps/integration-1")));
        let elsewhere = program("  Executable ../tests/main.rs (/a place/integration-1)");
        assert_eq!(elsewhere, Some("/a place/integration-1".into()));
        assert_eq!(program("   Compiling libc v0.2.191 (x)"), None);
        assert_eq!(program("  Executable ../examples/axum.rs (target/debug/examples/axum-1)"), None);
    }

    #[test]
    fn no_module_is_lost_in_the_lanes() {
        let module = |name: &str| Module { name: name.into(), tests: vec![format!("{name}::a")] };
        let modules = ["master", "go", "storm", "life"].map(module);
        let run = |module: &Module| Ok(module.name.clone());
        let heard = run_in_lanes(modules.iter().collect(), 3, &run).unwrap();
        let names: BTreeSet<_> = heard.iter().map(|(tests, text)| (*tests, &**text)).collect();
        assert_eq!(names, BTreeSet::from([(1, "go"), (1, "life"), (1, "master"), (1, "storm")]));
        assert!(run_in_lanes(modules.iter().collect(), 3, &|_: &Module| bail!("no")).is_err());
    }
}
