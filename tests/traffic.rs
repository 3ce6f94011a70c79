//! What a worker does is judged by what it shows, whatever is held open on it: requests that it does not stand still for
//! count against nobody, and one that does stand still is passed over.

mod harness;

use std::time::Duration;

use harness::{Client, Fleet, Stage, load::open_loop, stage::fixture, until};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;

/// Far longer than the load lasts.
const LONG_POLL: &str = "/ms/40000";

/// A header that never ends.
const HALF_HEADER: &str = "GET / HTTP/1.1\r\nX: ";

const EVERY: Duration = Duration::from_millis(5);
const REQUESTS: u32 = 600;

#[test]
fn long_polls_do_not_skew_the_choice() {
    let stage = Stage::new();
    let fleet = start(&stage, ADDRESS, &["python3", &fixture("loop.py")]);
    let polls = hold(&fleet, ADDRESS, SLOTS as usize, |client| client.send(LONG_POLL));
    assert_even(&fleet, ADDRESS, "/block/1");
    drop(polls);
}

#[test]
fn long_polls_beside_work_slow_nobody() {
    let stage = Stage::new();
    let fleet = start(&stage, ADDRESS, &["python3", &fixture("loop.py")]);
    let polls = hold(&fleet, ADDRESS, 8, |client| client.send(LONG_POLL));
    assert_even(&fleet, ADDRESS, "/block/4");
    drop(polls);
}

#[test]
fn half_sent_headers_do_not_skew_the_choice() {
    let stage = Stage::new();
    let fleet = start(&stage, ADDRESS, &["python3", &fixture("loop.py")]);
    let halves = hold(&fleet, ADDRESS, 8, |client| client.write(HALF_HEADER));
    assert_even(&fleet, ADDRESS, "/block/4");
    drop(halves);
}

#[test]
fn long_polls_over_ipv6_do_not_skew_the_choice() {
    let address = "[::1]:8080";
    let stage = Stage::new();
    let fleet = start(&stage, address, &["python3", &fixture("loop.py")]);
    let polls = hold(&fleet, address, 8, |client| client.send(LONG_POLL));
    assert_even(&fleet, address, "/block/4");
    drop(polls);
}

#[test]
fn long_polls_of_node_do_not_skew_the_choice() {
    let stage = Stage::new();
    let fleet = start(&stage, ADDRESS, &["node", &fixture("loop.js")]);
    let polls = hold(&fleet, ADDRESS, 8, |client| client.send(LONG_POLL));
    assert_even(&fleet, ADDRESS, "/block/4");
    drop(polls);
}

#[track_caller]
fn start(stage: &Stage, address: &str, program: &[&str]) -> Fleet {
    let (host, port) = address.rsplit_once(':').expect("a port");
    let host = host.trim_matches(['[', ']']);
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &[program, &[host, port]].concat());
    fleet.wait_for_groups(&[address], SLOTS);
    fleet
}

/// Connections that each hold a request, when the kernel has seen all of them.
#[track_caller]
fn hold(fleet: &Fleet, address: &str, count: usize, ask: impl Fn(&mut Client)) -> Vec<Client> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(address);
        ask(&mut client);
        held.push(client);
        let in_flight = || fleet.status().workers.iter().filter_map(|worker| worker.in_flight).sum::<u64>();
        until("the request is in flight", || in_flight() == held.len() as u64);
    }
    held
}

/// That of a load which each worker could nearly bear alone nobody is left out, and nobody has more than half.
#[track_caller]
fn assert_even(fleet: &Fleet, address: &str, path: &str) {
    let samples = open_loop(address, EVERY, REQUESTS, |_| path.into());
    let mut answers = [0; SLOTS as usize];
    for sample in &samples {
        answers[sample.slot().expect("an answer") as usize] += 1;
    }
    eprintln!("{answers:?} of {REQUESTS}");
    let (most, least) = (REQUESTS / 2, REQUESTS / 12);
    assert!(answers.iter().all(|count| (least..=most).contains(count)), "{answers:?}: {:#?}", fleet.status());
}
