//! When a worker is ready: it accepts connections, and does not only listen.

use std::{fs, process::Stdio};

use crate::harness::{Fleet, Stage, get, stage::fixture, until};

const ADDRESS: &str = "127.0.0.1:8080";

/// Requests that are made while a reload goes on: enough that one in two would meet the new worker, if it were chosen.
const REQUESTS: usize = 40;

fn launch(stage: &Stage, args: &[&str]) -> Fleet {
    stage.launch(args, &["python3", &fixture("sluggish.py"), "127.0.0.1", "8080"])
}

/// How many workers of `generation` have listened, by the events.
fn listening(fleet: &Fleet, generation: u32) -> usize {
    let events = fleet.command("events").arg("--json").output().expect("the llb binary");
    let events = String::from_utf8_lossy(&events.stdout).into_owned();
    let of = format!("\"generation\":{generation}");
    events.lines().filter(|line| line.contains("\"listening\"") && line.contains(&of)).count()
}

#[test]
fn a_worker_that_only_listens_takes_nothing() {
    let stage = Stage::new();
    let loaded = stage.write("loaded", "");
    let fleet = launch(&stage, &["-n", "2"]);
    fleet.wait_until_serving();
    fs::remove_file(&loaded).unwrap();
    let mut reload = fleet.command("reload").stderr(Stdio::piped()).spawn().expect("the llb binary");
    until("both new ones listen", || listening(&fleet, 2) == 2);
    for _ in 0..REQUESTS {
        assert!(get(ADDRESS, "/").body.ends_with(" 1"), "a new one that has not loaded its code is asked");
    }
    let states: Vec<_> = fleet.status().workers.into_iter().map(|worker| (worker.generation, worker.state)).collect();
    let of = |generation, state: &str| states.iter().filter(|(g, s)| (*g, s.as_str()) == (generation, state)).count();
    assert_eq!((of(1, "serving"), of(2, "starting")), (2, 2), "{states:?}");
    stage.write("loaded", "");
    assert_eq!(reload.wait().unwrap().code(), Some(0));
    assert!(get(ADDRESS, "/").body.ends_with(" 2"));
}

#[test]
fn code_that_fails_after_listening_is_rolled_back() {
    let stage = Stage::new();
    let loaded = stage.write("loaded", "");
    let fleet = launch(&stage, &["-n", "2", "--respawn", "100ms"]);
    fleet.wait_until_serving();
    fs::remove_file(&loaded).unwrap();
    let mut reload = fleet.command("reload").stderr(Stdio::null()).spawn().expect("the llb binary");
    until("both new ones listen", || listening(&fleet, 2) == 2);
    stage.write("broken", "");
    stage.write("loaded", "");
    let mut code = None;
    until("the reload has ended", || {
        assert!(get(ADDRESS, "/").body.ends_with(" 1"));
        code = reload.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(6)));
    assert!(get(ADDRESS, "/").body.ends_with(" 1"));
}

#[test]
fn code_that_fails_after_listening_fails_the_start() {
    let stage = Stage::new();
    stage.write("broken", "");
    stage.write("loaded", "");
    let ended = launch(&stage, &["-n", "2", "--respawn", "50ms"]).wait();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("no module named nosuch"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("llb: serving"), "{}", ended.stderr);
}

#[test]
fn one_that_never_accepts_is_told_from_a_slow_one() {
    let stage = Stage::new();
    let ended = launch(&stage, &["-n", "1", "--ready-timeout", "6s"]).wait();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("--ready-when listening does not ask for that"), "{}", ended.stderr);
    let fleet = launch(&stage, &["-n", "1", "--ready-when", "listening"]);
    fleet.wait_until_serving();
}
