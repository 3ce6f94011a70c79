//! What the books count of each kind of connection, step by step: `open`, `in_flight`, `answered` and `failed` of
//! `llb status --json`.

use std::time::Duration;

use crate::harness::{
    Client, Far, Fleet, Stage,
    balance::assert_balanced,
    books::count,
    far::NEAR,
    holds_within,
    http::{self, begin, reset},
    stage::fixture,
    stopped::Stopped,
    until,
};
use llb_common::outcome::Outcome;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const HTTP: &str = "127.0.0.1:8080";
const SPEAKS_FIRST: &str = "127.0.0.1:8081";
const CLOSES_AT_ONCE: &str = "127.0.0.1:8082";

/// The listeners of the fixture.
const LISTENING: [&str; 6] =
    ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "[::1]:8080", "[::1]:8081", "[::1]:8082"];

/// What is wrong after this long stays wrong: packets and the worker take milliseconds, on a bad machine some hundred.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one worker's books say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    open: u64,
    in_flight: u64,
    answered: u64,
    failed: u64,
}

const fn books(open: u64, in_flight: u64, answered: u64, failed: u64) -> Books {
    Books { open, in_flight, answered, failed }
}

#[test]
fn a_connection_that_is_kept_alive() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    assert_books(&fleet, "connected", books(1, 0, 0, 0));
    for answered in 1..=3 {
        client.send("/");
        client.receive().slot();
        assert_books(&fleet, "idle between requests", books(1, 0, answered, 0));
    }
    client.send("/wait/300");
    assert_books(&fleet, "in a request", books(1, 1, 3, 0));
    client.receive().slot();
    drop(client);
    assert_books(&fleet, "closed", books(0, 0, 4, 0));
}

#[test]
fn connections_that_never_send() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let clients: Vec<Client> = (0..5).map(|_| Client::connect(HTTP)).collect();
    assert_books(&fleet, "connected", books(5, 0, 0, 0));
    drop(clients);
    assert_books(&fleet, "closed", books(0, 0, 0, 0));
}

#[test]
fn half_closed_connections() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.send("/wait/300");
    client.shut_down_sending();
    assert_books(&fleet, "half-closed with a request", books(1, 1, 0, 0));
    client.receive().slot();
    assert!(client.is_closed());
    assert_books(&fleet, "answered, and closed by the worker", books(0, 0, 1, 0));

    let mut client = Client::connect(HTTP);
    client.shut_down_sending();
    assert!(client.is_closed());
    assert_books(&fleet, "half-closed without a request", books(0, 0, 1, 0));
}

/// It looks like a half-closed connection until its worker notices, and closes as well. The worker has not failed: the
/// client has closed before it.
#[test]
fn a_client_that_gives_up_is_no_failure() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.write("POST /upload HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf of it");
    assert_books(&fleet, "in an upload", books(1, 1, 0, 0));
    drop(client);
    assert_books(&fleet, "closed by the client", books(0, 0, 0, 0));
}

#[test]
fn resets_by_the_client() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let client = Client::connect(HTTP);
    assert_books(&fleet, "connected", books(1, 0, 0, 0));
    reset(client);
    assert_books(&fleet, "reset before the first byte", books(0, 0, 0, 0));

    let mut client = Client::connect(HTTP);
    client.send("/wait/60000");
    assert_books(&fleet, "in a request", books(1, 1, 0, 0));
    reset(client);
    assert_books(&fleet, "reset in a request", books(0, 0, 0, 0));

    let mut client = Client::connect(HTTP);
    client.write("POST /upload HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf of it");
    assert_books(&fleet, "in an upload", books(1, 1, 0, 0));
    reset(client);
    assert_books(&fleet, "reset in an upload", books(0, 0, 0, 0));

    let mut client = Client::connect(HTTP);
    client.send("/");
    client.receive().slot();
    assert_books(&fleet, "answered", books(1, 0, 1, 0));
    reset(client);
    assert_books(&fleet, "reset after the answer", books(0, 0, 1, 0));
}

