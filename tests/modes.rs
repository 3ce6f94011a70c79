//! What a choice goes by in each mode of `--tracking`, and what the status says where nobody counts.

use std::{collections::BTreeSet, fs, path::Path};

use crate::harness::{
    Client, Fleet, Stage, Tally, get, holds_within,
    reporting::{report, reporting},
    stage::fixture,
    until,
};
use aya::programs::{ProgramInfo, loaded_programs};
use llb::observe::status::Status;
use llb_common::{names, outcome::Outcome};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;
const REQUESTS: u32 = 100;

/// Requests that wait on a worker until it dies: a few, as one could be lucky.
const WAITING: u32 = 5;

/// More instructions than the verifier follows, in all programs of a fleet: Linux 6.18 120,000.
const VERIFIED_MAX: u32 = 150_000;

/// The modes in which the kernel counts no connections.
const UNTRACKED: [&str; 2] = ["reports", "off"];

#[test]
fn full_steers_by_what_the_kernel_sees() {
    let stage = Stage::new();
    let fleet = silent(&stage, "full");
    let mut held = Client::connect(ADDRESS);
    held.send_last("/ms/2000");
    until("a worker is blocked", || fleet.in_flight() == 1);
    let tally = ask(REQUESTS);
    let blocked = held.receive().slot();
    assert_eq!(tally.of(blocked), 0, "slot {blocked}: {tally:?}");
    assert!(programs(&fleet).contains(names::INGRESS) && programs(&fleet).contains(names::EGRESS));
    fleet.wait_until_quiet();
    let status = fleet.status();
    assert_eq!(status.tracking, "full");
    assert!(status.workers.iter().all(|worker| worker.failed == Some(0)), "{status:#?}");
}

#[test]
fn reports_steer_by_what_workers_say() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, SLOTS, &["--tracking", "reports"]);
    report(&stage, &fleet, SLOTS, 0, |slot| if slot == 2 { 1_000 } else { 1 });
    let tally = ask(REQUESTS);
    assert_eq!(tally.of(2), 0, "{tally:?}");
    assert!([0, 1, 3].into_iter().all(|slot| tally.of(slot) > 0), "{tally:?}");
    tally.assert_steered(&fleet.status());
    assert_untracked(&fleet, "reports");
}

