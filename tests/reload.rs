//! Reloads, scaling and the end under load: nothing is lost, of programs that know nothing of it.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::harness::{
    Client, Fleet, Stage, get,
    stage::fixture,
    steady::{Seen, Steady, steady},
    until,
};
use llb::internals::clock;
use nix::sys::signal::Signal;

const ADDRESS: &str = "127.0.0.1:8080";
const RELOADS: u32 = 30;

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let server = stage.keepalive_server();
    stage.start(args, &[&server, "127.0.0.1", "8080"])
}

/// Every slot has one worker of `generation` that serves; older ones may be finishing.
fn serves(fleet: &Fleet, slots: u32, generation: u32) -> bool {
    let serving = |slot| {
        let workers = fleet.status().workers;
        workers.iter().filter(|w| (w.slot, w.generation, w.state.as_str()) == (slot, generation, "serving")).count()
    };
    (0..slots).all(|slot| serving(slot) == 1)
}

/// Asserts that no client has seen an error, and that there was something to lose.
#[track_caller]
fn assert_lossless(seen: &Seen, least: u64) {
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Relaxed);
    eprintln!(
        "{} new connections and {} requests on kept ones were answered; {} kept ones were found closed, {} requests crossed \
         with a close and were sent again; errors: {:?}",
        count(&seen.answered),
        count(&seen.kept),
        count(&seen.reopened),
        count(&seen.crossed),
        seen.errors()
    );
    assert!(seen.errors().is_empty(), "{:?}", seen.errors());
    assert!(count(&seen.answered) >= least, "too few to say anything");
}

#[test]
fn thirty_reloads_in_a_row_under_load_lose_nothing() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--drain-timeout", "2s"]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    let load = Steady { address: ADDRESS, rate: 2_000, threads: 24, keepers: 32, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        for reload in 0..RELOADS {
            fleet.signal(if reload % 2 == 0 { Signal::SIGHUP } else { Signal::SIGUSR2 });
            until("the new generation serves", || serves(&fleet, 4, 2 + reload));
        }
        until("the old ones are gone", || fleet.status().workers.len() == 4);
    });
    assert_lossless(&seen, u64::from(RELOADS) * 200);
    assert!(seen.kept.load(Relaxed) > 0 && seen.reopened.load(Relaxed) > 0);
    fleet.wait_until_quiet();
    assert_eq!(fleet.stop().code, Some(0));
}

/// A program that knows nothing of llb is reloaded under load, with clients who keep their connections.
#[track_caller]
fn reloads_lose_nothing(stage: &Stage, address: &str, command: &[&str]) {
    let fleet = stage.start(&["-n", "2", "--drain-timeout", "2s"], command);
    let load = Steady { address, rate: 400, threads: 8, keepers: 12, think: Duration::from_millis(30) };
    let (seen, ()) = steady(load, |_| {
        for reload in 0..4 {
            fleet.signal(Signal::SIGHUP);
            until("the new generation serves", || serves(&fleet, 2, 2 + reload));
        }
        until("the old ones are gone", || fleet.status().workers.len() == 2);
    });
    assert_lossless(&seen, 100);
    fleet.wait_until_quiet();
}

#[test]
fn node_is_reloaded_without_loss() {
    let stage = Stage::new();
    reloads_lose_nothing(&stage, ADDRESS, &["node", &fixture("server.js"), "8080"]);
}

#[test]
fn asyncio_is_reloaded_without_loss() {
    let stage = Stage::new();
    reloads_lose_nothing(&stage, ADDRESS, &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
}

#[test]
fn nginx_is_reloaded_without_loss() {
    let stage = Stage::new();
    reloads_lose_nothing(&stage, ADDRESS, &stage.nginx(2));
}

#[test]
fn scaling_up_and_down_under_load_loses_nothing() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2", "--drain-timeout", "2s"]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let load = Steady { address: ADDRESS, rate: 1_000, threads: 12, keepers: 16, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        for _ in 0..3 {
            fleet.signal(Signal::SIGTTIN);
            until("there are three", || serves(&fleet, 3, 1));
            fleet.signal(Signal::SIGTTOU);
            until("there are two", || fleet.status().workers.len() == 2);
        }
    });
    assert_lossless(&seen, 1_000);
    fleet.wait_until_quiet();
}

/// The books say that a request is answered with the first byte of its answer; the rest must come too.
#[test]
fn an_answer_that_has_begun_is_finished() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"]);
    let mut long = Client::connect(ADDRESS);
    long.send_last("/big/3000");
    long.await_byte().expect("an answer begins");
    fleet.signal(Signal::SIGUSR2);
    until("the new one serves", || serves(&fleet, 1, 2));
    assert_eq!(get(ADDRESS, "/").body, "0 2");
    let answer = long.receive();
    assert_eq!(answer.body.len(), 3 + 3000 * 1024, "the whole of it");
}

/// Without the kernel's books a look at the connections themselves tells.
#[test]
fn without_books_a_worker_finishes_too() {
    for tracking in ["reports", "off"] {
        let stage = Stage::new();
        let fleet = start(&stage, &["-n", "1", "--tracking", tracking]);
        let mut slow = Client::connect(ADDRESS);
        slow.send_last("/ms/3000");
        fleet.signal(Signal::SIGUSR2);
        until("the new one serves", || serves(&fleet, 1, 2));
        assert_eq!(slow.receive().body, "0 1", "{tracking}");
        until("the old one ends", || fleet.status().workers.len() == 1);
    }
}

/// The end of llb is the end of its workers, but not of the requests that they have.
#[test]
fn the_end_waits_for_requests_in_flight() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let mut idle = Client::connect(ADDRESS);
    idle.send("/");
    idle.receive();
    let mut slow = Client::connect(ADDRESS);
    slow.send_last("/ms/1500");
    until("it is in flight", || fleet.status().workers.iter().any(|worker| worker.in_flight == Some(1)));
    let told_at = clock::now();
    let ended = fleet.stop();
    let took = Duration::from_nanos(clock::now().since(told_at));
    assert_eq!((ended.code, slow.receive().status), (Some(0), 200));
    assert!(took < Duration::from_secs(5), "an idle connection does not hold up the end: {took:?}");
}

#[test]
fn kept_connections_are_closed_when_idle_in_the_second_half_of_the_drain_time() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--drain-timeout", "6s"]);
    let mut kept = Client::connect(ADDRESS);
    kept.send("/");
    assert_eq!(kept.receive().body, "0 1");
    let asked = clock::now();
    fleet.signal(Signal::SIGUSR2);
    until("the old one drains", || fleet.worker(0).state == "draining");
    // The drain has begun between the two.
    let begun = clock::now();
    until("the first half is nearly over", || clock::now() > begun.after(Duration::from_millis(2_500)));
    kept.send("/");
    assert_eq!(kept.receive().body, "0 1", "until then it serves who stays");
    assert!(kept.is_closed(), "in order, not by a reset");
    let [most, least] = [asked, begun].map(|from| Duration::from_nanos(clock::now().since(from)));
    assert!(most > Duration::from_millis(2_900) && least < Duration::from_millis(5_500), "{least:?} to {most:?}");
    until("it ends, as it holds nothing more", || fleet.status().workers.len() == 1);
}
