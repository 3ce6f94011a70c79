//! The workers in examples/ do what they say: under llb they serve and report, finish when they are told to, and lose nothing
//! by it; alone they serve.

mod harness;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use harness::{
    Client, Fleet, Launcher, Plain, Stage, get,
    steady::{Steady, steady},
    until,
};
use nix::sys::signal::Signal;

const ADDR: &str = "127.0.0.1:8080";

/// What is started, and the kinds of line that it writes.
struct Example {
    command: Vec<String>,
    says: &'static [&'static str],
}

fn example(interpreter: &str, file: &str, says: &'static [&'static str]) -> Example {
    let path = format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"));
    Example { command: vec![interpreter.to_owned(), path], says }
}

/// Built by the cargo that builds the tests, and only once in this process.
fn tokio_example() -> Example {
    Example { command: vec![built("tokio").to_str().expect("UTF-8").to_owned()], says: &["latency", "pong", "ready"] }
}

/// Beside this test's own directory; cargo builds no examples for tests that it is told by name.
fn built(name: &str) -> PathBuf {
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "llb-userspace", "--example", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let test = std::env::current_exe().expect("this test's path");
    let target = test.parent().and_then(Path::parent).expect("target/debug/deps");
    target.join("examples").join(name)
}

impl Example {
    fn start(&self, stage: &Stage, args: &[&str]) -> Fleet {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let by = Launcher { env: vec![("PORT".to_owned(), "8080".to_owned())], ..Launcher::default() };
        stage.start_by(&by, &[&["--ready-when", "ready"], args].concat(), &command)
    }

    fn serves_and_reports(&self) {
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

    /// Each closes its own listener when it is told to finish.
    fn is_reloaded_without_loss(&self) {
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

    fn serves_alone(&self) {
        let stage = Stage::new();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env("PORT", "8080").env_remove("LLB_FD").current_dir(stage.path());
        let worker = Plain::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        until("it serves", || {
            Client::try_connect(ADDR).is_ok_and(|mut client| {
                client.try_send_last("/").is_ok() && client.try_receive().is_ok_and(|answer| answer.status == 200)
            })
        });
        worker.stop();
    }
}

#[test]
fn the_worker_in_python_serves_and_reports() {
    let example = example("python3", "python/worker.py", &["latency", "pong", "ready"]);
    example.serves_and_reports();
    example.serves_alone();
}

#[test]
fn the_worker_on_asyncio_serves_reports_and_finishes() {
    let example = example("python3", "python/asyncio_worker.py", &["pong", "ready"]);
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.serves_alone();
}

#[test]
fn the_worker_on_node_serves_reports_and_finishes() {
    let example = example("node", "node/server.js", &["pong", "ready"]);
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.serves_alone();
}

#[test]
fn the_worker_in_a_shell_serves_and_reports() {
    let example = example("sh", "shell/worker.sh", &["ready"]);
    example.serves_and_reports();
    example.serves_alone();
}

#[test]
fn the_worker_on_tokio_serves_reports_and_finishes() {
    let example = tokio_example();
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.serves_alone();
}

/// Slot 0 spins for 40 ms, again and again, with nothing to answer: its siblings' loops turn at once.
#[test]
fn an_event_loop_that_is_late_says_so() {
    let stage = Stage::new();
    let llb = format!("{}/../examples/node/llb.js", env!("CARGO_MANIFEST_DIR"));
    let server = stage.write(
        "server.js",
        &format!(
            "require('{llb}').listen(require('node:http').createServer((_, response) => response.end('hello')), 8080)
            const spin = () => {{ for (const end = Date.now() + 40; Date.now() < end;); }}
            if (process.env.WORKER_ID === '0') setInterval(spin, 45)"
        ),
    );
    let args = ["-n", "2", "--ready-when", "ready"];
    let fleet = stage.start(&args, &["node", server.to_str().expect("UTF-8")]);
    // Nobody asks it for anything: what llb knows it knows from pings.
    until("the late one is known", || {
        let cost_us = |slot| fleet.worker(slot).cost_us;
        cost_us(0) > 15_000.0 && cost_us(1) < cost_us(0) / 3.0
    });
    assert_eq!(fleet.status().least_slot, Some(1));
}