#[test]
fn an_upload_counts_until_its_answer() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.write("POST /upload HTTP/1.1\r\nContent-Length: 300000\r\n\r\n");
    assert_books(&fleet, "begun", books(1, 1, 0, 0));
    let third = "x".repeat(100_000);
    for _ in 0..2 {
        client.write(&third);
        assert_books(&fleet, "under way", books(1, 1, 0, 0));
    }
    client.write(&third);
    client.receive().slot();
    assert_books(&fleet, "answered", books(1, 0, 1, 0));
    drop(client);
    assert_books(&fleet, "closed", books(0, 0, 1, 0));
}

#[test]
fn an_answer_before_the_end_of_its_request() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.write("POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf.");
    client.receive().slot();
    assert_books(&fleet, "answered", books(1, 0, 1, 0));
    client.write("half.");
    client.send("/");
    client.receive().slot();
    assert_books(&fleet, "the rest is no request", books(1, 0, 2, 0));
    drop(client);
    assert_books(&fleet, "closed", books(0, 0, 2, 0));

    let mut client = Client::connect(HTTP);
    client.write("POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf.");
    client.receive().slot();
    client.write("hal");
    reset(client);
    assert_books(&fleet, "nor is a part of it", books(0, 0, 3, 0));

    let mut client = Client::connect(HTTP);
    client.write("POST /last-early HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf.");
    client.receive().slot();
    client.write("half.");
    assert!(client.is_closed());
    assert_books(&fleet, "whose end would be a failure", books(0, 0, 4, 0));
}

#[test]
fn a_worker_that_speaks_first_answers_at_once() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(SPEAKS_FIRST);
    assert_eq!(client.line().expect("a greeting"), "hello");
    assert_books(&fleet, "greeted", books(1, 0, 1, 0));
    client.write("how are you?\n");
    client.line().expect("a line");
    assert_books(&fleet, "talking", books(1, 0, 2, 0));
    drop(client);
    assert_books(&fleet, "closed", books(0, 0, 2, 0));
}

/// Its bytes come before there is a socket of its own: with the last packet of the handshake, as a client sends it that
/// has something to say by then.
#[test]
fn a_request_that_completes_the_handshake() {
    let stage = Stage::new();
    let far = Far::distant(Duration::from_millis(20));
    let server = stage.faulty_server();
    let fleet = stage.start(&["-n", "1"], &[&server, "0.0.0.0", "8080", "0"]);
    fleet.wait_for_groups(&["0.0.0.0:8080"], 1);
    for answered in 0..3 {
        let mut client = far.run(|| {
            let mut client = begin(&format!("{NEAR}:8080"));
            client.send_last("/ms/500");
            client
        });
        assert_books(&fleet, "in a request", books(1, 1, answered, 0));
        client.receive().slot();
        drop(client);
        assert_books(&fleet, "closed", books(0, 0, answered + 1, 0));
    }
}

/// The kernel drops the handshake's last packet, and the request completes it.
#[test]
fn a_worker_that_defers_its_accept() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &["python3", &fixture("listeners.py"), "127.0.0.1@8080@defer"]);
    fleet.wait_for_groups(&[HTTP], 1);
    for answered in 0..3 {
        let mut client = Client::connect(HTTP);
        client.write("GET / HTTP/1.1\r\n");
        assert_books(&fleet, "in a request", books(1, 1, answered, 0));
        client.write("\r\n");
        client.receive().slot();
        drop(client);
        assert_books(&fleet, "closed", books(0, 0, answered + 1, 0));
    }
}

/// Several requests in one packet have one first byte: the books see one request at least, and none that stays.
#[test]
fn pipelined_requests() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.write(&"GET /wait/50 HTTP/1.1\r\n\r\n".repeat(3));
    for _ in 0..3 {
        client.receive().slot();
    }
    let worker = fleet.worker(0);
    let answered = worker.answered.expect("what the kernel counts");
    assert!((1..=3).contains(&answered), "{worker:?}");
    assert_books(&fleet, "answered", books(1, 0, answered, 0));
    drop(client);
    assert_books(&fleet, "closed", books(0, 0, answered, 0));
}

