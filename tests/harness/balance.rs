//! Whether the books are at zero when all is over.

use std::time::Duration;

use super::{Client, Fleet, holds_within};

/// Wrong books stay wrong; right ones need no longer than packets and workers do.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than anybody needs for every worker to get one, as those that hold one look worse from moment to moment.
const HELD_MAX: usize = 500;

/// Asserts that when all clients have closed, every worker's books say so: exactly, and not because what is shown ends at
/// zero. Books below zero would swallow what comes next, so every worker is given a request, and each of these must
/// be seen.
#[track_caller]
pub(crate) fn assert_balanced(fleet: &Fleet, address: &str) {
    let sums = || {
        let workers = fleet.status().workers;
        (workers.iter().filter_map(|w| w.open).sum::<u64>(), workers.iter().filter_map(|w| w.in_flight).sum::<u64>())
    };
    let quiet = holds_within(PATIENCE, || sums() == (0, 0));
    assert!(quiet, "all clients have closed: {:#?}", fleet.status());

    let mut held: Vec<Client> = Vec::new();
    while fleet.status().workers.iter().any(|worker| worker.open == Some(0)) {
        let mut client = Client::connect(address);
        client.write("GET / HTTP/1.1\r\nHost: test\r\n");
        held.push(client);
        let count = held.len() as u64;
        let seen = holds_within(PATIENCE, || sums() == (count, count));
        assert!(seen && held.len() < HELD_MAX, "{count} clients hold a request each: {:#?}", fleet.status());
    }
    // All before the first answer: where one waits behind another is not known, as connections may have been moved.
    held.iter_mut().for_each(|client| client.write("Connection: close\r\n\r\n"));
    for client in &mut held {
        client.receive().slot();
    }
    drop(held);
    let quiet = holds_within(PATIENCE, || sums() == (0, 0));
    assert!(quiet, "all clients have closed: {:#?}", fleet.status());
}
