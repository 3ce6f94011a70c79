//! `llb bench-here`: whether llb helps a server of the user's.

use std::{
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

use crate::harness::{Stage, fleet::LLB, stage::fixture};

/// One comparison at a time: each would be the other's bad moment of the machine, and one of them takes half of it.
static MACHINE: Mutex<()> = Mutex::new(());

fn bench(args: &[&str], command: &[&str]) -> Output {
    Command::new(LLB).arg("bench-here").args(args).arg("--").args(command).output().expect("the llb binary")
}

/// The ratio in a row of the report.
#[track_caller]
fn ratio(report: &str, row: &str) -> f64 {
    let line = report.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no {row}: {report}"));
    line.split_whitespace().nth(3).and_then(|ratio| ratio.parse().ok()).unwrap_or_else(|| panic!("{report}"))
}

/// While a worker computes for 200 ms it answers nobody: under the hash one request in ten waits for that.
#[test]
fn a_server_that_computes_at_times_is_helped() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let _stage = Stage::new();
    let output = bench(&["/?ms=200", "-n", "4", "--rate", "100", "--time", "18s"], &["node", &fixture("computes.js")]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(report.contains("4 workers of node, /?ms=200 at 100 requests/s: "), "{report}");
    assert!(report.contains("without an answer: hash 0, llb 0;"), "{report}");
    assert!(ratio(&report, "mean") < 0.9, "{report}");
    eprintln!("{report}");
}

#[test]
fn a_rate_is_found_where_none_is_given() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::new();
    let server = stage.static_server();
    let output = bench(&["/ms/5", "-n", "2", "--time", "18s"], &[&server, "8080"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(report.contains(" (half of what they answer at most): "), "{report}");
    for row in ["mean", "p50", "p90", "p99"] {
        assert!(ratio(&report, row) > 0.0, "{report}");
    }
}

#[test]
fn what_cannot_be_compared_is_said() {
    let stage = Stage::new();
    let server = stage.static_server();
    let short = bench(&["--time", "5s"], &[&server, "8080"]);
    assert_eq!(short.status.code(), Some(1), "{short:?}");
    let said = String::from_utf8_lossy(&short.stderr);
    assert!(said.contains("--time 5s: fewer than 18 s are no comparison"), "{said}");
    let failing = bench(&["--time", "18s"], &["false"]);
    assert_ne!(failing.status.code(), Some(0), "{failing:?}");
}
