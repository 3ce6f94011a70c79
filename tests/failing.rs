//! A worker that fails fast is always idle, and must not draw what the busy ones cannot take.

mod harness;

use std::time::Duration;

use harness::{Stage, load::open_loop};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 8;
const FAULTY: u32 = 0;

/// Of a fleet of which half is busy: what is always idle would get a quarter of it all, twice its share.
const WORK_MS: &str = "8";
const EVERY: Duration = Duration::from_millis(2);
const REQUESTS: u32 = 700;

#[test]
fn a_worker_that_closes_without_reading_is_no_magnet() {
    assert_no_magnet("close");
}

#[test]
fn a_worker_that_closes_without_an_answer_is_no_magnet() {
    assert_no_magnet("leave");
}

#[test]
fn a_worker_that_resets_is_no_magnet() {
    assert_no_magnet("reset");
}

#[test]
fn a_worker_that_answers_errors_at_once_is_no_magnet() {
    assert_no_magnet("error");
}

/// That the faulty worker gets less than its fair share, and that nobody else fails.
#[track_caller]
fn assert_no_magnet(fault: &str) {
    let stage = Stage::new();
    let server = stage.faulty_server();
    let faulty = FAULTY.to_string();
    let command = [&server, "127.0.0.1", "8080", WORK_MS, fault, &faulty];
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);

    let samples = open_loop(ADDRESS, EVERY, REQUESTS, |_| "/".into());

    let failed = samples.iter().filter(|sample| sample.answer.as_ref().is_none_or(|answer| answer.status != 200));
    let failed = failed.count() as u64;
    let status = fleet.status();
    let given = fleet.worker(FAULTY).chosen;
    assert_eq!(status.connections, u64::from(REQUESTS), "{status:#?}");
    eprintln!("{fault}: {given} of {REQUESTS}");
    assert_eq!(failed, given, "the others answer: {status:#?}");
    assert!(given < u64::from(REQUESTS / SLOTS), "{given} of {REQUESTS} to the one that fails: {status:#?}");
    fleet.wait_until_quiet();
}
