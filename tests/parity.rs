//! What users of recluster and least-latency-balancer have, on Node, in their own words.

use std::{collections::BTreeSet, fs, io, net::TcpStream};

use crate::harness::{Fleet, Stage, get, stage::fixture, until};
use llb::{internals::clock, observe::event::Event};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDR: &str = "127.0.0.1:8080";

fn start(stage: &Stage, workers: &str) -> Fleet {
    let args = ["-n", workers, "--ready-when", "ready", "--respawn", "100ms", "--drain-timeout", "2s"];
    stage.start(&args, &["node", &fixture("recluster_worker.js"), "8080"])
}

#[track_caller]
fn events(fleet: &Fleet) -> Vec<Event> {
    let output = fleet.command("events").arg("--json").output().expect("the llb binary");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

fn happened(fleet: &Fleet, event: &str) -> Vec<Event> {
    events(fleet).into_iter().filter(|told| told.event == event).collect()
}

/// The pid of the only worker of a slot; none while there are two.
fn only(fleet: &Fleet, slot: u32) -> Option<u32> {
    let workers = fleet.status().workers;
    let of_slot: Vec<u32> = workers.iter().filter(|worker| worker.slot == slot).map(|worker| worker.pid).collect();
    (of_slot.len() == 1).then(|| of_slot[0])
}

/// `process.send({cmd: 'ready'})`, and `readyWhen: 'ready'`.
#[test]
fn a_worker_is_ready_when_it_says_so() {
    let stage = Stage::new();
    let fleet = start(&stage, "1");
    let told = events(&fleet);
    let at = |event: &str| told.iter().find(|told| told.event == event).map(|told| told.at_ms).expect(event);
    assert!(at("ready") >= at("listening") + 150, "not when it listens, but when it says so: {told:#?}");
    assert_eq!(get(ADDR, "/").slot(), 0);
}

/// `listening online disconnect exit message ready`, and the contract of `{cmd: 'disconnect'}` both ways.
#[test]
fn every_event_of_a_worker_is_told_and_one_that_asks_to_leave_is_replaced_first() {
    let stage = Stage::new();
    let fleet = start(&stage, "1");
    let old = only(&fleet, 0).expect("one worker");
    get(ADDR, "/say").slot();
    get(ADDR, "/leave").slot();
    until("it is replaced", || only(&fleet, 0).is_some_and(|pid| pid != old));
    let told = events(&fleet);
    let of_old: BTreeSet<&str> =
        told.iter().filter(|told| told.pid == Some(old)).map(|told| told.event.as_str()).collect();
    let expected = ["spawned", "listening", "ready", "message", "disconnect", "draining", "exited"];
    assert!(expected.iter().all(|event| of_old.contains(event)), "{told:#?}");
    assert!(told.iter().any(|told| told.event == "message" && told.cause == r#"{"cache":"warm"}"#));
    let place = |event: &str, of_old: bool| {
        told.iter().position(|told| told.event == event && (told.pid == Some(old)) == of_old).expect(event)
    };
    assert!(place("ready", false) < place("draining", true), "the replacement first: {told:#?}");
    assert!(fleet.stdout().contains("worker 0 finishes"), "it was told to finish: {}", fleet.stdout());
}

/// `process.disconnect()` of a worker that has spoken.
#[test]
fn a_closed_channel_is_a_request_to_be_replaced() {
    let stage = Stage::new();
    let fleet = start(&stage, "1");
    let old = only(&fleet, 0).expect("one worker");
    get(ADDR, "/hang-up").slot();
    until("it is replaced", || only(&fleet, 0).is_some_and(|pid| pid != old));
    get(ADDR, "/").slot();
}

/// SIGUSR2: N new ones start, and only when all are ready do the old ones go; broken new code leaves the old ones serving.
#[test]
fn usr2_reloads_and_broken_code_leaves_the_old_ones_serving() {
    let stage = Stage::new();
    let code = fs::read_to_string(fixture("recluster_worker.js")).expect("the fixture");
    let app = stage.write("app.js", &code);
    let args = ["-n", "2", "--ready-when", "ready", "--respawn", "100ms", "--drain-timeout", "2s"];
    let fleet = stage.start(&args, &["node", app.to_str().expect("UTF-8"), "8080"]);
    let old = [only(&fleet, 0), only(&fleet, 1)];

    stage.write("app.js", "throw new Error('broken')");
    fleet.signal(Signal::SIGUSR2);
    until("it is rolled back", || !happened(&fleet, "rolled_back").is_empty());
    until("the new ones are gone", || [only(&fleet, 0), only(&fleet, 1)] == old);
    get(ADDR, "/").slot();

    stage.write("app.js", &code);
    fleet.signal(Signal::SIGUSR2);
    until("the new ones serve", || !happened(&fleet, "reloaded").is_empty());
    let told = events(&fleet);
    let reloaded = told.iter().rposition(|told| told.event == "reloaded").expect("it was");
    let new_ready = told[..reloaded].iter().filter(|told| told.event == "ready" && told.generation == 3).count();
    assert_eq!(new_ready, 2, "all are ready before the old ones go: {told:#?}");
    until("the old ones are gone", || only(&fleet, 0).is_some() && only(&fleet, 1).is_some());
}

/// Where the ancestor let a client hang for ever.
#[test]
fn without_a_worker_a_client_is_refused_at_once() {
    let stage = Stage::new();
    let args = ["-n", "1", "--respawn", "1h", "--backoff", "1h", "--queue-timeout", "0s"];
    let fleet = stage.start(&args, &["node", &fixture("server.js"), "8080"]);
    let pid = Pid::from_raw(only(&fleet, 0).expect("one worker").cast_signed());
    kill(pid, Signal::SIGKILL).expect("a worker");
    until("it is gone", || fleet.status().workers.is_empty());
    let before = clock::now();
    let refused = TcpStream::connect(ADDR).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
    assert!(clock::now().since(before) < 1_000_000_000);
}

/// An empty slot is never chosen, and slots may come and go.
#[test]
fn an_empty_slot_is_never_chosen() {
    let stage = Stage::new();
    let fleet = start(&stage, "3");
    assert!(fleet.command("drain").arg("1").status().expect("llb").success());
    let slots: BTreeSet<u32> = (0..60).map(|_| get(ADDR, "/").slot()).collect();
    assert_eq!(slots, BTreeSet::from([0, 2]));
    assert!(fleet.command("restart").arg("1").status().expect("llb").success());
    until("it is chosen again", || get(ADDR, "/").slot() == 1);
}
