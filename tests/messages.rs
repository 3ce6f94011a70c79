//! What comes on a connection that has been answered, and wants no answer; what comes in pieces; and what comes many at a time.
//! Nothing of it stays in flight, and nothing that is makes a worker look free that is not.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Client, Fleet, Stage, holds_within, stage::fixture};
use llb::observe::status::WorkerStatus;

const PORT: &str = "8080";
const LINES: &str = "127.0.0.1:8080";
const FRAMES: &str = "127.0.0.1:8083";

/// What is wrong after this long stays wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than whoever sends one request in two pieces waits between them, and long enough that a worker is seen to wait.
const PAUSE: Duration = Duration::from_millis(150);

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &str = "\0\0\0\x04\0\0\0\0\0";

fn start(stage: &Stage) -> Fleet {
    stage.certify();
    let fleet = stage.start(&["-n", "1"], &["python3", &fixture("mixed.py"), PORT]);
    fleet.wait_for_groups(&[LINES, "127.0.0.1:8081", "127.0.0.1:8082", FRAMES], 1);
    fleet
}

/// Open connections and requests in flight of the only worker.
fn held(fleet: &Fleet) -> [u64; 2] {
    let WorkerStatus { open, in_flight, .. } = fleet.worker(0);
    [open, in_flight].map(|count| count.expect("what the kernel counts"))
}

#[track_caller]
fn assert_held(fleet: &Fleet, step: &str, expected: [u64; 2]) {
    let mut found = None;
    let holds = holds_within(PATIENCE, || {
        found = Some(held(fleet));
        found == Some(expected)
    });
    assert!(holds, "{step}: expected {expected:?}, found {found:?}");
}

/// Runs the client that speaks TLS until it has said all, and looks at what is held while it holds its connection.
#[track_caller]
fn assert_nothing_is_held_after(fleet: &Fleet, port: &str, kind: &str) {
    let mut client = Command::new("python3");
    client.args([&fixture("mixed_client.py"), port, kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().expect("python3");
    let mut said = String::new();
    BufReader::new(client.stdout.take().expect("its output")).read_line(&mut said).expect("a line");
    assert_eq!(said, "said\n");
    assert_held(fleet, kind, [1, 0]);
    drop(client.stdin.take());
    assert!(client.wait().expect("a child").success());
    assert_held(fleet, "closed", [0, 0]);
}

#[test]
fn messages_without_answers_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mut client = Client::connect(LINES);
    client.line().expect("a greeting");
    // From the first that comes after the worker was seen to wait none is in flight.
    assert!(holds_within(PATIENCE, || {
        client.write("put\n");
        thread::sleep(PAUSE);
        held(&fleet) == [1, 0]
    }));
    for _ in 0..3 {
        // One answer changes nothing of that.
        client.write("get\n");
        client.line().expect("an answer");
        for _ in 0..2 {
            client.write("put\n");
            thread::sleep(PAUSE);
            assert_held(&fleet, "nobody waits for it", [1, 0]);
        }
    }
    // Until one after the other is answered.
    for _ in 0..3 {
        client.write("get\n");
        client.line().expect("an answer");
    }
    client.write("stand\n");
    assert_held(&fleet, "somebody waits for it", [1, 1]);
    stage.write("go", "");
    client.line().expect("an answer");
    assert_held(&fleet, "answered", [1, 0]);
}

#[test]
fn messages_within_tls_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage);
    assert_nothing_is_held_after(&fleet, "8081", "messages");
}

/// However often a client sends meanwhile: a worker that stands still is not free.
#[test]
fn messages_to_a_blocked_worker_stay_in_flight() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mut clients = [(); 2].map(|()| Client::connect(LINES));
    for client in &mut clients {
        client.line().expect("a greeting");
        client.write("get\n");
        client.line().expect("an answer");
    }
    clients[0].write("stand\n");
    assert_held(&fleet, "it stands still", [2, 1]);
    for _ in 0..10 {
        for client in &mut clients {
            client.write("get\n");
        }
        thread::sleep(PAUSE);
        assert_eq!(held(&fleet), [2, 2], "it stands still yet");
    }
    stage.write("go", "");
    for client in &mut clients {
        (0..10).for_each(|_| assert_eq!(client.line().expect("an answer"), "got"));
    }
    assert_held(&fleet, "it goes on", [2, 0]);
}

#[test]
fn uploads_answered_early_within_tls_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage);
    assert_nothing_is_held_after(&fleet, "8082", "upload");
    assert_eq!(fleet.worker(0).answered, Some(1), "one upload, however long");
}

/// A frame of one byte that begins a stream and ends it.
fn ask(stream: u32) -> String {
    format!("\0\0\x01\x01\x05\0\0\0{}a", char::from(u8::try_from(stream).expect("a small stream")))
}

#[test]
fn many_frames_at_once_hold_no_request() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mut client = Client::connect(FRAMES);
    client.write(&[PREFACE, SETTINGS].concat());
    let streams = (0..30).map(|place| ask(2 * place + 1)).collect::<String>();
    client.write(&streams);
    assert_held(&fleet, "all are answered", [1, 0]);
    thread::sleep(PAUSE);
    let before = fleet.worker(0).answered.expect("what the kernel counts");
    for stream in [101, 103, 105] {
        client.write(&ask(stream));
        assert!(holds_within(PATIENCE, || fleet.worker(0).answered >= Some(before + u64::from(stream - 99) / 2)));
    }
    assert_held(&fleet, "each is counted again", [1, 0]);
}

#[test]
fn a_preface_in_pieces_is_read() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mut client = Client::connect(FRAMES);
    for piece in [PREFACE, SETTINGS].concat().chars() {
        client.write(&piece.to_string());
    }
    thread::sleep(PAUSE);
    assert_held(&fleet, "nobody has asked", [1, 0]);
    for answered in 1..4 {
        client.write(&ask(2 * answered - 1));
        assert!(holds_within(PATIENCE, || fleet.worker(0).answered == Some(u64::from(answered))), "{answered}");
    }
    assert_held(&fleet, "all are answered", [1, 0]);
}
