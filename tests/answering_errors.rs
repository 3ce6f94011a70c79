//! Workers that answer errors sooner than others answer what was asked: "HTTP/1.x 5" is no sign of speed.

use std::time::Duration;

use crate::harness::{
    Stage,
    open_loop::{Sample, open_loop},
    stage::fixture,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;

/// Half of what workers can do that take 10 ms.
const EVERY: Duration = Duration::from_millis(5);
const REQUESTS: u32 = 400;

/// Answers after which the kernel knows what each worker costs.
const WARM_UP: u32 = 100;

#[test]
fn errors_after_1_ms_draw_nobody() {
    assert_no_magnet("1", 0);
}

#[test]
fn errors_after_3_ms_draw_nobody() {
    assert_no_magnet("3", 0);
}

#[test]
fn errors_after_5_ms_draw_nobody() {
    assert_no_magnet("5", 0);
}

#[test]
fn a_worker_that_turns_bad_draws_nobody() {
    assert_no_magnet("3", WARM_UP);
}

/// At most its hash's share of all goes to the worker that answers errors.
#[track_caller]
fn assert_no_magnet(ms: &str, before: u32) {
    let samples = run(ms, "0", before);
    let bad = samples.iter().filter(|sample| status(sample) == Some(500)).count() as u32;
    eprintln!("{bad} of {REQUESTS} are errors");
    assert!(bad <= REQUESTS / SLOTS, "{bad} of {REQUESTS} are errors");
}

#[test]
fn where_all_answer_errors_steering_stays_even() {
    assert_even(&run("10", "all", 0), 500);
}

#[test]
fn an_error_now_and_then_costs_a_worker_little() {
    assert_even(&run("10", "some", 0), 200);
}

#[track_caller]
fn assert_even(samples: &[Sample], expected: u16) {
    let all = samples.iter().filter(|sample| status(sample) == Some(expected)).count();
    assert!(all > samples.len() * 9 / 10, "{all} of {} answer {expected}", samples.len());
    let of = |slot| samples.iter().filter(|sample| sample.slot() == Some(slot)).count();
    let shares = [0, 1, 2, 3].map(of);
    assert!(shares.iter().all(|share| *share > samples.len() / 10), "{shares:?}");
}

fn status(sample: &Sample) -> Option<u16> {
    sample.answer.as_ref().map(|answer| answer.status)
}

/// Asks workers of which those in `slot` answer errors after `ms`, once all have answered `before` requests.
#[track_caller]
fn run(ms: &str, slot: &str, before: u32) -> Vec<Sample> {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &["python3", &fixture("bad.py"), "8080", ms, slot]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    open_loop(ADDRESS, EVERY, before, |_| "/".into());
    stage.write("bad", "");
    let samples = open_loop(ADDRESS, EVERY, REQUESTS, |_| "/".into());
    fleet.wait_until_quiet();
    let counted: u64 = fleet.status().workers.iter().map(|worker| worker.errors.expect("what the kernel counts")).sum();
    assert_eq!(counted, samples.iter().filter(|sample| status(sample) == Some(500)).count() as u64);
    samples
}
