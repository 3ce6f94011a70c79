//! A worker in Go, built by a toolchain whose listeners speak Multipath TCP unless they are told otherwise. The one in fifteen
//! lines: tests/short.rs.

use std::fs;

use crate::harness::{
    Stage, Tally,
    example::{ADDR, Example},
    get, until,
};

const SAYS: &[&str] = &["latency", "pong", "ready"];
const SLOTS: u32 = 3;

/// Round-robin makes the expectation exact.
const EXACT: [&str; 4] = ["-n", "3", "--policy", "round-robin"];

fn worker() -> Example {
    Example::go("go/worker.go", SAYS)
}

#[test]
fn the_worker_in_go_serves_reports_and_finishes() {
    let example = worker();
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.finishes_when_it_is_told_to();
    example.outlives_llb();
    example.waits_for_no_reader();
    example.serves_alone();
}

fn ask(count: u32) -> Tally {
    let slot = |_| {
        let body = get(ADDR, "/").body;
        body.trim().strip_prefix("worker ").and_then(|slot| slot.parse().ok()).unwrap_or_else(|| panic!("{body}"))
    };
    (0..count).map(slot).collect::<Vec<u32>>().into_iter().collect()
}

#[test]
fn go_is_steered_to_each_worker_in_turn() {
    let stage = Stage::new();
    let fleet = worker().start(&stage, &EXACT);
    fleet.wait_for_groups(&[ADDR], SLOTS);
    let tally = ask(4 * SLOTS);
    assert_eq!(tally, (0..SLOTS).flat_map(|slot| [slot; 4]).collect());
    tally.assert_steered(&fleet.status());
}

/// What llb's `GODEBUG` keeps from happening, as that is Go's own choice since 1.24.
#[test]
fn go_that_is_told_to_listen_by_multipath_tcp_is_left_to_the_hash() {
    let stage = Stage::new();
    let example = worker();
    let fleet = example.launch_with(&stage, &EXACT, &[("GODEBUG", "multipathtcp=1")]);
    // Kept by namespace; on a kernel without it Go listens by plain TCP whatever it is told.
    if !fs::read_to_string("/proc/sys/net/mptcp/enabled").is_ok_and(|enabled| enabled.trim() == "1") {
        return fleet.wait_for_groups(&[ADDR], SLOTS);
    }
    until("llb says so", || fleet.stderr().contains("no listener could be steered"));
    // Enough that the hash leaves out one of three less than once in 10^10 times.
    let tally = ask(64);
    assert_eq!(tally.0.len(), SLOTS as usize, "{tally:?}");
    let status = fleet.status();
    assert_eq!((status.connections, status.groups.len()), (0, 0), "{status:#?}");
}
