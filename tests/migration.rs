//! What goes on when somebody dies: a worker with connections in its queue, or llb itself.

use std::{fs, time::Duration};

use crate::harness::{Client, Stage, Tally, until};
use llb::internals::clock;
use llb_common::{outcome::Outcome, select::STALE_AFTER_NS};
use nix::{sys::signal::Signal, sys::signal::kill, unistd::Pid};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;
const WAITING: u32 = 10;

#[test]
fn connections_that_wait_on_a_killed_worker_are_answered_by_others() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "4", "--policy", "round-robin"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let victim = fleet.worker(0);
    let pid = Pid::from_raw(victim.pid.cast_signed());
    kill(pid, Signal::SIGSTOP).expect("a worker");
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // The signal takes its time; what the worker accepts before it stops is its own.
    until("it has stopped", || state().contains(") T "));
    let mut clients: Vec<Client> = (0..SLOTS * WAITING).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.send_last("/"));
    until("a quarter waits on the stopped worker", || fleet.worker(0).in_flight == Some(u64::from(WAITING)));

    kill(pid, Signal::SIGKILL).expect("a worker");

    let answers: Vec<u32> = clients.iter_mut().map(|client| client.receive().slot()).collect();
    assert_eq!(answers.len() as u32, SLOTS * WAITING);
    let status = fleet.status();
    let count = |outcome: Outcome| status.selector[outcome.name()];
    let moved = count(Outcome::Migrated) + count(Outcome::MigratedByHash);
    assert_eq!(moved, u64::from(WAITING), "{status:#?}");
    assert!(count(Outcome::Migrated) > 0, "{status:#?}");
    assert_eq!(status.connections, u64::from(SLOTS * WAITING), "a moved connection is not counted as a new one");
    until("it is replaced", || {
        fleet.status().workers.iter().any(|worker| worker.slot == 0 && worker.pid != victim.pid)
    });
    fleet.wait_until_quiet();
}

/// The workers, the selector and the books that it reads are the kernel's; only costs grow stale.
#[test]
fn without_llb_a_blocked_worker_still_gets_no_connection() {
    let stage = Stage::new();
    let server = stage.static_server();
    let mut fleet = stage.start(&["-n", "4"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    fleet.kill_master();
    let killed = clock::now();
    until("what it published is stale", || clock::now() > killed.after(Duration::from_nanos(STALE_AFTER_NS)));

    let mut held = Client::connect(ADDRESS);
    held.send_last("/ms/4000");
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 80);
    let busy = held.receive().slot();

    assert_eq!(tally.of(busy), 0, "{tally:?}");
    assert_eq!(tally.total(), 80);
    // Somebody has to end the workers.
    fleet.take_over(&["-n", "4"], &[&server, "8080"]);
}
