//! Exchanges that are no plain request and answer: what comes early, late, or before it all. Afterwards nothing is in flight
//! that is not.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Client, Fleet, Stage, example::go_program, holds_within, stage::fixture};
use llb::observe::status::WorkerStatus;

const ADDRESS: &str = "127.0.0.1:8080";
const PORT: &str = "8080";

/// Calls and their answers, on the other port.
const CALLS: &str = "127.0.0.1:8081";

/// What is wrong after this long stays wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than whoever sends one request in two pieces waits between them.
const PAUSE: Duration = Duration::from_millis(100);

/// How a balancer that speaks the PROXY protocol begins a connection, in both versions.
const HEADERS: [&str; 2] = [
    "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x01\x02\x03\x04\x10\x20\x01\x02",
];

/// Waits until the only worker's books say so: open connections, requests in flight, answers, failures and errors. The last
/// packets of a step may still be on their way.
#[track_caller]
fn assert_counts(fleet: &Fleet, step: &str, expected: [u64; 5]) {
    let mut found = None;
    let holds = holds_within(PATIENCE, || {
        let WorkerStatus { open, in_flight, answered, failed, errors, .. } = fleet.worker(0);
        found = Some([open, in_flight, answered, failed, errors].map(|count| count.expect("what the kernel counts")));
        found == Some(expected)
    });
    assert!(holds, "{step}: expected {expected:?}, found {found:?}");
}

#[track_caller]
fn start(stage: &Stage, script: &str) -> Fleet {
    stage.start(&["-n", "1"], &["python3", &fixture(script), PORT])
}

#[test]
fn uploads_answered_early_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage, "kinds.py");
    for (answered, path) in [(1, "/early"), (2, "/last-early")] {
        let mut client = Client::connect(ADDRESS);
        client.write(&format!("POST {path} HTTP/1.1\r\nContent-Length: 10\r\n\r\n"));
        client.receive().slot();
        client.write("{\"a\": 123}");
        if path == "/last-early" {
            assert!(client.is_closed());
        } else {
            assert_counts(&fleet, "the rest is no request", [1, 0, answered, 0, 0]);
        }
        drop(client);
        assert_counts(&fleet, "the end is no failure", [0, 0, answered, 0, 0]);
    }
}

#[test]
fn headers_of_balancers_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage, "proxied.py");
    let mut clients = HEADERS.map(|header| {
        let mut client = Client::connect(ADDRESS);
        client.write(header);
        client
    });
    assert_counts(&fleet, "nobody has asked", [2, 0, 0, 0, 0]);
    thread::sleep(PAUSE);
    for client in &mut clients {
        for _ in 0..3 {
            client.send("/");
            client.receive().slot();
        }
    }
    assert_counts(&fleet, "each asked three times", [2, 0, 6, 0, 0]);
    drop(clients);
    assert_counts(&fleet, "closed", [0, 0, 6, 0, 0]);
}

/// Wherever a segment ends.
#[test]
fn headers_of_balancers_come_in_pieces() {
    let stage = Stage::new();
    let fleet = start(&stage, "proxied.py");
    let mut clients: Vec<Client> = Vec::new();
    for header in HEADERS {
        for cut in [1, 2, 5, 9, 14, 15, 20] {
            let mut client = Client::connect(ADDRESS);
            client.write(&header[..cut]);
            client.write(&header[cut..header.len() - 1]);
            client.write(&header[header.len() - 1..]);
            clients.push(client);
        }
    }
    let open = clients.len() as u64;
    thread::sleep(PAUSE);
    assert_counts(&fleet, "nobody has asked", [open, 0, 0, 0, 0]);
    for client in &mut clients {
        client.send("/500");
        assert_eq!(client.receive().status, 500);
    }
    assert_counts(&fleet, "each has asked once", [open, 0, open, 0, open]);
}

#[test]
fn errors_behind_balancers_are_seen() {
    let stage = Stage::new();
    let fleet = start(&stage, "proxied.py");
    for header in HEADERS {
        let mut client = Client::connect(ADDRESS);
        client.write(&format!("{header}GET /500 HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(client.receive().status, 500);
    }
    assert_counts(&fleet, "one error for each", [0, 0, 2, 0, 2]);
}

/// Who calls on before the first answer comes has not shown that it wants none.
#[test]
fn calls_answered_late_are_counted() {
    let stage = Stage::new();
    let fleet = start(&stage, "proxied.py");
    let mut client = Client::connect(CALLS);
    client.write("400\n");
    thread::sleep(PAUSE);
    client.write("1\n");
    assert_eq!([(); 2].map(|()| client.line().expect("an answer")), ["1", "400"]);
    let before = fleet.worker(0).answered.expect("what the kernel counts");
    for _ in 0..3 {
        client.write("20\n");
        client.line().expect("an answer");
    }
    assert_counts(&fleet, "each of the others is a request", [1, 0, before + 3, 0, 0]);
}

/// Go sends its session ticket before the client's handshake ends, so what comes first then is the answer.
#[test]
fn tls_1_3_in_go_counts_requests() {
    let stage = Stage::new();
    stage.certify();
    let program = go_program(&stage, &fixture("tls.go"));
    let fleet = stage.start(&["-n", "1"], &[&program, PORT]);
    let ask = "import socket, ssl, sys\n\
               held = []\n\
               for _ in range(3):\n\
               \x20   raw = socket.create_connection(('127.0.0.1', 8080))\n\
               \x20   held.append(ssl._create_unverified_context().wrap_socket(raw))\n\
               \x20   held[-1].sendall(b'GET / HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n')\n\
               \x20   assert held[-1].recv(4096).endswith(b'ok')\n\
               sys.stdin.read()\n";
    let mut talker = Command::new("python3").args(["-c", ask]).stdin(Stdio::piped()).spawn().expect("python3");
    assert_counts(&fleet, "asked once each, and kept", [3, 0, 3, 0, 0]);
    let latencies = fleet.worker(0).latency_histogram.expect("what the kernel counts");
    assert_eq!(latencies.iter().map(|(_, count)| *count).sum::<u64>(), 3, "each is timed");
    drop(talker.stdin.take());
    assert!(talker.wait().expect("a child").success());
    assert_counts(&fleet, "closed", [0, 0, 3, 0, 0]);
}
