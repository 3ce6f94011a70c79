//! A worker of examples/, and what each of them is to stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::Duration,
};

use llb_kit::paths;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{
    Client, Fleet, Launcher, Plain, Stage,
    as_llb::AsLlb,
    get,
    steady::{Steady, steady},
    try_get, until,
};

/// Where each of them listens; those that take a port are told so by `PORT`.
pub(crate) const ADDR: &str = "127.0.0.1:8080";

/// What is started, and the kinds of line that it writes.
pub(crate) struct Example {
    command: Vec<String>,
    says: &'static [&'static str],
    /// Where it was built, if it was.
    _directory: Option<TempDir>,
}

/// The program of an example in Rust, built by the cargo that builds the tests: it builds none for tests that it is told by name.
/// With all that `cargo xtask test` builds the tests with, so that nothing but the example itself is left to build.
pub(crate) fn built(name: &str) -> PathBuf {
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--all-features", "--example", name])
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    target().join("debug/examples").join(name)
}

/// The path of a file in examples/.
pub(crate) fn path(file: &str) -> String {
    format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"))
}

impl Example {
    /// One that `interpreter` runs.
    pub(crate) fn new(interpreter: &str, file: &str, says: &'static [&'static str]) -> Self {
        Example { command: vec![interpreter.to_owned(), path(file)], says, _directory: None }
    }

    /// One in Rust.
    pub(crate) fn rust(name: &str, says: &'static [&'static str]) -> Self {
        let program = built(name).to_str().expect("UTF-8").to_owned();
        Example { command: vec![program], says, _directory: None }
    }

    /// One in Go, built without the network and outside of the user's home. It has to be as gofmt and vet like it.
    pub(crate) fn go(file: &str, says: &'static [&'static str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let program = directory.path().join("worker").to_str().expect("UTF-8").to_owned();
        assert_eq!(go("gofmt", &["-d", &path(file)]), "");
        go("go", &["vet", &path(file)]);
        go("go", &["build", "-o", &program, &path(file)]);
        Example { command: vec![program], says, _directory: Some(directory) }
    }

    /// The command as `llb run` takes it.
    pub(crate) fn command(&self) -> Vec<&str> {
        self.command.iter().map(String::as_str).collect()
    }

    /// Starts a fleet of it whose llb sees these variables too; it need not come up.
    #[track_caller]
    pub(crate) fn launch_with(&self, stage: &Stage, args: &[&str], env: &[(&str, &str)]) -> Fleet {
        let env = [&[("PORT", "8080")], env].concat();
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let by = Launcher { env, ..Launcher::default() };
        Fleet::launch_by(&by, stage.path(), &[&["--ready-when", "ready"], args].concat(), &self.command())
    }

    /// Starts a fleet of it, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(&self, stage: &Stage, args: &[&str]) -> Fleet {
        let fleet = self.launch_with(stage, args, &[]);
        fleet.wait_until_serving();
        fleet
    }

    /// It answers, and writes lines of its kinds and no others.
    pub(crate) fn serves_and_reports(&self) {
        let stage = Stage::new();
        let fleet = self.start(&stage, &["-n", "2"]);
        let reported = || -> BTreeSet<String> {
            fleet.status().workers.iter().flat_map(|worker| worker.reports.keys().cloned()).collect()
        };
        let expected: BTreeSet<String> = self.says.iter().map(|kind| (*kind).to_owned()).collect();
        until("all is said that it says", || {
            assert_eq!(get(ADDR, "/").status, 200);
            reported().is_superset(&expected)
        });
        assert_eq!(reported(), expected, "nothing else, and nothing wrong");
        assert_eq!(fleet.stop().code, Some(0));
    }

    /// Reloads under load cost no request.
    pub(crate) fn is_reloaded_without_loss(&self) {
        let stage = Stage::new();
        let fleet = self.start(&stage, &["-n", "2", "--drain-timeout", "3s"]);
        let load = Steady { address: ADDR, rate: 300, threads: 8, keepers: 0, think: Duration::ZERO };
        let (seen, ()) = steady(load, |seen| {
            for generation in 2..=4 {
                fleet.signal(Signal::SIGHUP);
                until("the new generation serves alone", || {
                    let workers = fleet.status().workers;
                    workers.len() == 2
                        && workers.iter().all(|w| (w.generation, w.state.as_str()) == (generation, "serving"))
                });
                // Those that exit as soon as they have finished are reloaded in a moment.
                let before = seen.answered.load(Relaxed);
                until("the load goes on", || seen.answered.load(Relaxed) > before + 100);
            }
        });
        assert!(seen.errors().is_empty(), "{:?}", seen.errors());
        assert_eq!(fleet.stop().code, Some(0));
    }

    /// It serves on when llb is killed, and the next llb takes the same processes over.
    pub(crate) fn outlives_llb(&self) {
        let stage = Stage::new();
        let args = ["-n", "2"];
        let mut fleet = self.start(&stage, &args);
        until("each has been pinged, or has nothing to do with that", || {
            get(ADDR, "/");
            let ponged = |reports: &BTreeMap<String, u64>| reports.contains_key("pong");
            !self.says.contains(&"pong") || fleet.status().workers.iter().all(|worker| ponged(&worker.reports))
        });
        let pids = |fleet: &Fleet| fleet.status().workers.iter().map(|worker| worker.pid).collect::<BTreeSet<_>>();
        let before = pids(&fleet);
        fleet.kill_master();
        // Enough that each worker has some, and finds nobody who hears its reports.
        (0..32).for_each(|_| assert_eq!(get(ADDR, "/").status, 200));
        fleet.take_over(&[&["--ready-when", "ready"], &args[..]].concat(), &self.command());
        assert_eq!(get(ADDR, "/").status, 200);
        assert_eq!(pids(&fleet), before, "none has ended");
        assert_eq!(fleet.stop().code, Some(0));
    }

    /// Told to finish, it closes its listener by itself, and answers whoever is connected.
    pub(crate) fn finishes_when_it_is_told_to(&self) {
        let mut llb = AsLlb::start(&self.command());
        let (mut silent, mut begun) = (Client::connect(ADDR), Client::connect(ADDR));
        begun.write("GET / HTTP/1.0\r\n");
        llb.ping();
        llb.say(&json!({"cmd": "disconnect"}));
        until("nobody listens", || Client::try_connect(ADDR).is_err());
        begun.write("\r\n");
        assert_eq!(begun.receive().status, 200);
        silent.send_last("/");
        assert_eq!(silent.receive().status, 200);
    }

    /// It serves on when llb does not read what it reports: some three hundred lines fill the channel.
    pub(crate) fn waits_for_no_reader(&self) {
        let _llb = AsLlb::start(&self.command());
        (0..1_000).for_each(|_| assert_eq!(get(ADDR, "/").status, 200));
    }

    /// Its pongs say how late its event loop has been since the last: next to nothing, or by how much it was held up.
    pub(crate) fn says_how_late_it_is(&self) {
        let mut llb = AsLlb::start(&self.command());
        let late = Duration::from_millis(40);
        let lag_us = |llb: &mut AsLlb| llb.ping()["lag_us"].as_f64().expect("a lag");
        // A machine that has a bad minute makes it late, or gives it time to be on time in between.
        until("it is on time", || {
            thread::sleep(5 * late);
            lag_us(&mut llb) < 3e3
        });
        until("it is late, and says so", || {
            llb.hold_up(5, late, Duration::from_millis(3));
            (20e3..200e3).contains(&lag_us(&mut llb))
        });
    }

    /// Without llb it is a server like any other.
    pub(crate) fn serves_alone(&self) {
        let stage = Stage::new();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env("PORT", "8080").env_remove("LLB_FD").current_dir(stage.path());
        let worker = Plain::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        until("it serves", || try_get(ADDR, "/").is_ok_and(|answer| answer.status == 200));
        worker.stop();
    }
}

