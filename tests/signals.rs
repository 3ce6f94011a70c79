//! Every signal that a process can be sent, sent to llb.

use crate::harness::{
    Fleet, Launcher, Stage, get,
    identity::{identities, is_gone, pid_of},
    stage::fixture,
    until,
};
use nix::sys::signal::Signal;

const ADDRESS: &str = "127.0.0.1:8080";
const ONE: [&str; 2] = ["-n", "1"];

/// What becomes of a fleet whose master is sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ends,
    Reloads,
    /// The master is dead, and the next one goes on.
    IsTakenOver,
    /// The master stands still until it is sent SIGCONT.
    Pauses,
    Stays,
}

fn outcome(signal: Signal) -> Outcome {
    match signal {
        Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT => Outcome::Ends,
        Signal::SIGHUP | Signal::SIGUSR2 => Outcome::Reloads,
        Signal::SIGKILL
        | Signal::SIGABRT
        | Signal::SIGSEGV
        | Signal::SIGBUS
        | Signal::SIGFPE
        | Signal::SIGILL
        | Signal::SIGTRAP
        | Signal::SIGSYS => Outcome::IsTakenOver,
        Signal::SIGSTOP | Signal::SIGTSTP => Outcome::Pauses,
        _ => Outcome::Stays,
    }
}

/// Starts llb such that a fault leaves no core file.
fn without_core() -> Launcher {
    let wrapper = ["sh", "-c", "ulimit -c 0; exec \"$0\" \"$@\""].map(String::from).into();
    Launcher { wrapper, ..Launcher::default() }
}

#[test]
fn each_of_the_signals_is_survived_or_taken_over() {
    let stage = Stage::new();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    let start = || stage.start_by(&without_core(), &ONE, &command);
    let mut fleet = start();
    for signal in Signal::iterator() {
        let before = fleet.status();
        let worker = fleet.worker(0).pid;
        fleet.signal(signal);
        match outcome(signal) {
            Outcome::Ends => {
                let ended = fleet.wait();
                assert_eq!((ended.code, ended.signal), (Some(0), None), "{signal}: {}", ended.stderr);
                fleet = start();
            }
            Outcome::Reloads => until("the worker is a new one", || {
                let status = fleet.status();
                status.reloading.is_none() && status.workers.iter().all(|other| other.pid != worker)
            }),
            Outcome::IsTakenOver => {
                fleet.kill_master();
                assert!(!is_gone(pid_of(&before, 0)), "{signal} has ended the worker");
                get(ADDRESS, "/").slot();
                fleet.take_over(&ONE, &command);
                assert_eq!(identities(&fleet.status()), identities(&before), "{signal}");
            }
            Outcome::Pauses => {
                get(ADDRESS, "/").slot();
                fleet.signal(Signal::SIGCONT);
                assert_eq!(identities(&fleet.status()), identities(&before), "{signal}");
            }
            // One worker more, and one less.
            Outcome::Stays if signal == Signal::SIGTTIN => {
                until("there are two", || fleet.status().workers.len() == 2);
            }
            Outcome::Stays if signal == Signal::SIGTTOU => {
                until("there is one", || fleet.status().workers.len() == 1);
            }
            Outcome::Stays => {
                // A signal is dealt with before whoever asks afterwards is answered.
                assert_eq!(identities(&fleet.status()), identities(&before), "{signal}");
                assert_eq!(fleet.status().generation, before.generation, "{signal}");
            }
        }
    }
    fleet.stop();
}

#[test]
fn sigusr1_reaches_the_workers_that_catch_it() {
    let stage = Stage::new();
    let catcher = stage.write(
        "catcher.py",
        r#"
import os, runpy, signal, sys
if os.environ["WORKER_ID"] == "0":
    signal.signal(signal.SIGUSR1, lambda *_: open(os.environ["STAGE"] + "/told", "w").close())
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"#,
    );
    let (catcher, server) = (catcher.display().to_string(), fixture("asyncio_server.py"));
    let fleet: Fleet = stage.start(&["-n", "2", "--log", "info"], &["python3", &catcher, &server, "127.0.0.1", "8080"]);
    let before = identities(&fleet.status());
    fleet.signal(Signal::SIGUSR1);
    until("the one that catches it is told", || stage.path().join("told").exists());
    until("llb says so", || fleet.stderr().contains("SIGUSR1 is passed on to the 1 of 2 workers that catch it"));
    assert_eq!(identities(&fleet.status()), before, "the other one is not ended by it");
    fleet.stop();
}
