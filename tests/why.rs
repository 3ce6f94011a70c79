//! Why connections go where they go: `llb why`.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Client, Fleet, Stage, get, until};
use llb::internals::clock;
use nix::sys::signal::Signal;
use serde_json::Value;

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 3;

/// For how long choices are noted: enough for a few commands of a slow machine.
const FOR: Duration = Duration::from_secs(2);

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let serve = format!("exec '{}' 8080", stage.static_server());
    let fleet = stage.start(&[&["-n", "3"], args].concat(), &["sh", "-c", &serve]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    fleet
}

fn ask(fleet: &Fleet, args: &[&str]) -> Child {
    let mut why = fleet.command("why");
    why.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the llb binary")
}

/// Makes connections one after the other until it has been told why; returns what it was told.
#[track_caller]
fn told_while_asking(why: Child) -> String {
    // What it says may be more than a pipe holds.
    let why = thread::spawn(|| why.wait_with_output().expect("a child"));
    until("why is told", || {
        get(ADDRESS, "/");
        why.is_finished()
    });
    let output = why.join().expect("a thread");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Keeps a worker busy; returns its slot.
#[track_caller]
fn block(fleet: &Fleet, by: &mut Client) -> u32 {
    by.send_last("/ms/15000");
    let mut blocked = None;
    until("a worker is blocked", || {
        let workers = fleet.status().workers;
        blocked = workers.iter().find(|worker| worker.in_flight == Some(1)).map(|worker| worker.slot);
        blocked.is_some()
    });
    blocked.expect("one is")
}

fn worker(choice: &Value, slot: u32) -> &Value {
    let workers = choice["workers"].as_array().expect("workers");
    workers.iter().find(|worker| worker["slot"] == slot).unwrap_or_else(|| panic!("no slot {slot}: {choice}"))
}

#[test]
fn a_blocked_worker_is_seen_and_passed_over() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let mut client = Client::connect(ADDRESS);
    let blocked = block(&fleet, &mut client);
    let seen: Value =
        serde_json::from_str(&told_while_asking(ask(&fleet, &["--json", "--for", "500ms"]))).expect("JSON");
    let choices = seen["choices"].as_array().expect("choices");
    assert!(!choices.is_empty() && seen["made"].as_u64() >= Some(choices.len() as u64), "{seen}");
    for choice in choices {
        assert_eq!(choice["address"], ADDRESS, "{choice}");
        let busy = worker(choice, blocked);
        assert_ne!(busy["verdict"], "taken", "{choice}");
        assert_eq!(busy["requests"], 1, "{choice}");
        assert!(busy["silent_us"].as_f64() < busy["expected_us"].as_f64(), "{choice}");
        let slot = choice["slot"].as_u64().expect("a slot") as u32;
        assert_eq!(worker(choice, slot)["verdict"], "taken", "{choice}");
    }
    let usual = |choice: &&Value| choice["reason"] == "idle" && worker(choice, blocked)["verdict"] == "busy";
    assert!(choices.iter().any(|choice| usual(&choice)), "{seen}");
    let report = told_while_asking(ask(&fleet, &["--for", "300ms"]));
    assert!(report.contains(&format!("slot {blocked}: busy; 1 request, no answer for ")), "{report}");
    assert_eq!(client.receive().slot(), blocked);
}

#[test]
fn each_policy_says_its_reason() {
    let stage = Stage::new();
    for (args, reason) in [
        (&["--policy", "round-robin"][..], "turn"),
        (&["--policy", "hash"], "hash"),
        (&["--sticky", "source"], "sticky"),
        (&["--concurrency", "1"], "idle"),
    ] {
        let fleet = start(&stage, args);
        // With clients that are remembered the first comes to no slot of its own.
        get(ADDRESS, "/");
        fleet.wait_until_quiet();
        let seen: Value =
            serde_json::from_str(&told_while_asking(ask(&fleet, &["--json", "--for", "200ms"]))).expect("JSON");
        let choices = seen["choices"].as_array().expect("choices");
        assert!(choices.iter().any(|choice| choice["reason"] == reason), "{args:?}: {seen}");
    }
}

#[test]
fn an_asker_that_is_killed_asks_no_more() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let mut why = ask(&fleet, &["--for", "60s"]);
    let code = || ask(&fleet, &["--for", "0s"]).wait().expect("a child").code();
    until("one asks", || {
        // It has come in the moment of the other one, and was refused.
        if why.try_wait().expect("a child").is_some() {
            why = ask(&fleet, &["--for", "60s"]);
        }
        code() == Some(7)
    });
    why.kill().expect("a child");
    why.wait().expect("a child");
    until("another may ask", || code() == Some(0));
    assert_eq!(ask(&fleet, &["--for", "61s"]).wait().expect("a child").code(), Some(7), "that is too long");
}

/// The kernel looks at the clock, also where llb cannot.
#[test]
fn a_master_that_stops_notes_no_longer() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let mut control = UnixStream::connect(fleet.runtime_dir().join(fleet.name()).join("control")).expect("a socket");
    writeln!(control, r#"{{"cmd":"why","for_ms":{}}}"#, FOR.as_millis()).expect("a request");
    until("it is asked", || ask(&fleet, &["--for", "0s"]).wait().expect("a child").code() == Some(7));
    let began = clock::now();
    get(ADDRESS, "/");
    fleet.signal(Signal::SIGSTOP);
    until("twice the time is over", || {
        get(ADDRESS, "/");
        clock::now() > began.after(2 * FOR)
    });
    fleet.signal(Signal::SIGCONT);
    let mut line = String::new();
    BufReader::new(control).read_line(&mut line).expect("an answer");
    let seen: Value = serde_json::from_str(&line).expect("JSON");
    let choices = seen["choices"].as_array().expect("choices");
    assert!(!choices.is_empty(), "{seen}");
    let last = choices.iter().filter_map(|choice| choice["at_ms"].as_f64()).fold(0.0, f64::max);
    assert!(last <= FOR.as_millis() as f64, "{last}");
}
