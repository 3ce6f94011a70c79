//! When a worker is ready that listens on several ports.

use std::process::Stdio;

use crate::harness::{Stage, get, stage::fixture, until};

const ADDRESS: &str = "127.0.0.1:8080";
const OTHER: &str = "127.0.0.1:8081";

/// A quarter of it is long for a thread of Python's to come to wait.
const ARGS: [&str; 4] = ["-n", "2", "--ready-timeout", "12s"];

fn command() -> [String; 5] {
    ["python3", &fixture("two_ports.py"), "127.0.0.1", "8080", "8081"].map(str::to_owned)
}

#[test]
fn one_port_that_accepts_is_enough_for_a_start() {
    let stage = Stage::new();
    stage.write("deaf", "");
    let command = command();
    let fleet = stage.start(&ARGS, &command.each_ref().map(String::as_str));
    assert!(get(ADDRESS, "/").body.ends_with(" 1"));
    // It is known of the program by now.
    let reload = fleet.command("reload").stderr(Stdio::null()).status().expect("the llb binary");
    assert_eq!(reload.code(), Some(0));
    assert!(get(ADDRESS, "/").body.ends_with(" 2"));
    let events = fleet.command("events").output().expect("the llb binary").stdout;
    assert!(String::from_utf8_lossy(&events).contains(&format!("for none at {OTHER}")));
}

#[test]
fn port_where_elders_accept_is_not_given_up() {
    let stage = Stage::new();
    let command = command();
    let fleet = stage.start(&ARGS, &command.each_ref().map(String::as_str));
    fleet.wait_for_groups(&[ADDRESS, OTHER], 2);
    stage.write("deaf", "");
    let mut reload = fleet.command("reload").stderr(Stdio::null()).spawn().expect("the llb binary");
    let mut code = None;
    until("the reload has ended", || {
        assert!(get(OTHER, "/").body.ends_with(" 1") && get(ADDRESS, "/").body.ends_with(" 1"));
        code = reload.try_wait().expect("a child").map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(6)), "rolled back");
    assert!(get(OTHER, "/").body.ends_with(" 1"));
}
