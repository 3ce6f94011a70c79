//! Connections wait while no worker listens, and are not refused.

use std::{io::ErrorKind, thread, time::Duration};

use crate::harness::{
    Client, Fleet, Stage, get, holds_within,
    stage::fixture,
    steady::{Steady, steady},
    stopped::Stopped,
    until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// More than the first that come by chance in the same moment.
const CLIENTS: usize = 20;

fn start(stage: &Stage, args: &[&str], host: &str) -> Fleet {
    let fleet = stage.start(args, &["python3", &fixture("asyncio_server.py"), host, "8080"]);
    if fleet.status().workers.len() == 1 {
        // With the next tick, 10 ms later.
        until("llb stands by", || listeners() > 1);
    }
    fleet
}

/// The listeners on the port.
fn listeners() -> usize {
    let of = |table: &str| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        text.lines().filter(|line| line.contains(":1F90 ") && line.contains(" 0A ")).count()
    };
    of("/proc/thread-self/net/tcp") + of("/proc/thread-self/net/tcp6")
}

/// Kills all workers, and waits until llb has seen that.
fn kill_all(fleet: &Fleet) {
    let pids: Vec<u32> = fleet.status().workers.iter().map(|worker| worker.pid).collect();
    pids.iter().for_each(|pid| kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap());
    until("they are gone", || fleet.status().workers.iter().all(|worker| !pids.contains(&worker.pid)));
}

fn ask(address: &str) -> Vec<Client> {
    let ask = |_| {
        let mut client = Client::try_connect(address).expect("it is not refused");
        client.send_last("/");
        client
    };
    (0..CLIENTS).map(ask).collect()
}

#[test]
fn nobody_is_refused_while_all_restart() {
    let v6 = "[::1]:8080";
    for (args, host, address) in [
        (&["-n", "1"][..], "127.0.0.1", ADDRESS),
        (&["-n", "4"], "0.0.0.0", ADDRESS),
        (&["-n", "2"], "::", v6),
        (&["-n", "1", "--concurrency", "1"], "127.0.0.1", ADDRESS),
        (&["-n", "2", "--tracking", "reports"], "127.0.0.1", ADDRESS),
    ] {
        nobody_is_refused(args, host, address);
    }
}

#[test]
fn nobody_is_refused_while_workers_of_another_user_restart() {
    nobody_is_refused(&["-n", "1", "--user", "nobody"], "::", "[::1]:8080");
}

#[track_caller]
fn nobody_is_refused(args: &[&str], host: &str, address: &str) {
    let stage = Stage::new();
    stage.open_to_all();
    let fleet = start(&stage, &[args, &["--respawn", "1s", "--queue-timeout", "60s"]].concat(), host);
    kill_all(&fleet);
    let waiting = ask(address);
    // llb takes them in when it comes to it.
    until("all are counted", || {
        let shown = fleet.status();
        shown.waiting_for_worker + shown.waited_for_worker == CLIENTS as u64
    });
    waiting.into_iter().for_each(|mut client| assert!(client.receive().slot() < 4));
    assert_eq!(fleet.status().waited_for_worker, CLIENTS as u64);
    if !args.contains(&"reports") {
        fleet.wait_until_quiet();
    }
}

/// The control of the one before.
#[test]
fn without_waiting_they_are_refused() {
    let stage = Stage::new();
    let args = ["-n", "1", "--respawn", "2s", "--queue-timeout", "0s"];
    let fleet = stage.start(&args, &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
    // From here on the pace is that of the start.
    kill_all(&fleet);
    assert_eq!(Client::try_connect(ADDRESS).err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn what_waits_at_the_only_worker_outlives_it() {
    let stage = Stage::new();
    let fleet =
        start(&stage, &["-n", "1", "--respawn", "100ms", "--rescue", "off", "--queue-timeout", "60s"], "127.0.0.1");
    let pid = Pid::from_raw(fleet.worker(0).pid.cast_signed());
    let stopped = Stopped::stop(pid);
    let waiting = ask(ADDRESS);
    kill(pid, Signal::SIGKILL).unwrap();
    drop(stopped);
    waiting.into_iter().for_each(|mut client| assert!(client.receive().slot() < 4));
}

#[test]
fn nobody_is_lost_whose_worker_has_died_unseen() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--respawn", "100ms", "--queue-timeout", "60s"], "127.0.0.1");
    for _ in 0..5 {
        let worker = Pid::from_raw(fleet.worker(0).pid.cast_signed());
        let master = Stopped::stop(fleet.pid());
        // It may have been stopped while it has more than one.
        let before = listeners();
        kill(worker, Signal::SIGKILL).unwrap();
        until("only llb listens", || listeners() < before);
        let waiting = ask(ADDRESS);
        drop(master);
        waiting.into_iter().for_each(|mut client| assert!(client.receive().slot() < 4));
        until("llb stands by", || listeners() == 2);
    }
}

#[test]
fn who_waits_too_long_is_refused_until_somebody_serves() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--respawn", "3s", "--queue-timeout", "300ms"], "127.0.0.1");
    kill_all(&fleet);
    let mut waiting = Client::connect(ADDRESS);
    until("it is closed", || waiting.is_closed());
    assert_eq!(Client::try_connect(ADDRESS).err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    fleet.wait_for_groups(&[ADDRESS], 1);
    get(ADDRESS, "/").slot();
    // And stands by again.
    until("llb stands by", || listeners() == 2);
}

#[test]
fn replacing_the_old_first_refuses_nobody() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--drain-timeout", "2s"], "127.0.0.1");
    let load = Steady { address: ADDRESS, rate: 100, threads: 16, keepers: 0, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        for _ in 0..3 {
            let output = fleet.command("reload").args(["--rolling", "--max-surge", "0"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    });
    assert!(seen.errors().is_empty(), "{:?}", seen.errors());
    fleet.wait_until_quiet();
}

#[test]
fn the_end_of_a_fleet_keeps_nobody_waiting() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--respawn", "1h", "--backoff", "1h"], "127.0.0.1");
    kill_all(&fleet);
    let mut waiting = Client::connect(ADDRESS);
    assert!(!holds_within(Duration::from_millis(200), || waiting.is_closed()));
    assert_eq!(fleet.stop().code, Some(0));
    until("it is closed", || waiting.is_closed());
    assert!(Client::try_connect(ADDRESS).is_err());
}

/// A worker that gives up a port, and serves on at another.
#[test]
fn a_port_that_is_given_up_is_not_kept() {
    let stage = Stage::new();
    let program = "
import socket, time, os
def listen(port):
    s = socket.create_server(('127.0.0.1', port), reuse_port=True, backlog=64)
    return s
kept, given_up = listen(8081), listen(8080)
while not os.path.exists(os.environ['STAGE'] + '/go'): time.sleep(0.02)
given_up.close()
while True:
    kept.accept()[0].close()
";
    let fleet = stage.start(&["-n", "1", "--ready-when", "listening"], &["python3", "-c", program]);
    fleet.wait_for_groups(&[ADDRESS, "127.0.0.1:8081"], 1);
    until("llb stands by", || listeners() == 2);
    stage.write("go", "");
    until("it is refused", || Client::try_connect(ADDRESS).is_err());
    thread::sleep(Duration::from_millis(50));
    assert!(Client::try_connect(ADDRESS).is_err());
}
