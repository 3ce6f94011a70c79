//! The master stops publishing, or is killed, under load: the kernel goes on by what it counts itself, and nothing is lost.

use std::{fs, thread, time::Duration};

use crate::harness::{
    Client, Stage, Tally,
    open_loop::open_loop,
    reporting::{report, reporting},
    stopped::Stopped,
    until,
};
use llb::internals::clock;
use llb_common::select::STALE_AFTER_NS;

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;

/// Who reports that it is far faster than it is, and who that it takes a minute. They are all the same.
const BOASTS: u32 = 2;
const MOANS: u32 = 3;
const REPORTED_MS: [u32; 4] = [1_000, 1_000, 1, 60_000];

/// Work that keeps a worker from everything else, so that all workers look the same to the kernel.
const WORK: &str = "/block/10";

/// Requests that come together, one for each worker: to be spread they must look no more alike than by a factor of two.
const BURSTS: u32 = 15;
const ASKED: u32 = BURSTS * SLOTS;

/// Bursts from which the kernel learns what each worker costs, four requests for each.
const WARM_UPS: u32 = 5;

#[test]
fn what_a_stopped_master_has_published_is_forgotten_after_a_second() {
    let stage = Stage::new();
    // In line the second of a burst would wait for who is free first.
    let fleet = reporting(&stage, ADDRESS, SLOTS, &["--concurrency", "off"]);
    for _ in 0..WARM_UPS {
        let samples = open_loop(ADDRESS, Duration::ZERO, 4 * SLOTS, |_| WORK.into());
        assert!(samples.iter().all(|sample| sample.slot().is_some()), "all answer");
    }
    report(&stage, &fleet, SLOTS, BOASTS, |slot| REPORTED_MS[slot as usize]);
    let by_reports = ask();
    assert_eq!(by_reports.of(BOASTS), u64::from(ASKED), "{by_reports:?}");

    let stopped_at = clock::now();
    let stopped = Stopped::stop(fleet.pid());
    // Its last word may have come just before it stopped.
    let stale = clock::now().after(Duration::from_nanos(STALE_AFTER_NS));
    let at_once = ask();
    let in_time = clock::now() < stopped_at.after(Duration::from_nanos(STALE_AFTER_NS));
    until("what it published is stale", || clock::now() > stale);
    let by_counts = ask();
    let (blocked, others) = ask_while_one_is_blocked();
    drop(stopped);

    eprintln!("by reports {by_reports:?}, at once {at_once:?}, by the kernel's counts {by_counts:?}");
    eprintln!("while slot {blocked} is blocked {others:?}");
    assert!(!in_time || at_once.of(BOASTS) == u64::from(ASKED), "what is published holds for a second: {at_once:?}");
    assert!(by_counts.of(BOASTS) <= u64::from(ASKED / 2), "it still draws everything: {by_counts:?}");
    assert!(by_counts.of(MOANS) >= u64::from(ASKED / SLOTS / 4), "it is still passed over: {by_counts:?}");
    assert_eq!(others.of(blocked), 0, "{others:?}");
    until("it publishes again", || fleet.status().least_slot == Some(BOASTS));
    let again = ask();
    assert_eq!(again.of(BOASTS), u64::from(ASKED), "{again:?}");
    fleet.wait_until_quiet();
}

/// The load of half the fleet, before, while and after the master is killed.
#[test]
fn a_killed_master_costs_no_connection() {
    let (every, requests) = (Duration::from_millis(4), 300);
    let stage = Stage::new();
    let server = stage.faulty_server();
    let mut fleet = stage.start(&["-n", &SLOTS.to_string()], &[&server, "127.0.0.1", "8080", "8"]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let samples = thread::scope(|scope| {
        let load = scope.spawn(|| open_loop(ADDRESS, every, requests, |_| "/".into()));
        until("a quarter has come", || fleet.status().connections >= u64::from(requests / 4));
        fleet.kill_master();
        let killed_at = clock::now();
        let samples = load.join().expect("a load");
        let after = samples.iter().filter(|sample| sample.begun > killed_at).count();
        eprintln!("{after} of {requests} requests came after the master's end");
        assert!(after > requests as usize / 4, "only {after} came after its end");
        samples
    });
    let lost = samples.iter().filter(|sample| sample.slot().is_none()).count();
    assert_eq!(lost, 0, "of {requests} requests {lost} were not answered");
    let tally: Tally = samples.iter().filter_map(|sample| sample.slot()).collect();
    eprintln!("{tally:?}");
    assert!((0..SLOTS).all(|slot| tally.of(slot) > 0), "{tally:?}");
    // Somebody has to end the workers.
    fleet.take_over(&["-n", &SLOTS.to_string()], &[&server, "127.0.0.1", "8080", "8"]);
}

#[track_caller]
fn ask() -> Tally {
    let burst = |_| open_loop(ADDRESS, Duration::ZERO, SLOTS, |_| WORK.into());
    (0..BURSTS).flat_map(burst).map(|sample| sample.slot().expect("an answer")).collect()
}

/// One worker is blocked: which, and who answers meanwhile.
#[track_caller]
fn ask_while_one_is_blocked() -> (u32, Tally) {
    let mut held = Client::connect(ADDRESS);
    held.send_last("/block/1500");
    let blocked_at = clock::now();
    until("it takes longer than any other", || clock::now() > blocked_at.after(Duration::from_millis(50)));
    let mut tally = Tally::default();
    tally.ask(ADDRESS, WORK, ASKED);
    (held.receive().slot(), tally)
}

/// The kernel has these maps anyway; that llb maps them is what its memory is seen to be.
#[test]
fn maps_that_nobody_needs_are_not_mapped() {
    const MOST_KIB: u64 = 1_536;
    let stage = Stage::new();
    let server = stage.faulty_server();
    let fleet = stage.start(&["-n", "1"], &[&server, "127.0.0.1", "8080", "8"]);
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", fleet.pid())).unwrap();
    let mut is_map = false;
    let mut mapped_kib = 0;
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Rss", kib)) if is_map => mapped_kib += kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap(),
            _ if line.contains('-') => is_map = line.ends_with("anon_inode:bpf-map"),
            _ => {}
        }
    }
    assert!((1..MOST_KIB).contains(&mapped_kib), "{mapped_kib} KiB");
}
