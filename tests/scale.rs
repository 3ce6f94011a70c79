//! Fleets of one, a few and many workers: each serves, all in turn, and nothing of them is left afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::{Stage, Tally};
use nix::sys::signal::Signal;

const ADDRESS: &str = "127.0.0.1:8080";

/// Turns that each worker is to get.
const TURNS: u32 = 4;

#[test]
fn one_worker() {
    assert_turns(1);
}

#[test]
fn two_workers() {
    assert_turns(2);
}

#[test]
fn eight_workers() {
    assert_turns(8);
}

#[test]
fn sixty_four_workers() {
    assert_turns(64);
}

/// That nothing is left is asserted when a fleet is dropped; here is something left.
#[test]
fn the_harness_notices_what_is_left_and_clears_it() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "2"], &[&stage.static_server(), "8080"]);
    let cgroup = fleet.cgroup().to_owned();
    fleet.signal(Signal::SIGKILL);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(fleet)));
    assert!(dropped.is_err(), "the workers of a killed master were not noticed");
    assert!(!cgroup.exists());
}

#[track_caller]
fn assert_turns(slots: u32) {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", &slots.to_string(), "--policy", "round-robin"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], slots);
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", slots * TURNS);
    let status = fleet.status();
    tally.assert_steered(&status);
    let expected = Tally((0..slots).map(|slot| (slot, u64::from(TURNS))).collect());
    assert_eq!(tally, expected);
    let mut seats: Vec<u32> = status.workers.iter().flat_map(|worker| worker.seats.clone()).collect();
    seats.sort_unstable();
    assert_eq!(seats, (0..slots).collect::<Vec<_>>(), "one seat each, from the first");
    fleet.wait_until_quiet();

    let pids: Vec<u32> = status.workers.iter().map(|worker| worker.pid).collect();
    let ended = fleet.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for pid in pids {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!command.contains(&server), "worker {pid} is left");
    }
}
