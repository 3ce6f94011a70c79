//! A worker that fails fast is always idle, and must not draw what the busy ones cannot take: neither one that fails from
//! the start of a fleet, nor one that has worked before.

use std::time::Duration;

use crate::harness::{Stage, open_loop::open_loop};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 8;
const FAULTY: u32 = 0;

/// Of a fleet of which half is busy: what is always idle would get a quarter of it all, twice its share.
const WORK_MS: &str = "8";
const EVERY: Duration = Duration::from_millis(2);
const REQUESTS: u32 = 600;

/// Requests after which the kernel knows what each worker costs.
const WARM_UP: u32 = 200;

/// What workers of which nothing is known are asked first: many publications long.
const LONG: Duration = Duration::from_millis(300);
const LONG_PATH: &str = "/ms/300";

#[test]
fn a_worker_that_closes_without_reading_is_no_magnet() {
    assert_no_magnet("close", 0);
}

#[test]
fn a_worker_that_begins_to_close_without_reading_is_no_magnet() {
    assert_no_magnet("close", WARM_UP);
}

#[test]
fn a_worker_that_closes_without_an_answer_is_no_magnet() {
    assert_no_magnet("leave", 0);
}

#[test]
fn a_worker_that_begins_to_close_without_an_answer_is_no_magnet() {
    assert_no_magnet("leave", WARM_UP);
}

#[test]
fn a_worker_that_resets_is_no_magnet() {
    assert_no_magnet("reset", 0);
}

#[test]
fn a_worker_that_begins_to_reset_is_no_magnet() {
    assert_no_magnet("reset", WARM_UP);
}

#[test]
fn a_worker_that_answers_errors_at_once_is_no_magnet() {
    assert_no_magnet("error", 0);
}

#[test]
fn a_worker_that_begins_to_answer_errors_at_once_is_no_magnet() {
    assert_no_magnet("error", WARM_UP);
}

/// That a worker which has answered its share of `before` requests, and fails from then on, gets less than its share.
#[track_caller]
fn assert_no_magnet(fault: &str, before: u32) {
    let stage = Stage::new();
    let server = stage.faulty_server();
    let faulty = FAULTY.to_string();
    let command = [&server, "127.0.0.1", "8080", WORK_MS, fault, &faulty];
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let warm_up = open_loop(ADDRESS, EVERY, before, |_| "/".into());
    assert!(warm_up.iter().all(|sample| sample.slot().is_some()), "all answer before the fault");

    stage.write("faulty", "");
    if before == 0 {
        // Each worker gets a long one, and those that come meanwhile go to the one that fails at once: it is the only
        // one of which anything is known for a while.
        open_loop(ADDRESS, LONG / 60, 50, |turn| if turn < SLOTS { LONG_PATH } else { "/" }.into());
    }
    let samples = open_loop(ADDRESS, EVERY, REQUESTS, |_| "/".into());

    let is_failure =
        |answer: &Option<crate::harness::Answer>| answer.as_ref().is_none_or(|answer| answer.status != 200);
    let failures = samples.iter().filter(|sample| is_failure(&sample.answer)).count() as u32;
    let status = fleet.status();
    eprintln!("{fault} after {before}: {failures} of {REQUESTS} failed");
    assert!(failures < REQUESTS / SLOTS, "{failures} of {REQUESTS} went to the one that fails: {status:#?}");
    let failed_elsewhere: u64 = status.workers.iter().filter(|w| w.slot != FAULTY).filter_map(|w| w.failed).sum();
    assert_eq!(failed_elsewhere, 0, "{status:#?}");
    fleet.wait_until_quiet();
}
