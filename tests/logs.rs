//! llb's own log (`--log-format`), and the codes of its events.

use std::{collections::BTreeSet, fs, path::Path};

use crate::harness::{Fleet, Stage, get, stage::fixture, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const ADDRESS: &str = "127.0.0.1:8080";

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    stage.launch(&[&["-n", "2", "--respawn", "1ms"], args].concat(), &["node", &fixture("server.js"), "8080"])
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("a file of the project")
}

/// Every line of a log, which are objects of JSON all.
#[track_caller]
fn entries(stderr: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stderr.lines().map(parse).collect()
}

/// The codes that `docs/events.md` explains: in its tables' first column.
fn documented() -> BTreeSet<String> {
    let page = read("docs/events.md");
    // Fields of the journal are explained there as well.
    let codes = page.split("\n## In the systemd journal").next().expect("a page");
    let rows = codes.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn each_line_is_json_with_a_code() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--log-format", "json"]);
    until("it is up", || fleet.stderr().contains("\"event\":\"up\""));
    get(ADDRESS, "/");
    let victim = fleet.worker(1).pid;
    kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).expect("a worker");
    until("it is told", || fleet.stderr().contains("SIGKILL"));
    let ended = fleet.stop();
    let entries = entries(&ended.stderr);
    let codes: BTreeSet<&str> = entries.iter().map(|entry| entry["event"].as_str().expect("a code")).collect();
    for code in ["spawned", "listening", "ready", "up", "exited", "ending", "down", "log"] {
        assert!(codes.contains(code), "no {code} among {codes:?}");
    }
    for entry in &entries {
        let time = entry["time"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000Z".len(), "{entry}");
        assert!(["error", "warn", "info"].contains(&entry["level"].as_str().expect("a level")), "{entry}");
        assert!(entry["message"].is_string(), "{entry}");
    }
    let exited = entries.iter().find(|entry| entry["event"] == "exited" && entry["pid"] == victim).expect("an exit");
    assert_eq!((exited["slot"].as_u64(), exited["generation"].as_u64()), (Some(1), Some(1)), "{exited}");
    let slots = entries.iter().map(|entry| &entry["slot"]);
    assert!(slots.clone().all(|slot| slot.is_null() || slot.is_u64()), "{:?}", slots.collect::<Vec<_>>());
    assert!(exited["message"].as_str().expect("a cause").contains("SIGKILL"), "{exited}");
    let unknown: Vec<&&str> = codes.iter().filter(|code| !documented().contains(**code)).collect();
    assert!(unknown.is_empty(), "docs/events.md does not explain {unknown:?}");
}

#[test]
fn what_ends_llb_is_fatal_in_json() {
    let stage = Stage::new();
    let ended = stage.launch(&["--log-format", "json", "-n", "1"], &["false"]).wait();
    let entries = entries(&ended.stderr);
    let last = entries.last().expect("a line");
    assert_eq!((last["event"].as_str(), last["level"].as_str()), (Some("fatal"), Some("error")), "{}", ended.stderr);
    assert!(last["message"].as_str().expect("words").contains("exited with code 1"), "{last}");
}

#[test]
fn people_get_words_unless_asked_otherwise() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    fleet.wait_until_serving();
    let ended = fleet.stop();
    assert!(ended.stderr.starts_with("llb: serving "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("\"event\""), "{}", ended.stderr);
}

#[test]
fn every_event_code_is_explained() {
    let source = read("llb-userspace/src/fleet/note.rs");
    let arms = source.lines().filter(|line| line.trim_start().starts_with("Kind::"));
    let codes = arms.filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    let mut codes: BTreeSet<String> = codes.map(str::to_owned).collect();
    assert!(codes.len() > 20, "{codes:?}");
    // What is none of the fleet's.
    codes.extend(["log", "fatal"].map(str::to_owned));
    assert_eq!(documented(), codes, "docs/events.md and the code differ");
}