#[test]
fn a_close_without_an_answer_is_a_failure() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.send("/");
    client.receive().slot();
    client.send("/close");
    assert!(client.is_closed());
    assert_books(&fleet, "closed by the worker in a request", books(0, 0, 1, 1));
}

#[test]
fn a_reset_by_the_worker_is_a_failure() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(HTTP);
    client.send("/reset");
    assert!(client.try_receive().is_err());
    assert_books(&fleet, "reset by the worker in a request", books(0, 0, 0, 1));
}

#[test]
fn a_close_before_the_first_byte_is_a_failure() {
    let stage = Stage::new();
    let fleet = start(&stage, 1);
    let mut client = Client::connect(CLOSES_AT_ONCE);
    assert!(client.is_closed());
    drop(client);
    assert_books(&fleet, "closed by the worker at once", books(0, 0, 0, 1));
}

/// One of each kind waits on a worker that dies, one of each on the one that stays; in the end that one has all.
#[test]
fn waiting_connections_take_their_books_along() {
    let stage = Stage::new();
    let fleet = start_with(&stage, 2, &["--policy", "round-robin"]);
    let pids = [fleet.worker(0).pid, fleet.worker(1).pid].map(|pid| Pid::from_raw(pid.cast_signed()));
    let [_dies, stays] = pids.map(Stopped::stop);
    let pair = || [Client::connect(HTTP), Client::connect(HTTP)];
    let mut silent = pair();
    let mut asking = pair();
    let mut half_closed = pair();
    for client in asking.iter_mut().chain(&mut half_closed) {
        client.send("/wait/500");
    }
    half_closed.iter_mut().for_each(Client::shut_down_sending);
    let [reset, mut reset_in_request, speaking] = [pair(), pair(), [SPEAKS_FIRST; 2].map(Client::connect)];
    reset_in_request.iter_mut().for_each(|client| client.send("/"));
    for slot in 0..2 {
        until("a half waits on each", || (fleet.worker(slot).open, fleet.worker(slot).in_flight) == (Some(6), Some(3)));
    }

    kill(pids[0], Signal::SIGKILL).expect("a worker");
    until("it is dead", || fleet.status().workers.iter().all(|worker| worker.pid != pids[0].as_raw().unsigned_abs()));
    reset.into_iter().chain(reset_in_request).for_each(http::reset);
    drop(stays);
    for client in asking.iter_mut().chain(&mut half_closed) {
        client.receive().slot();
    }
    for client in &mut silent {
        client.send("/");
        client.receive().slot();
    }
    drop((silent, asking, half_closed, speaking));
    fleet.wait_until_quiet();
    let status = fleet.status();
    let answered: u64 = status.workers.iter().filter_map(|worker| worker.answered).sum();
    // Those that the hash has moved stay in the dead one's books; those that were reset may have been answered before.
    let least = 8 - count(&status, Outcome::MigratedByHash);
    assert!((least..=10).contains(&answered), "{answered} were answered: {status:#?}");
    assert_balanced(&fleet, HTTP);
}

#[track_caller]
fn start(stage: &Stage, slots: u32) -> Fleet {
    start_with(stage, slots, &[])
}

#[track_caller]
fn start_with(stage: &Stage, slots: u32, args: &[&str]) -> Fleet {
    let slots_arg = slots.to_string();
    let fleet = stage.start(&[&["-n", &slots_arg], args].concat(), &["python3", &fixture("kinds.py"), "8080"]);
    fleet.wait_for_groups(&LISTENING, slots);
    fleet
}

/// Waits until the only worker's books say so: the last packets of a step may still be on their way.
#[track_caller]
fn assert_books(fleet: &Fleet, step: &str, expected: Books) {
    let mut found = None;
    let holds = holds_within(PATIENCE, || {
        let worker = fleet.worker(0);
        let counted = (worker.open, worker.in_flight, worker.answered, worker.failed);
        let (Some(open), Some(in_flight), Some(answered), Some(failed)) = counted else { return false };
        found = Some(books(open, in_flight, answered, failed));
        found == Some(expected)
    });
    assert!(holds, "{step}: expected {expected:?}, found {found:?}");
}
