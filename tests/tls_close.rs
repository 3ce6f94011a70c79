//! A server over TLS that closes its socket after the answer, without a goodbye, has answered.

use std::{process::Command, time::Duration};

use crate::harness::{Stage, holds_within, stage::fixture};

const ADDRESS: &str = "127.0.0.1:8080";
const PORT: &str = "8080";

/// Connections, with one request each.
const CONNECTIONS: u64 = 20;

/// What is wrong after this long stays wrong.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn answers_sent_with_the_end_are_no_failures() {
    let stage = Stage::new();
    stage.certify();
    let fleet = stage.start(&["-n", "2"], &["python3", &fixture("tls.py"), PORT, "once", "1.3", "2"]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let asked = Command::new("python3").args([&fixture("tls_client.py"), PORT, &CONNECTIONS.to_string(), "1"]).status();
    assert!(asked.expect("python3").success());
    let mut counts = (0, 0);
    let are_all_answered = || {
        let workers = fleet.status().workers;
        let sum =
            |count: fn(&llb::observe::status::WorkerStatus) -> Option<u64>| workers.iter().filter_map(count).sum();
        counts = (sum(|worker| worker.answered), sum(|worker| worker.failed));
        counts == (CONNECTIONS, 0)
    };
    assert!(holds_within(PATIENCE, are_all_answered), "{counts:?} answered and failed");
}
