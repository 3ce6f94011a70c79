//! Workers that are asked over HTTP whether they are ready.

use std::{fs, process::Stdio};

use crate::harness::{Fleet, Stage, get, stage::fixture, until};

const ADDRESS: &str = "127.0.0.1:8080";

/// Requests that clients make while the new workers are not ready.
const REQUESTS: u64 = 40;

fn launch(stage: &Stage, address: &str, args: &[&str]) -> Fleet {
    let args = [&["-n", "2", "--ready-check", "/health"], args].concat();
    stage.launch(&args, &["python3", &fixture("sick.py"), address, "8080"])
}

/// What a worker was asked for.
fn asked(stage: &Stage, slot: u32, generation: u32) -> Vec<String> {
    let text = fs::read_to_string(stage.path().join(format!("asked.{slot}.{generation}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn new_code_that_answers_503_takes_nothing() {
    let stage = Stage::new();
    let healthy = stage.write("healthy", "");
    let fleet = launch(&stage, "127.0.0.1", &[]);
    fleet.wait_until_serving();
    fleet.wait_for_groups(&[ADDRESS], 2);
    let before = fleet.status();
    let nothing =
        before.workers.iter().all(|worker| (worker.chosen, worker.answered, worker.open) == (0, Some(0), Some(0)));
    assert!(before.connections == 0 && nothing, "the questions count nowhere: {before:?}");
    fs::remove_file(&healthy).expect("a file of our own");
    let mut reload = fleet.command("reload").stderr(Stdio::null()).spawn().expect("the llb binary");
    until("both new ones are asked again and again", || (0..2).all(|slot| asked(&stage, slot, 2).len() > 2));
    for _ in 0..REQUESTS {
        let answer = get(ADDRESS, "/");
        assert!(answer.body.ends_with(" 1"), "a new one is given a client's connection");
    }
    for slot in 0..2 {
        let asked = asked(&stage, slot, 2);
        assert!(asked.iter().all(|path| path == "/health"), "{asked:?}");
    }
    let status = fleet.status();
    let new = status.workers.iter().filter(|worker| worker.generation == 2);
    assert!(new.clone().count() == 2 && new.clone().all(|worker| worker.state == "starting"), "{status:?}");
    assert_eq!(status.connections, REQUESTS);
    stage.write("healthy", "");
    assert_eq!(reload.wait().expect("a child").code(), Some(0));
    assert!(get(ADDRESS, "/").body.ends_with(" 2"));
    until("all is counted", || {
        let workers = fleet.status().workers;
        workers.iter().filter(|worker| worker.generation == 2).map(|worker| worker.answered).sum::<Option<u64>>()
            == Some(1)
    });
}

#[test]
fn each_worker_is_asked_for_itself() {
    for (address, loopback) in [("0.0.0.0", "127.0.0.1:8080"), ("::", "[::1]:8080")] {
        let stage = Stage::new();
        stage.write("healthy.0", "");
        let fleet = launch(&stage, address, &[]);
        until("the sick one has been asked many times", || asked(&stage, 1, 1).len() > 8);
        let states = || fleet.status().workers.into_iter().map(|worker| worker.state).collect::<Vec<String>>();
        until("the healthy one serves alone", || states() == ["serving", "starting"]);
        assert_eq!(asked(&stage, 0, 1), ["/health"], "once, and nobody else's question came there");
        (0..20).for_each(|_| assert_eq!(get(loopback, "/").body, "0 1"));
        stage.write("healthy.1", "");
        fleet.wait_until_serving();
        until("the other one serves", || get(loopback, "/").body == "1 1");
    }
}

#[test]
fn one_that_stays_sick_fails_the_start() {
    let stage = Stage::new();
    let ended = launch(&stage, "127.0.0.1", &["--ready-timeout", "8s"]).wait();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("asked for /health (--ready-check), 127.0.0.1:8080 answers 503"), "{}", ended.stderr);
}
