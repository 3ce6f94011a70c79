//! What the books make of real programs' bytes: TLS, HTTP/2, upgrades, one-way streams, and segments that say nothing new.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Client, Fleet, Stage, example::go_program, holds_within, stage::fixture};
use llb::observe::status::Status;

const ADDRESS: &str = "127.0.0.1:8080";
const PORT: &str = "8080";

/// Connections and requests of a client that speaks TLS.
const CONNECTIONS: u64 = 6;
const REQUESTS: u64 = 4;

/// What the servers take for an answer, us; a timer may be a little early.
const ANSWER_US: f64 = 19_000.0;

/// What is wrong after this long stays wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open connections, requests in flight, answers and failures of all workers.
fn counts(status: &Status) -> [u64; 4] {
    let sum = |count: fn(&llb::observe::status::WorkerStatus) -> Option<u64>| {
        status.workers.iter().map(|worker| count(worker).expect("what the kernel counts")).sum()
    };
    [sum(|of| of.open), sum(|of| of.in_flight), sum(|of| of.answered), sum(|of| of.failed)]
}

/// Waits until the books say so: the last packets of a step may still be on their way.
#[track_caller]
fn assert_counts(fleet: &Fleet, step: &str, expected: [u64; 4]) {
    let mut found = None;
    let holds = holds_within(PATIENCE, || {
        found = Some(counts(&fleet.status()));
        found == Some(expected)
    });
    assert!(holds, "{step}: expected {expected:?}, found {found:?}");
}

/// A process that talks until its standard input ends, and says in a line when it may be looked at.
struct Talker(Child);

impl Talker {
    #[track_caller]
    fn start(command: &[&str], line: &str) -> Self {
        let mut talker = Command::new(command[0]);
        let mut talker =
            talker.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a client");
        let mut said = String::new();
        let stdout = talker.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).read_line(&mut said).expect("its word");
        assert_eq!(said.trim_end(), line);
        Talker(talker)
    }

    #[track_caller]
    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("a child").success());
    }
}

#[test]
fn old_segments_begin_no_request() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &["node", &fixture("server.js"), PORT]);
    fleet.wait_for_groups(&["[::]:8080"], 1);
    let talker = Talker::start(&["python3", &fixture("oldseg.py"), "tun0", "10.8.0.2", "10.8.0.1", PORT], "probed");
    assert_counts(&fleet, "answered, and asked the same again", [1, 0, 1, 0]);
    talker.end();
    assert_counts(&fleet, "closed", [0, 0, 1, 0]);
}

#[test]
fn tls_1_2_counts_requests_only() {
    assert_tls(&["python3", &fixture("tls.py"), PORT, "blocking", "1.2", "2"]);
}

#[test]
fn tls_1_3_counts_requests_only() {
    assert_tls(&["python3", &fixture("tls.py"), PORT, "blocking", "1.3", "2"]);
}

#[test]
fn tls_1_3_without_tickets_counts_requests() {
    assert_tls(&["python3", &fixture("tls.py"), PORT, "blocking", "1.3", "0"]);
}

#[test]
fn tls_1_3_in_asyncio_counts_requests() {
    assert_tls(&["python3", &fixture("tls.py"), PORT, "asyncio", "1.3", "2"]);
}

#[test]
fn tls_1_3_in_node_counts_requests() {
    assert_tls(&["node", &fixture("tls.js"), PORT]);
}

/// No handshake, ticket or goodbye counts as a request, an answer or a failure, and no answer is faster than it was.
#[track_caller]
fn assert_tls(command: &[&str]) {
    let stage = Stage::new();
    stage.certify();

    let fleet = stage.start(&["-n", "2"], command);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let (connections, requests) = (CONNECTIONS.to_string(), REQUESTS.to_string());
    let asked = Command::new("python3").args([&fixture("tls_client.py"), PORT, &connections, &requests]).status();
    assert!(asked.expect("python3").success());
    assert_counts(&fleet, "all answered and closed", [0, 0, CONNECTIONS * REQUESTS, 0]);
    for worker in fleet.status().workers {
        let latencies = worker.latency_histogram.expect("what the kernel counts");
        assert!(latencies.iter().all(|(end, _)| *end >= ANSWER_US), "{latencies:?}");
    }
}

