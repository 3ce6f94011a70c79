//! A worker that sleeps is woken by the connections that move to it, however it waits and whatever the kernel does.
//!
//! A kernel without commit 3864c6ba1e04 does not wake it. On one that has the commit these tests hold by the kernel's own
//! doing; `cargo xtask vm` runs them on one that has not.

use std::fs;

use crate::harness::{Client, Stage, books::count, stopped::Stopped, until};
use llb_common::outcome::Outcome;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// Connections of each of the two workers.
const EACH: u64 = 10;

#[test]
fn one_that_blocks_in_accept_is_woken() {
    assert_woken("accept");
}

#[test]
fn one_that_polls_is_woken() {
    assert_woken("poll");
}

#[test]
fn one_that_waits_in_epoll_is_woken() {
    assert_woken("level");
}

#[test]
fn one_that_waits_for_edges_in_epoll_is_woken() {
    assert_woken("edge");
}

#[test]
fn one_that_waits_exclusively_in_epoll_is_woken() {
    assert_woken("exclusive");
}

#[track_caller]
fn assert_woken(way: &str) {
    let stage = Stage::new();
    let server = stage.waiting_server();
    // The next one of the slot comes when all is over: what it would be given is not to hide anything.
    let args = ["-n", "2", "--policy", "round-robin", "--respawn", "1h", "--backoff", "1h"];
    let fleet = stage.start(&args, &[&server, "8080", way]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let [dies, target] = [0, 1].map(|slot| Pid::from_raw(fleet.worker(slot).pid.cast_signed()));
    let stopped = Stopped::stop(dies);
    let mut clients: Vec<Client> = (0..2 * EACH).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.send_last("/"));
    until("a half waits on the stopped worker", || fleet.worker(0).in_flight == Some(EACH));
    until("the other has answered its half", || fleet.worker(1).answered == Some(EACH));
    let stat = format!("/proc/{target}/stat");
    until("the other sleeps", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S ")));

    kill(dies, Signal::SIGKILL).expect("a worker");
    drop(stopped);

    for client in &mut clients {
        assert_eq!(client.receive().slot(), 1);
    }
    let status = fleet.status();
    let moved = count(&status, Outcome::Migrated) + count(&status, Outcome::MigratedByHash);
    assert_eq!(moved, EACH, "{status:#?}");
    assert_eq!(status.connections, 2 * EACH, "nobody else has connected: {status:#?}");
    fleet.wait_until_quiet();
}
