//! Workers that bind other ports beside the one that they serve on: within a worker a port is no more shared than anywhere
//! else, a port that is each worker's own is left alone, and one that all have bound and none listens on is said.

use std::{collections::BTreeSet, fs, net::TcpStream, process::Command};

use crate::harness::{Ended, Fleet, Stage, get, proc::open_files, stage::fixture, until};

const EADDRINUSE: &str = "98";

fn start(stage: &Stage, args: &[&str], steps: &[&str]) -> Fleet {
    let script = fixture("binds.py");
    let command = [&["python3", &script], steps].concat();
    stage.start(args, &command)
}

/// A fleet that does not come up: how it ended.
fn fail(stage: &Stage, args: &[&str], steps: &[&str]) -> Ended {
    let script = fixture("binds.py");
    stage.launch(args, &[&["python3", &script], steps].concat()).wait()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

fn has_group(fleet: &Fleet, address: &str, slots: &[u32]) -> bool {
    fleet.status().groups.iter().any(|group| group.address == address && group.slots == slots)
}

/// What each slot has written.
fn written(stage: &Stage, name: &str, slots: u32) -> Vec<String> {
    let path = |slot| stage.path().join(format!("{name}.{slot}"));
    until("each has written", || (0..slots).all(|slot| path(slot).exists()));
    (0..slots).map(|slot| fs::read_to_string(path(slot)).unwrap()).collect()
}

#[test]
fn a_second_bind_in_one_worker_fails() {
    let stage = Stage::new();
    // It accepts on one of its listeners only.
    let args = ["-n", "2", "--ready-when", "listening"];
    let _fleet = start(&stage, &args, &["twice:9000", "again:9001", "reuse:9002"]);
    assert_eq!(written(&stage, "twice", 2), [EADDRINUSE; 2]);
    assert_eq!(written(&stage, "again", 2), ["0"; 2], "what is closed may be bound again");
    assert_eq!(written(&stage, "reuse", 2), ["2"; 2], "a program that shares with itself may");
}

/// Not every time: while a listener is put into its group there is a copy of it, for some microseconds.
#[test]
fn a_port_that_is_closed_may_be_bound_at_once() {
    let stage = Stage::new();
    let _fleet = start(&stage, &["-n", "2"], &["move:9000"]);
    let failed: Vec<u32> = written(&stage, "move", 2).iter().map(|said| said.parse().expect("a number")).collect();
    assert!(failed.iter().sum::<u32>() <= 3, "{failed:?} of 500 each");
}

#[test]
fn a_lock_that_all_workers_hold_is_said() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3"], &["lock:47200"]);
    // It is said once, of those that have bound it by then.
    let (port, none) = ("port 47200 is bound in slots ", "and none listens on it");
    let names_two = |said: &str| ["0, 1", "0, 2", "1, 2"].iter().any(|two| said.contains(&format!("{port}{two}")));
    until("it is said", || names_two(&fleet.stderr()) && fleet.stderr().contains(none));
    assert!(fleet.stderr().contains("-p") && fleet.stderr().contains("--own-port 47200"), "{}", fleet.stderr());
    let events = fleet.command("events").output().unwrap();
    assert!(String::from_utf8_lossy(&events.stdout).contains(port));
}

/// As a server whose parent binds, and whose children load the program before they listen.
#[test]
fn a_port_bound_before_loading_is_no_lock() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3"], &["late:4"]);
    assert!(!fleet.stderr().contains("none listens"), "{}", fleet.stderr());
}

#[test]
fn a_lock_on_an_own_port_has_one_holder() {
    for args in [&["-n", "3", "--own-port", "47200"][..], &["-n", "3", "-p", "8080"]] {
        let stage = Stage::new();
        let _fleet = start(&stage, args, &["lock:47200"]);
        let held = written(&stage, "lock", 3);
        assert_eq!(held.iter().filter(|held| *held == "leader").count(), 1, "{args:?}: {held:?}");
    }
}

#[test]
fn own_ports_are_not_shared() {
    let stage = Stage::new();
    let _fleet = start(&stage, &["-n", "3", "--own-port", "9100-9199"], &["next:9100"]);
    let ports: BTreeSet<String> = written(&stage, "next", 3).into_iter().collect();
    assert_eq!(ports, ["9100", "9101", "9102"].map(str::to_owned).into());
}

#[test]
fn own_ports_follow_the_slot_through_a_reload() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3", "-p", "8080", "--own-port", "9229+"], &["own:9229"]);
    assert_eq!(written(&stage, "own", 3), ["9229", "9230", "9231"]);
    (0..3).for_each(|slot| fs::remove_file(stage.path().join(format!("own.{slot}"))).unwrap());
    assert!(fleet.command("reload").status().unwrap().success());
    assert_eq!(written(&stage, "own", 3), ["9229", "9230", "9231"]);
    for port in 9229..9232 {
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
    assert_eq!(fleet.status().groups.len(), 1, "they are not steered");
}

#[test]
fn a_listener_that_an_address_does_not_cover_is_named() {
    let stage = Stage::new();
    let ended = fail(&stage, &["-n", "1", "-p", "127.0.0.1:8080", "--ready-timeout", "10s"], &["serve:0.0.0.0"]);
    assert_eq!(ended.code, Some(4));
    assert_says(&ended.stderr, &["listens on 0.0.0.0:8080, which -p 127.0.0.1:8080 does not cover: use -p 8080"]);
    assert!(!ended.stderr.contains("--ready-timeout, or"), "{}", ended.stderr);
}

#[test]
fn a_port_that_only_one_worker_can_have_is_named() {
    for (step, says) in [
        ("own:9100", &["127.0.0.1:9100", "-p 8080 does not name", "(-p 9100)", "--own-port 9100+"][..]),
        ("udp:9100", &["udp port 9100 is held by pid", "is not shared: name it with -p"]),
    ] {
        let stage = Stage::new();
        let fleet =
            stage.start(&["-n", "2", "-p", "8080", "--respawn", "100ms"], &["python3", &fixture("binds.py"), step]);
        assert_says(&fleet.stderr(), says);
        assert_says(&fleet.stderr(), &["of worker ", "with 1 of 2 workers of python3"]);
    }
}

#[test]
fn a_listener_that_cannot_be_joined_is_tried_again() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"], &[]);
    let limit = |files: usize| {
        let pid = fleet.pid().to_string();
        assert!(
            Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status().unwrap().success()
        );
    };
    // The status needs no descriptor that is not open once it has been asked for.
    // What is open for a moment only does not count.
    let lowest_free = |_| {
        let open = open_files(fleet.pid());
        (0..).find(|number| !open.contains_key(number)).unwrap() as usize
    };
    limit((0..50).map(lowest_free).min().unwrap());
    get("127.0.0.1:8080", "/open/9000");
    until("it is said", || fleet.stderr().contains("not steered so far"));
    limit(1024);
    until("it is steered", || has_group(&fleet, "127.0.0.1:9000", &[0]));
}

#[test]
fn ports_that_are_gone_leave_room_for_others() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"], &[]);
    get("127.0.0.1:8080", "/churn/20000/100");
    get("127.0.0.1:8080", "/open/9000");
    until("it is steered", || has_group(&fleet, "127.0.0.1:9000", &[0]));
    assert!(!fleet.stderr().contains("cannot steer"), "{}", fleet.stderr());
}
