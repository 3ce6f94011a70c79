//! Answers that come in parts are finished within the drain time, by a reload and by the end.

use crate::harness::{Client, Fleet, Stage, stage::fixture, until};
use nix::sys::signal::Signal;

const ADDRESS: &str = "127.0.0.1:8080";

/// A fleet of one, and a client who gets `lines`, one each `ms`.
fn streaming(stage: &Stage, args: &[&str], own: Option<&str>, (lines, ms): (u32, u32)) -> (Fleet, Client) {
    let script = fixture("leaving.py");
    let command: Vec<&str> = ["python3", &script, "127.0.0.1", "8080", "0"].into_iter().chain(own).collect();
    let fleet = stage.start(&[&["-n", "1"], args].concat(), &command);
    let mut client = Client::connect(ADDRESS);
    client.send_last(&format!("/stream/{lines}/{ms}"));
    client.await_byte().expect("it begins");
    (fleet, client)
}

#[test]
fn reload_finishes_a_slow_stream() {
    for own in [None, Some("SIGTERM")] {
        let stage = Stage::new();
        let (fleet, mut client) = streaming(&stage, &["--drain-timeout", "6s"], own, (5, 1_000));
        fleet.signal(Signal::SIGHUP);
        assert_eq!(client.receive().body.lines().count(), 5, "{own:?}");
        until("the old one ends", || fleet.status().workers.len() == 1);
    }
}

#[test]
fn reload_finishes_a_quick_stream() {
    let stage = Stage::new();
    let (fleet, mut client) = streaming(&stage, &["--drain-timeout", "3s"], None, (56, 50));
    fleet.signal(Signal::SIGHUP);
    assert_eq!(client.receive().body.lines().count(), 56);
}

#[test]
fn stop_finishes_a_slow_stream() {
    for own in [None, Some("SIGTERM")] {
        let stage = Stage::new();
        let (fleet, mut client) = streaming(&stage, &["--drain-timeout", "8s"], own, (4, 1_000));
        fleet.signal(Signal::SIGTERM);
        assert_eq!(client.receive().body.lines().count(), 4, "{own:?}");
        assert_eq!(fleet.wait().code, Some(0));
    }
}