/// Whatever workers report: choices are charged, and that spreads them.
#[test]
fn off_steers_by_charges_alone() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, SLOTS, &["--tracking", "off"]);
    for slot in 0..SLOTS {
        let us = if slot == 2 { 1_000_000 } else { 1_000 };
        stage.tell(slot, &format!(r#"say 40 {{"cmd":"latency","us":{us}}}"#));
    }
    let heard = |status: &Status| status.workers.iter().all(|worker| worker.reports.get("latency") == Some(&40));
    until("all reports are read", || heard(&fleet.status()));
    let tally = ask(REQUESTS);
    let status = fleet.status();
    tally.assert_steered(&status);
    assert!(status.workers.iter().all(|worker| worker.cost_us == 0.0), "{status:#?}");
    for slot in 0..SLOTS {
        // A quarter each, more or less: idle ones are drawn at random, and busy ones are not.
        assert!((10..=45).contains(&tally.of(slot)), "{tally:?}");
    }
    assert_untracked(&fleet, "off");
}

#[test]
fn without_books_waiting_connections_move_as_well() {
    for mode in UNTRACKED {
        let stage = Stage::new();
        let args = ["-n", "4", "--tracking", mode, "--policy", "round-robin"];
        let fleet = stage.start(&args, &[&stage.static_server(), "8080"]);
        fleet.wait_for_groups(&[ADDRESS], SLOTS);
        let victim = fleet.worker(0).pid;
        let pid = Pid::from_raw(victim.cast_signed());
        kill(pid, Signal::SIGSTOP).expect("a worker");
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        until("it has stopped", || state().contains(") T "));
        let mut clients: Vec<Client> = (0..SLOTS * WAITING).map(|_| Client::connect(ADDRESS)).collect();
        clients.iter_mut().for_each(|client| client.send_last("/"));
        assert_eq!(fleet.worker(0).chosen, u64::from(WAITING));
        kill(pid, Signal::SIGKILL).expect("a worker");
        for client in &mut clients {
            client.receive().slot();
        }
        let status = fleet.status();
        assert!(status.selector[Outcome::Migrated.name()] > 0, "{mode}: {status:#?}");
        until("it is replaced", || {
            fleet.status().workers.iter().any(|worker| worker.slot == 0 && worker.pid != victim)
        });
        get(ADDRESS, "/").slot();
    }
}

/// Nobody settles a charge, and nobody looks at a seat that has left: it must be forgotten nevertheless.
#[test]
fn without_books_a_worker_is_drained_all_the_same() {
    let stage = Stage::new();
    let fleet = reporting(&stage, ADDRESS, 2, &["--tracking", "off", "--drain-timeout", "1h"]);
    let leaving = fleet.worker(0).pid;
    ask(10);
    assert_eq!(stage.tell(0, r#"say 1 {"cmd":"disconnect"}"#), "ok");
    // Charges that are younger than a roll when it leaves.
    let gone = || fleet.status().workers.iter().all(|worker| worker.pid != leaving);
    let replaced = holds_within(crate::harness::DEADLINE, || {
        get(ADDRESS, "/").slot();
        gone()
    });
    assert!(replaced, "{:#?}", fleet.status());
    assert_eq!(fleet.worker(0).restarts, 1);
}

/// The time from a request's first byte in to the first byte out, by worker.
#[test]
fn the_histogram_knows_a_slow_worker_from_a_fast_one() {
    let stage = Stage::new();
    let serve = format!("exec '{}' 8080 $((WORKER_ID * 20))", stage.static_server());
    let fleet = stage.start(&["-n", "2", "--policy", "round-robin"], &["sh", "-c", &serve]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    assert_eq!(fleet.status().latency_us, None, "nobody has been answered yet");
    ask(2 * REQUESTS);
    fleet.wait_until_quiet();
    let status = fleet.status();
    for worker in &status.workers {
        let latency = worker.latency_us.expect("answers");
        if worker.slot == 1 {
            assert!((20_000.0..26_000.0).contains(&latency.p50), "{status:#?}");
        } else {
            assert!(latency.p50 < 5_000.0, "{status:#?}");
        }
        assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p99 <= latency.p999);
        assert_eq!(worker.answered, Some(u64::from(REQUESTS)), "{status:#?}");
        assert_eq!(answers(&worker.latency_histogram), worker.answered, "{status:#?}");
    }
    assert_eq!(answers(&status.latency_histogram), Some(u64::from(2 * REQUESTS)), "{status:#?}");
    assert!(status.latency_us.expect("answers").p99 >= 20_000.0, "{status:#?}");
}

/// The seat may be the old one; what it has counted is not the new worker's. The fleet's histogram keeps it.
#[test]
fn a_replacement_starts_its_histogram_anew() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &[&stage.static_server(), "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 1);
    for generation in 1..=3 {
        ask(10);
        fleet.wait_until_quiet();
        let worker = fleet.worker(0);
        assert_eq!(answers(&worker.latency_histogram), Some(10), "{worker:#?}");
        assert_eq!(answers(&fleet.status().latency_histogram), Some(10 * generation));
        kill(Pid::from_raw(worker.pid.cast_signed()), Signal::SIGKILL).expect("a worker");
        until("it is replaced", || {
            fleet.status().workers.iter().any(|now| now.pid != worker.pid && now.state == "serving")
        });
    }
}

#[track_caller]
fn silent(stage: &Stage, mode: &str) -> Fleet {
    let fleet = stage.start(&["-n", "4", "--tracking", mode], &[&stage.static_server(), "8080"]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    fleet
}

#[track_caller]
fn ask(requests: u32) -> Tally {
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", requests);
    tally
}

/// Answers that a histogram holds.
fn answers(histogram: &Option<Vec<(f64, u64)>>) -> Option<u64> {
    Some(histogram.as_ref()?.iter().map(|(_, count)| count).sum())
}

/// Asserts that the kernel looks at no packets, and that the status does not pretend to know what they would say.
#[track_caller]
fn assert_untracked(fleet: &Fleet, mode: &str) {
    let programs = programs(fleet);
    assert!(programs.contains(names::STEER) && programs.contains(names::SOCKOPS), "{programs:?}");
    assert!(!programs.contains(names::INGRESS) && !programs.contains(names::EGRESS), "{programs:?}");
    let status = fleet.status();
    assert_eq!(status.tracking, mode);
    assert_eq!((&status.latency_us, &status.latency_histogram), (&None, &None));
    for worker in &status.workers {
        assert!(worker.chosen > 0 || mode == "reports", "{worker:#?}");
        let counted = [worker.open, worker.in_flight, worker.answered, worker.failed];
        assert_eq!(counted, [None; 4], "{worker:#?}");
        assert_eq!((&worker.latency_us, &worker.latency_histogram), (&None, &None), "{worker:#?}");
    }
    let table = String::from_utf8(fleet.command("status").output().expect("llb").stdout).expect("a table");
    assert!(table.starts_with(&format!("{}: least-latency, tracking {mode},", fleet.name())), "{table}");
    let row = table.lines().find(|line| line.trim_start().starts_with("0 ")).expect("slot 0");
    assert_eq!(
        row.split_whitespace().filter(|cell| *cell == "-").count(),
        if mode == "off" { 8 } else { 7 },
        "{table}"
    );
}

/// A start of a fleet is mostly this: instructions that the verifier follows, as often as it comes to them.
#[test]
fn the_kernel_has_soon_verified_all_programs() {
    let stage = Stage::new();
    for sticky in [&[][..], &["--sticky", "source"]] {
        let options = [&["-n", "1"], sticky].concat();
        let fleet = stage.start(&options, &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
        let of = |program: ProgramInfo| {
            let name = program.name_as_str().unwrap_or_default().to_owned();
            (name, program.verified_instruction_count().expect("Linux 5.16"))
        };
        let counts: Vec<_> = loaded(&fleet).into_iter().map(of).collect();
        let all: u32 = counts.iter().map(|(_, count)| count).sum();
        assert!(all > 10_000 && all < VERIFIED_MAX, "{all}: {counts:?}");
    }
}

/// The names of the programs that this fleet's master has loaded.
#[track_caller]
fn programs(fleet: &Fleet) -> BTreeSet<String> {
    loaded(fleet).iter().filter_map(|program| program.name_as_str().map(str::to_owned)).collect()
}

/// The programs that this fleet's master has loaded; it attaches no others.
#[track_caller]
fn loaded(fleet: &Fleet) -> Vec<ProgramInfo> {
    let descriptors = fs::read_dir(Path::new("/proc").join(fleet.pid().to_string()).join("fdinfo"));
    let ids: BTreeSet<u32> = descriptors
        .expect("a running master")
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect();
    loaded_programs().flatten().filter(|program| ids.contains(&program.id())).collect()
}
