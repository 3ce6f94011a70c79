//! A worker that attaches a reuseport program of its own to its listener, and so replaces llb's for the whole port.

use crate::harness::{Client, Fleet, Stage, get, stage::fixture, until};
use llb::kernel::{Outcome, Stage as Selection};

const ADDRESS: &str = "127.0.0.1:8080";

fn start(stage: &Stage) -> Fleet {
    stage.start(&["-n", "4", "-p", "8080"], &["python3", &fixture("binds.py")])
}

/// How many connections have come to the selector.
fn selected(fleet: &Fleet) -> u64 {
    let of_selection = Outcome::ALL.iter().filter(|outcome| outcome.stage() == Selection::Select);
    let status = fleet.status();
    of_selection.map(|outcome| crate::harness::books::count(&status, *outcome)).sum()
}

#[test]
fn a_foreign_reuseport_program_is_replaced() {
    let stage = Stage::new();
    let fleet = start(&stage);
    get(ADDRESS, "/attach");
    let says = "past llb's selector";
    until("it is said", || {
        (0..8).for_each(|_| drop(get(ADDRESS, "/")));
        fleet.stderr().contains(says)
    });
    let before = selected(&fleet);
    (0..20).for_each(|_| drop(get(ADDRESS, "/")));
    assert_eq!(selected(&fleet), before + 20);
    let events = fleet.command("events").output().unwrap();
    assert!(String::from_utf8_lossy(&events.stdout).contains(says));
}

#[test]
fn a_foreign_reuseport_program_loses_no_waiting_connection() {
    let stage = Stage::new();
    let _fleet = start(&stage);
    get(ADDRESS, "/attach");
    // All go to one worker, which stands still.
    let mut stalled = Client::connect(ADDRESS);
    stalled.send_last("/stall/4");
    let mut waiting: Vec<Client> = (0..40).map(|_| Client::connect(ADDRESS)).collect();
    waiting.iter_mut().for_each(|client| client.send_last("/"));
    for client in &mut waiting {
        assert!(client.receive().slot() < 4);
    }
    stalled.receive();
}
