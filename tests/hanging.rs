//! A worker that hangs with a request is passed over, and nobody has to notice or report it: its progress stands still.

use std::{thread, time::Duration};

use crate::harness::{
    Fleet, Stage,
    open_loop::{Sample, open_loop},
    stopped::is_stopped,
    until,
};
use llb::{internals::clock, model::Instant};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;

/// Three workers can easily do what four did: 600 ms of work a second.
const WORK_MS: &str = "3";
const EVERY: Duration = Duration::from_millis(5);
const REQUESTS: u32 = 240;

/// The turn of the request that hangs its worker: when the kernel knows what each worker costs.
const HANGS_AT: u32 = 80;

/// From its last progress until a worker that hangs gets nothing any more, ms.
const PASSED_OVER_AFTER_MS: u64 = 50;

/// How many requests the other workers may hold at a new one's beginning, for the verdict to count it: one each. On a
/// machine that has a bad moment they hang as well.
const LIGHTLY_LOADED: usize = SLOTS as usize - 1;

#[test]
fn a_worker_that_is_stopped_is_passed_over() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let pids: Vec<Pid> = (0..SLOTS).map(|slot| Pid::from_raw(fleet.worker(slot).pid.cast_signed())).collect();
    let stopped = || pids.iter().find(|pid| is_stopped(**pid)).copied();
    let samples = thread::scope(|scope| {
        let load = scope.spawn(|| load("/stop"));
        let begun = clock::now();
        until("a worker has stopped itself", || stopped().is_some());
        // The requests that are still to come, and some more.
        let over = begun.after(EVERY * (REQUESTS + 20));
        until("the load is over", || clock::now() > over);
        kill(stopped().expect("a worker that nobody has continued"), Signal::SIGCONT).expect("a worker");
        load.join().expect("a load")
    });
    assert_passed_over(&samples);
    fleet.wait_until_quiet();
}

#[test]
fn a_worker_that_spins_is_passed_over() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let samples = load("/spin/900");
    assert_passed_over(&samples);
    fleet.wait_until_quiet();
}

#[track_caller]
fn start(stage: &Stage) -> Fleet {
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &[&stage.faulty_server(), "127.0.0.1", "8080", WORK_MS]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    fleet
}

fn load(hang: &str) -> Vec<Sample> {
    open_loop(ADDRESS, EVERY, REQUESTS, |turn| if turn == HANGS_AT { hang } else { "/" }.into())
}

/// That of the connections that came when the worker had made no progress for some time, and while others had next to
/// nothing to do, it was given none.
#[track_caller]
fn assert_passed_over(samples: &[Sample]) {
    let answer = samples[HANGS_AT as usize].answer.as_ref().expect("an answer, however late");
    let (slot, hung_at) = answer.body.split_once(' ').expect("a slot and a time");
    let (slot, hung_at): (u32, u64) = (slot.parse().expect("a slot"), hung_at.parse().expect("a time, ns"));
    let ms_after = |sample: &Sample| sample.begun.since(Instant(hung_at)) / 1_000_000;
    let hung_until = samples[HANGS_AT as usize].ended;

    let during = samples.iter().filter(|sample| sample.begun > Instant(hung_at) && sample.begun < hung_until);
    let (given, others): (Vec<&Sample>, Vec<&Sample>) = during.partition(|sample| sample.slot() == Some(slot));
    let held_by_others = |at: Instant| others.iter().filter(|held| held.begun < at && at < held.ended).count();
    let late = given
        .iter()
        .filter(|sample| ms_after(sample) > PASSED_OVER_AFTER_MS && held_by_others(sample.begun) <= LIGHTLY_LOADED);
    let late: Vec<u64> = late.map(|sample| ms_after(sample)).collect();
    let considered = others
        .iter()
        .filter(|sample| ms_after(sample) > PASSED_OVER_AFTER_MS && held_by_others(sample.begun) <= LIGHTLY_LOADED);
    let considered = considered.count();

    eprintln!(
        "slot {slot} was given {} connections while it hung, the last {:?} ms after its last progress; \
         the others {}, {considered} of them counted",
        given.len(),
        given.iter().map(|sample| ms_after(sample)).max(),
        others.len()
    );
    assert!(late.is_empty(), "slot {slot} hung, and was given connections {late:?} ms after its last progress");
    assert!(samples.iter().all(|sample| sample.slot().is_some()), "every request is answered in the end");
    assert!(considered >= 50, "the others were hardly ever lightly loaded: {considered} of {}", others.len());
}
