//! What the tests of the line ask of it.

use super::{Client, Fleet, until};
use llb::observe::status::{LineStatus, Status};

/// Longer than it takes to bring many into the line, on a machine that is busy.
const LONG: &str = "/ms/3000";

pub(crate) fn line(status: &Status) -> LineStatus {
    status.line.clone().expect("a line")
}

/// Has every worker serve a long request.
pub(crate) fn occupy(fleet: &Fleet, address: &str, workers: u64) -> Vec<Client> {
    let ask = |before: u64| {
        let mut client = Client::connect(address);
        client.send_last(LONG);
        // The next one must find it busy.
        until("a worker has it", || in_flight(&fleet.status()) > before);
        client
    };
    (0..workers).map(ask).collect()
}

pub(crate) fn in_flight(status: &Status) -> u64 {
    status.workers.iter().filter_map(|worker| worker.in_flight).sum()
}

/// The group has its line a tick after the first listener has joined.
pub(crate) fn wait_for_line(fleet: &Fleet) {
    until("a line is open", || fleet.status().line.is_some_and(|line| line.is_open));
}