#[test]
fn tls_handshakes_that_wait_are_in_flight() {
    let stage = Stage::new();
    stage.certify();
    let fleet = stage.start(&["-n", "4"], &["python3", &fixture("tls.py"), PORT, "serial", "1.3", "2"]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    let talker = Talker::start(&["python3", &fixture("handshakes.py"), PORT, "12", "hello"], "asked");
    assert_counts(&fleet, "each waits for a worker", [12, 12, 0, 0]);
    let each: Vec<_> = fleet.status().workers.iter().map(|worker| worker.in_flight).collect();
    assert_eq!(each, [Some(3); 4], "nobody waits behind more than others do");
    talker.end();
    assert_counts(&fleet, "given up by their clients", [0, 0, 0, 0]);
}

#[test]
fn tls_connections_that_ask_nothing_hold_no_request() {
    for version in ["1.2", "1.3"] {
        let stage = Stage::new();
        stage.certify();
        let fleet = stage.start(&["-n", "2"], &["python3", &fixture("tls.py"), PORT, "blocking", version, "2"]);
        fleet.wait_for_groups(&[ADDRESS], 2);
        let talker = Talker::start(&["python3", &fixture("handshakes.py"), PORT, "4", "whole"], "asked");
        assert_counts(&fleet, "open", [4, 0, 0, 0]);
        talker.end();
        assert_counts(&fleet, "closed", [0, 0, 0, 0]);
    }
}

#[test]
fn http2_counts_streams() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &["node", &fixture("h2.js"), "serve", PORT]);
    fleet.wait_for_groups(&[ADDRESS], 1);
    let talker = Talker::start(&["node", &fixture("h2.js"), "ask", PORT], "asked");
    // One, three together, a stream and a large one; another was cancelled.
    assert_counts(&fleet, "all answered or cancelled", [1, 0, 6, 0]);
    talker.end();
    assert_counts(&fleet, "closed", [0, 0, 6, 0]);
}

/// Nobody sees which of a connection's requests is answered in TLS, so none but the first is timed: one that begins as another is
/// answered would seem to take nothing. The server's settings are no answer.
#[test]
fn http2_in_tls_is_timed_once_a_connection() {
    let stage = Stage::new();
    stage.certify();
    let go = go_program(&stage, &fixture("tls.go"));
    for server in [vec!["node", &fixture("h2.js"), "serve-tls", PORT], vec![&go, PORT]] {
        let fleet = stage.start(&["-n", "4"], &server);
        fleet.wait_for_groups(&[ADDRESS], 4);
        let talker = Talker::start(&["node", &fixture("h2.js"), "ask-tls", PORT], "asked");
        let workers = fleet.status().workers;
        for worker in &workers {
            // On a busy machine some are answered before others come, and those need not lie evenly.
            let open = worker.open.expect("what the kernel counts");
            assert!((8..=12).contains(&open), "{workers:#?}");
            assert!(worker.answered > Some(0), "{worker:#?}");
            let latencies = worker.latency_histogram.as_ref().expect("what the kernel counts");
            assert_eq!(latencies.iter().map(|(_, count)| *count).sum::<u64>(), open, "{latencies:?}");
            assert!(latencies.iter().all(|(end, _)| *end >= ANSWER_US), "{latencies:?}");
        }
        talker.end();
    }
}

/// It comes with the client's preface, before the server's settings.
#[test]
fn the_first_request_of_http2_in_tls_is_in_flight() {
    let stage = Stage::new();
    stage.certify();
    let fleet = stage.start(&["-n", "1"], &["node", &fixture("h2.js"), "serve-tls", PORT]);
    fleet.wait_for_groups(&[ADDRESS], 1);
    let talker = Talker::start(&["node", &fixture("h2.js"), "wait-tls", PORT], "asked");
    assert_counts(&fleet, "asked", [1, 1, 0, 0]);
    talker.end();
    assert_counts(&fleet, "given up", [0, 0, 0, 0]);
}

#[test]
fn one_way_streams_hold_no_request() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &["python3", &fixture("oneway.py"), PORT]);
    fleet.wait_for_groups(&[ADDRESS, "127.0.0.1:8081"], 1);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.write("<34>1 a line\n"));
    assert_counts(&fleet, "they may wait for an answer", [3, 3, 0, 0]);
    // The pause is what tells them from requests.
    thread::sleep(Duration::from_millis(100));
    clients.iter_mut().for_each(|client| client.write("<34>1 another line\n"));
    assert_counts(&fleet, "they do not", [3, 0, 0, 0]);
    drop(clients);
    assert_counts(&fleet, "closed", [0, 0, 0, 0]);
}

#[test]
fn an_upgraded_connection_holds_no_request() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "1"], &["python3", &fixture("oneway.py"), PORT]);
    fleet.wait_for_groups(&[ADDRESS, "127.0.0.1:8081"], 1);
    let mut client = Client::connect("127.0.0.1:8081");
    client.write("GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    while !client.line().expect("a head").is_empty() {}
    client.write("a message that wants no answer");
    client.write("another");
    assert_counts(&fleet, "upgraded", [1, 0, 1, 0]);
    drop(client);
    assert_counts(&fleet, "closed", [0, 0, 1, 0]);
}
