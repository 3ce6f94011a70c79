//! docs/migrating.md: a worker of least-latency-balancer before its diff and after it, both under llb.

use std::{collections::BTreeSet, fs, path::Path};

use crate::harness::{
    Fleet, Launcher, Stage,
    example::{ADDR, path},
    get, until,
};
use nix::sys::signal::Signal;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/migrating.md");

/// The second diff of the page, that of server.js: its text before, and after.
fn diff() -> (String, String) {
    let page = fs::read_to_string(PAGE).expect("the page");
    let diff = page.split("```diff\n").nth(2).and_then(|rest| rest.split("```").next()).expect("two diffs");
    let side = |other: char| -> String {
        // A line that is empty in both is written without its space.
        diff.lines()
            .filter(|line| !line.starts_with(other))
            .map(|line| format!("{}\n", line.get(1..).unwrap_or("")))
            .collect()
    };
    (side('+'), side('-'))
}

/// The command in the first line of the server after the diff, run where `server.js` lies.
fn run(stage: &Stage) -> Fleet {
    let (_, after) = diff();
    let command =
        after.lines().next().and_then(|line| line.strip_prefix("// PORT=8080 sudo -E llb run ")).expect("a command");
    let (args, server) = command.split_once(" -- ").expect("a command line");
    assert_eq!(server, "node server.js");
    let args: Vec<&str> = args.split(' ').collect();
    let by = Launcher { env: vec![("PORT".to_owned(), "8080".to_owned())], ..Launcher::default() };
    stage.start_by(&by, &args, &["node", stage.path().join("server.js").to_str().expect("UTF-8")])
}

fn serves_and_is_reloaded(fleet: Fleet) {
    let slots = || -> BTreeSet<String> { (0..64).map(|_| get(ADDR, "/").body).collect() };
    let all: BTreeSet<String> = (0..4).map(|slot| format!("worker {slot}\n")).collect();
    until("each worker has answered", || slots() == all);
    fleet.signal(Signal::SIGUSR2);
    until("the new generation serves alone", || {
        let workers = fleet.status().workers;
        workers.len() == 4 && workers.iter().all(|worker| (worker.generation, worker.state.as_str()) == (2, "serving"))
    });
    let reports = |kind: &str| fleet.status().workers.iter().all(|worker| worker.reports.contains_key(kind));
    assert!(reports("ready"));
    until("each has answered a ping", || reports("pong"));
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn the_server_that_the_diff_leads_to_is_the_example_and_runs_by_its_first_line() {
    let (_, after) = diff();
    assert_eq!(after, fs::read_to_string(path("node/server.js")).expect("the example"));
    let stage = Stage::new();
    stage.write("server.js", &after);
    copy_llb_js(&stage.write("llb.js", ""));
    serves_and_is_reloaded(run(&stage));
}

#[test]
fn the_server_before_the_diff_runs_unchanged_with_llb_js_in_the_modules_place() {
    let (before, after) = diff();
    assert!(before.contains("require('least-latency-balancer')") && !after.contains("least-latency-balancer"));
    let stage = Stage::new();
    stage.write("server.js", &before);
    copy_llb_js(&stage.write("node_modules/least-latency-balancer.js", ""));
    serves_and_is_reloaded(run(&stage));
}

fn copy_llb_js(to: &Path) {
    fs::copy(path("node/llb.js"), to).expect("a file in the test's directory");
}
