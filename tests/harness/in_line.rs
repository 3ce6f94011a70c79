//! What the tests of the line ask of it.

use super::{Client, Fleet, Stage, until};
use llb::observe::status::{LineStatus, Status};

/// Longer than it takes to bring many into the line, on a machine that is busy.
const LONG: &str = "/ms/3000";

pub(crate) fn line(status: &Status) -> LineStatus {
    status.line.clone().expect("a line")
}

/// So many workers, each of which serves one request at a time, at port 8080. Their line is open.
#[track_caller]
pub(crate) fn start_in_line(stage: &Stage, workers: &str) -> Fleet {
    let fleet = stage.start(&["-n", workers, "--concurrency", "1"], &[&stage.static_server(), "8080"]);
    wait_for_line(&fleet);
    fleet
}

/// Has every worker serve a long request.
pub(crate) fn occupy(fleet: &Fleet, address: &str, workers: u64) -> Vec<Client> {
    let ask = |before: u64| {
        let mut client = Client::connect(address);
        client.send_last(LONG);
        // The next one must find it busy.
        until("a worker has it", || fleet.in_flight() > before);
        client
    };
    (0..workers).map(ask).collect()
}

/// The group has its line a tick after the first listener has joined.
pub(crate) fn wait_for_line(fleet: &Fleet) {
    until("a line is open", || fleet.status().line.is_some_and(|line| line.is_open));
}
