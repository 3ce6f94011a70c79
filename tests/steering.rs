//! Where connections go: exactly where the policy says, proven by the selector's own counters.

use std::collections::HashSet;

use crate::harness::{
    Client, Fleet, Stage, Tally,
    books::count,
    reporting::{report, reporting},
    until,
};
use llb_common::outcome::Outcome;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 8;

#[test]
fn idle_connections_all_go_to_the_least_latency_worker() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, 4, &[]);
    for least in 0..4 {
        let before = fleet.status();
        report(&stage, &fleet, 4, least, |slot| if slot == least { 1 } else { 80 });
        let mut tally = Tally::default();
        tally.ask(ADDRESS, "/", 25);
        let after = fleet.status();
        assert_eq!(tally.of(least), 25, "slot {least}: {tally:?}");
        assert_eq!(count(&after, Outcome::First) - count(&before, Outcome::First), 25, "{after:#?}");
        assert_eq!(after.connections - before.connections, 25, "{after:#?}");
    }
}

/// Also while it is busy, which is what is wrong with it.
#[test]
fn argmin_sends_all_to_the_least_latency_worker() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, 4, &["--policy", "argmin"]);
    // So much better than the others that a queue of all these connections still looks best: it stays the least.
    report(&stage, &fleet, 4, 2, |slot| if slot == 2 { 1 } else { 1_000 });
    let tally = burst(32, "/wait/20");
    assert_eq!(tally.of(2), 32, "{tally:?}");
    let status = fleet.status();
    assert_eq!(count(&status, Outcome::First), 32, "{status:#?}");
    tally.assert_steered(&status);
}

#[test]
fn round_robin_takes_exact_turns() {
    let stage = Stage::new();
    let fleet = silent(&stage, &["--policy", "round-robin"], "8080");
    let slots: Vec<u32> = (0..3 * SLOTS).map(|_| crate::harness::get(ADDRESS, "/").slot()).collect();
    let round = &slots[..SLOTS as usize];
    assert_eq!(round.iter().collect::<HashSet<_>>().len(), SLOTS as usize, "{slots:?}");
    assert_eq!(slots, round.repeat(3));
    let status = fleet.status();
    assert_eq!(count(&status, Outcome::First), u64::from(3 * SLOTS), "{status:#?}");
    slots.into_iter().collect::<Tally>().assert_steered(&status);
}

#[test]
fn hash_is_the_kernels() {
    let stage = Stage::new();
    let fleet = silent(&stage, &["--policy", "hash"], "8080");
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 100);
    let status = fleet.status();
    assert_eq!(count(&status, Outcome::Hash), 100, "{status:#?}");
    tally.assert_counted(&status);
    assert!(status.workers.iter().all(|worker| worker.chosen == 0), "llb chose none of them: {status:#?}");
    // The books are kept nevertheless.
    let answered: Option<u64> = status.workers.iter().map(|worker| worker.answered).sum();
    assert_eq!(answered, Some(100), "{status:#?}");
    fleet.wait_until_quiet();
}

/// A choice is charged at once: 64 connections that come before any of them has been answered do not all go to the
/// worker that was the least when the first one came.
#[test]
fn a_burst_spreads_although_one_is_least() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, SLOTS, &[]);
    report(&stage, &fleet, SLOTS, 3, |slot| if slot == 3 { 40 } else { 60 });
    let tally = burst(64, "/wait/50");
    let status = fleet.status();
    tally.assert_steered(&status);
    for slot in 0..SLOTS {
        assert!((2..=16).contains(&tally.of(slot)), "slot {slot}: {tally:?}");
    }
    assert!(count(&status, Outcome::PassedOver) > 0, "{status:#?}");
    fleet.wait_until_quiet();
}

#[test]
fn a_blocked_worker_gets_no_connection_while_others_are_free() {
    let stage = Stage::new();
    let fleet = silent(&stage, &[], "8080");
    let mut held = Client::connect(ADDRESS);
    held.send_last("/ms/2000");
    let mut tally = shun_the_busy_one(&fleet);
    tally.add(held.receive().slot());
    tally.assert_steered(&fleet.status());
    fleet.wait_until_quiet();
}

#[test]
fn a_stopped_worker_gets_no_connection_while_others_are_free() {
    let stage = Stage::new();
    let fleet = silent(&stage, &[], "8080");
    // Half a request, so that it is known which worker to stop before there is anything to answer.
    let mut held = Client::connect(ADDRESS);
    held.write("GET / HTTP/1.1\r\n");
    let busy = the_busy_one(&fleet);
    let pid = Pid::from_raw(fleet.worker(busy).pid.cast_signed());
    kill(pid, Signal::SIGSTOP).expect("a worker");
    let tally = shun_the_busy_one(&fleet);
    kill(pid, Signal::SIGCONT).expect("a worker");
    held.write("\r\n");
    assert_eq!(held.receive().slot(), busy);
    assert_eq!(tally.of(busy), 0, "{tally:?}");
    fleet.wait_until_quiet();
    assert_eq!(fleet.status().connections, tally.total() + 1);
}

/// Nobody reports anything: the kernel itself sees that one worker is twenty times slower.
#[test]
fn a_slow_worker_that_says_nothing_gets_nearly_nothing() {
    let stage = Stage::new();
    let fleet = silent(&stage, &[], "8080 $((WORKER_ID == 5 ? 20 : 1))");
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 300);
    tally.assert_steered(&fleet.status());
    // A few times until its slowness is known, where 37 were its share: first answers are often slow, as code is cold, so
    // they count for little.
    assert!(tally.of(5) <= 12, "{tally:?}");
    fleet.wait_until_quiet();
}

/// A fleet of workers that report nothing; `args` is what the server gets.
#[track_caller]
fn silent(stage: &Stage, args: &[&str], server_args: &str) -> Fleet {
    let serve = format!("exec '{}' {server_args}", stage.static_server());
    let slots_arg = SLOTS.to_string();
    let args = [&["-n", &slots_arg], args].concat();
    let fleet = stage.start(&args, &["sh", "-c", &serve]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    fleet
}

/// That many connections, all of them made before the first sends its request.
#[track_caller]
fn burst(connections: u32, path: &str) -> Tally {
    let mut clients: Vec<Client> = (0..connections).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.send_last(path));
    clients.iter_mut().map(|client| client.receive().slot()).collect()
}

/// The only worker with a request in flight.
#[track_caller]
fn the_busy_one(fleet: &Fleet) -> u32 {
    let mut busy = Vec::new();
    until("a worker is busy", || {
        let workers = fleet.status().workers;
        busy = workers.iter().filter(|worker| worker.in_flight == Some(1)).map(|worker| worker.slot).collect();
        !busy.is_empty()
    });
    assert_eq!(busy.len(), 1, "{busy:?}");
    busy[0]
}

/// Makes a hundred connections while one worker is busy, of which it gets none.
#[track_caller]
fn shun_the_busy_one(fleet: &Fleet) -> Tally {
    let busy = the_busy_one(fleet);
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 100);
    assert_eq!(tally.of(busy), 0, "slot {busy}: {tally:?}");
    assert_eq!(fleet.worker(busy).in_flight, Some(1), "it was busy all the time");
    tally
}
