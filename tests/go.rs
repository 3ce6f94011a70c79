//! A worker in Go, built by a toolchain whose listeners speak Multipath TCP unless they are told otherwise. The one in fifteen
//! lines: tests/short.rs.

mod harness;

use harness::{
    Stage, Tally,
    example::{ADDR, Example},
    get,
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
    example.outlives_llb();
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
    let fleet = worker().start_with(&stage, &EXACT, &[]);
    fleet.wait_for_groups(&[ADDR], SLOTS);
    let tally = ask(4 * SLOTS);
    assert_eq!(tally, (0..SLOTS).flat_map(|slot| [slot; 4]).collect());
    tally.assert_steered(&fleet.status());
}