/// A program in Go, of one file of the standard library's alone, built into the stage's directory.
pub(crate) fn go_program(stage: &Stage, file: &str) -> String {
    let program = stage.path().join("program").to_str().expect("UTF-8").to_owned();
    go("go", &["build", "-o", &program, file]);
    program
}

/// What a command of Go's says, which is to read and write nothing but here: the one that `cargo xtask setup` has installed, or
/// another. One at a time: of several that find nothing in the cache each compiles the whole standard library.
fn go(command: &str, args: &[&str]) -> String {
    let ours = paths::go();
    fs::create_dir_all(&ours).expect("a directory in target");
    let turn = File::create(ours.join("lock")).expect("a file in target");
    turn.lock().expect("our turn");
    let installed = ours.join("toolchain/go/bin").join(command);
    let mut go = Command::new(if installed.exists() { installed } else { command.into() });
    go.current_dir(&ours);
    go.envs([("GOENV", "off"), ("GOFLAGS", "-mod=mod"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")]);
    go.env("GOCACHE", ours.join("cache")).env("GOPATH", ours.join("path")).env("XDG_CONFIG_HOME", ours.join("config"));
    run(go.args(args))
}

/// The directory that this test lies in: TARGET/debug/deps.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    test.ancestors().nth(3).expect("target/debug/deps").to_owned()
}

/// Runs a command, and returns what it wrote.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
