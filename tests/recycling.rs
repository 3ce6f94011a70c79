//! Workers that reach a limit are replaced by llb, the new one first.

use std::{fs, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::harness::{
    Fleet, Stage, get,
    stage::fixture,
    steady::{Steady, steady},
    until,
};
use llb::observe::{event::Event, status::Status};

const ADDRESS: &str = "127.0.0.1:8080";
const STEADY: Steady<'_> =
    Steady { address: ADDRESS, rate: 200, threads: 8, keepers: 0, think: Duration::from_millis(20) };

fn command() -> [String; 4] {
    ["python3".into(), fixture("growing.py"), "127.0.0.1".into(), "8080".into()]
}

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let command = command();
    let fleet = stage.start(args, &command.each_ref().map(String::as_str));
    fleet.wait_for_groups(&[ADDRESS], 4);
    fleet
}

fn recycled(status: &Status) -> u32 {
    status.slots.iter().map(|slot| slot.recycled).sum()
}

/// Also those that a bad minute of the machine makes look hung.
fn serving(status: &Status) -> usize {
    status.workers.iter().filter(|worker| ["serving", "hung"].contains(&worker.state.as_str())).count()
}

fn restarts(status: &Status) -> u32 {
    status.slots.iter().map(|slot| slot.restarts).sum()
}

/// The events of workers that were recycled.
fn recycling(fleet: &Fleet) -> Vec<Event> {
    let events = fleet.command("events").arg("--json").output().expect("the llb binary");
    let events = String::from_utf8(events.stdout).expect("lines of JSON");
    let events = events.lines().map(|line| serde_json::from_str::<Event>(line).expect("an event"));
    events.filter(|event| event.event == "recycling").collect()
}

#[test]
fn max_requests_recycles_and_refuses_nobody() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--max-requests", "100"]);
    let (seen, fewest) = steady(STEADY, |_| {
        let mut fewest = usize::MAX;
        until("each slot has been recycled once, and one twice", || {
            let status = fleet.status();
            fewest = fewest.min(serving(&status));
            status.slots.iter().all(|slot| slot.recycled > 0) && recycled(&status) > 4
        });
        fewest
    });
    assert!(seen.errors().is_empty(), "{:?}", seen.errors());
    assert!(seen.answered.load(Relaxed) > 400);
    assert_eq!((fewest, restarts(&fleet.status())), (4, 0), "fewest that served, and crashes");
    let causes: Vec<String> = recycling(&fleet).into_iter().map(|event| event.cause).collect();
    assert!(causes.iter().all(|cause| cause.contains(" requests answered; its limit is ")), "{causes:?}");
    let limit = |cause: &String| cause.split("limit is ").nth(1)?.split(' ').next()?.parse::<u32>().ok();
    let limits: Vec<u32> = causes.iter().filter_map(limit).collect();
    assert!(limits.len() == causes.len() && limits.iter().all(|limit| (75..=100).contains(limit)), "{limits:?}");
    assert!(limits.iter().any(|limit| *limit != limits[0]), "each has its own: {limits:?}");
    let table = fleet.command("status").output().expect("the llb binary").stdout;
    assert!(String::from_utf8_lossy(&table).contains("\nrecycled: "));
}

#[test]
fn max_age_counts_from_before_a_takeover() {
    let stage = Stage::new();
    let mut fleet = start(&stage, &["-n", "4"]);
    // Much older than the next master gets to be until it has looked once.
    until("they are old", || fleet.status().workers.iter().all(|worker| worker.uptime_s > 5.0));
    fleet.kill_master();
    let command = command();
    fleet.take_over(&["-n", "4", "--max-age", "5s"], &command.each_ref().map(String::as_str));
    until("one is recycled", || !recycling(&fleet).is_empty());
    let uptime = fleet.status().uptime_s;
    let cause = recycling(&fleet).remove(0).cause;
    let age: f64 = cause.split('s').next().and_then(|age| age.parse().ok()).unwrap_or(0.0);
    assert!(age > uptime, "the master is up {uptime} s: {cause}");
    until("all are recycled", || fleet.status().slots.iter().all(|slot| slot.recycled > 0));
    assert_eq!(restarts(&fleet.status()), 0);
    // The counts outlive the next one as well.
    fleet.kill_master();
    fleet.take_over(&["-n", "4"], &command.each_ref().map(String::as_str));
    assert!(fleet.status().slots.iter().all(|slot| slot.recycled > 0 && slot.restarts == 0));
}

#[test]
fn max_memory_recycles_the_one_that_grows() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--max-memory", "48M"]);
    let grown: u32 = get(ADDRESS, "/grow").body.parse().expect("a slot");
    until("it is recycled", || fleet.status().slots[grown as usize].recycled == 1);
    let events = recycling(&fleet);
    assert_eq!((events.len(), events[0].slot), (1, Some(grown)));
    assert!(events[0].cause.contains("M of memory; its limit is 48.0M"), "{}", events[0].cause);
    until("its memory is freed", || {
        let workers = fleet.status().workers;
        workers.len() == 4 && workers.iter().all(|worker| worker.memory_bytes.is_some_and(|bytes| bytes < 48 << 20))
    });
    assert_eq!(recycled(&fleet.status()), 1, "of the others none has grown");
}

#[test]
fn code_broken_since_recycles_nobody() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--max-requests", "20", "--respawn", "50ms"]);
    let broken = stage.write("broken", "");
    let (seen, ()) = steady(STEADY, |_| {
        until("the new one has failed again and again", || restarts(&fleet.status()) > 1);
        let status = fleet.status();
        assert_eq!((serving(&status), recycling(&fleet).len()), (4, 1), "all serve, and one slot has found it out");
        fs::remove_file(&broken).expect("a file of our own");
        until("it goes on", || fleet.status().slots.iter().all(|slot| slot.recycled > 0));
    });
    assert!(seen.errors().is_empty(), "{:?}", seen.errors());
}

#[test]
fn max_requests_needs_somebody_who_counts() {
    let stage = Stage::new();
    let command = command();
    let args = ["--max-requests", "100", "--tracking", "reports"];
    let ended = stage.launch(&args, &command.each_ref().map(String::as_str)).wait();
    assert!(ended.code == Some(2) && ended.stderr.contains("--max-requests needs"), "{ended:?}");
}
