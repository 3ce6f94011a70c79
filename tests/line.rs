//! Who finds no worker free waits in line: in order, at no worker, and whatever becomes of llb.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::harness::{
    Client, Fleet, Stage, get, holds_within,
    http::reset,
    in_line::{line, occupy, start_in_line, wait_for_line},
    open_loop::open_loop,
    stage::fixture,
    stopped::Stopped,
    try_get, until,
};
use nix::unistd::Pid;

const ADDRESS: &str = "127.0.0.1:8080";

/// Many, and fewer than there are places: see `llb_common::line::PLACES`.
const MANY: u64 = 60;

/// Brings clients into the line, one after the other.
fn line_up(fleet: &Fleet, count: u64, path: &str) -> Vec<Client> {
    let before = line(&fleet.status()).waiting;
    let come = |_| {
        let mut client = Client::connect(ADDRESS);
        client.send_last(path);
        client
    };
    let clients = (0..count).map(come).collect();
    assert_eq!(line(&fleet.status()).waiting, before + count, "they wait in line");
    clients
}

#[test]
fn who_came_first_is_served_first() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "1");
    let mut busy = occupy(&fleet, ADDRESS, 1);
    let waiting = line_up(&fleet, 12, "/ms/100");
    let status = fleet.status();
    assert_eq!((status.workers[0].queued, status.workers[0].open), (Some(0), Some(1)), "nobody waits at the worker");
    let served = AtomicU32::new(0);
    thread::scope(|scope| {
        for (place, mut client) in waiting.into_iter().enumerate() {
            let served = &served;
            scope.spawn(move || {
                client.await_byte().expect("an answer");
                // A tenth of a second lies between two answers.
                assert_eq!(served.fetch_add(1, SeqCst), place as u32);
            });
        }
    });
    assert_eq!(busy[0].receive().slot(), 0);
    let line = line(&fleet.status());
    assert_eq!((line.waiting, line.waited, line.handed_over, line.given_up), (0, 12, 12, 0));
    // The last has waited for the long one and eleven of a tenth of a second.
    let longest = line.wait_histogram.last().expect("some have waited").0;
    assert!(longest > 2e6, "{longest} µs");
    assert_eq!(line.wait_histogram.iter().map(|(_, count)| count).sum::<u64>(), 12);
    fleet.wait_until_quiet();
}

/// The kernel keeps what the server closed first for a minute, and a server that is not llb's cannot share a port with it, unless both
/// have SO_REUSEADDR.
#[test]
fn who_has_waited_keeps_nobody_from_the_port_afterwards() {
    for address in [ADDRESS, "[::1]:8080"] {
        let stage = Stage::new();
        let host = if address == ADDRESS { "127.0.0.1" } else { "::1" };
        let fleet =
            stage.start(&["-n", "1", "--concurrency", "1"], &["python3", &fixture("asyncio_server.py"), host, "8080"]);
        wait_for_line(&fleet);
        let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(address)).collect();
        clients.iter_mut().for_each(|client| client.send_last("/wait/100"));
        clients.into_iter().for_each(|mut client| {
            client.receive();
            assert!(client.is_closed(), "the server closes first");
        });
        assert!(line(&fleet.status()).waited > 0);
        assert_eq!(fleet.stop().code, Some(0));
        TcpListener::bind(address).expect("a free port");
    }
}

#[test]
fn nobody_waits_at_a_worker_while_another_is_free() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "4", "--concurrency", "1"], &[&server, "8080", "5"]);
    wait_for_line(&fleet);
    // Twice as many clients as workers: each worker has one, the others wait in line.
    let failed = closed_loop(8, 250, "/");
    assert_eq!(failed, 0, "of 2,000 requests {failed} were not answered");
    fleet.wait_until_quiet();
    let status = fleet.status();
    let line = line(&status);
    assert!(line.handed_over >= 1_000, "{line:?}");
    assert_eq!((line.waiting, line.given_up), (0, 0));
    let answered: u64 = status.workers.iter().filter_map(|worker| worker.answered).sum();
    assert_eq!(answered, 2_000);
}

/// How many requests of so many clients, each with one after the other, are not answered.
fn closed_loop(clients: u32, requests: u32, path: &str) -> u32 {
    thread::scope(|scope| {
        let ask = || u32::from(try_get(ADDRESS, path).is_err());
        let asking: Vec<_> =
            (0..clients).map(|_| scope.spawn(move || (0..requests).map(|_| ask()).sum::<u32>())).collect();
        asking.into_iter().map(|client| client.join().expect("a client")).sum()
    })
}

#[test]
fn a_killed_master_leaves_nobody_in_line() {
    let stage = Stage::new();
    let server = stage.static_server();
    let (options, command) = (["-n", "2", "--concurrency", "1"], [server.as_str(), "8080"]);
    let mut fleet = stage.start(&options, &command);
    wait_for_line(&fleet);
    let busy = occupy(&fleet, ADDRESS, 2);
    let waiting = line_up(&fleet, MANY, "/ms/2");
    fleet.kill_master();
    for mut client in waiting.into_iter().chain(busy) {
        assert_eq!(client.receive().status, 200);
    }
    // The next master has a line of its own.
    fleet.take_over(&options, &command);
    wait_for_line(&fleet);
    let busy = occupy(&fleet, ADDRESS, 2);
    let waiting = line_up(&fleet, 5, "/ms/2");
    for mut client in waiting.into_iter().chain(busy) {
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(line(&fleet.status()).waiting, 0);
    fleet.wait_until_quiet();
}

#[test]
fn while_llb_hangs_nobody_is_sent_into_the_line() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "2");
    let busy = occupy(&fleet, ADDRESS, 2);
    let waiting = line_up(&fleet, 5, "/ms/2");
    let stopped = Stopped::stop(fleet.pid());
    // Those who come now are answered by the workers, as soon as these are free.
    let late: Vec<_> = (0..10)
        .map(|_| {
            thread::sleep(Duration::from_millis(10));
            let mut client = Client::connect(ADDRESS);
            client.send_last("/ms/2");
            client
        })
        .collect();
    for mut client in late.into_iter().skip(6).chain(busy) {
        assert_eq!(client.receive().status, 200);
    }
    drop(stopped);
    for mut client in waiting {
        assert_eq!(client.receive().status, 200);
    }
    fleet.wait_until_quiet();
}

#[test]
fn clients_who_give_up_leave_nothing() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "1");
    let mut busy = occupy(&fleet, ADDRESS, 1);
    let mut waiting = line_up(&fleet, 10, "/ms/2");
    let mut last = waiting.pop().expect("ten");
    waiting.into_iter().for_each(reset);
    until("nine have been seen off", || line(&fleet.status()).given_up == 9);
    assert_eq!(line(&fleet.status()).waiting, 1);
    assert_eq!((busy[0].receive().status, last.receive().status), (200, 200));
    fleet.wait_until_quiet();
    assert_eq!(fleet.worker(0).answered, Some(2));
}

#[test]
fn a_reload_with_clients_in_line_loses_nobody() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "2", "--concurrency", "1"], &[&server, "8080", "8"]);
    wait_for_line(&fleet);
    let samples = thread::scope(|scope| {
        // More than two workers can do, for a while.
        let load = scope.spawn(|| open_loop(ADDRESS, Duration::from_millis(4), 400, |_| "/".into()));
        for _ in 0..3 {
            let reloaded = fleet.command("reload").output().expect("the llb binary");
            assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
        }
        load.join().expect("a load")
    });
    let lost = samples.iter().filter(|sample| sample.slot().is_none()).count();
    assert_eq!(lost, 0);
    assert!(line(&fleet.status()).handed_over > 0);
}

#[test]
fn a_fleet_that_is_stopped_serves_who_waits_in_line() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "2", "--concurrency", "1", "--drain-timeout", "30s"], &[&server, "8080"]);
    wait_for_line(&fleet);
    let busy = occupy(&fleet, ADDRESS, 2);
    let waiting = line_up(&fleet, 6, "/ms/2");
    thread::scope(|scope| {
        let ended = scope.spawn(move || fleet.stop());
        for mut client in waiting.into_iter().chain(busy) {
            assert_eq!(client.receive().status, 200);
        }
        assert_eq!(ended.join().expect("an end").code, Some(0));
    });
}

/// One worker with listeners of both families, which stands still: nobody is free at any of them.
#[test]
fn every_address_has_a_line_of_its_own() {
    let stage = Stage::new();
    let server = fixture("listeners.py");
    let specs = ["127.0.0.1@8080", "127.0.0.1@8081", "::1@8080", "::@8082@dual"];
    let command = [&["python3", server.as_str()][..], &specs].concat();
    let fleet = stage.start(&["-n", "1", "--concurrency", "1"], &command);
    fleet.wait_for_groups(&["127.0.0.1:8080", "127.0.0.1:8081", "[::1]:8080", "[::]:8082"], 1);
    wait_for_line(&fleet);
    let stopped = Stopped::stop(Pid::from_raw(fleet.worker(0).pid.cast_signed()));
    let mut busy = Client::connect(ADDRESS);
    busy.send_last("/");
    until("it has a request", || fleet.in_flight() == 1);
    let come = |address: &&str| {
        let mut client = Client::connect(address);
        client.send_last("/");
        client
    };
    let addresses = [ADDRESS, "127.0.0.1:8081", "[::1]:8080", "[::1]:8082", "127.0.0.1:8082"];
    let mut waiting: Vec<Client> = addresses.iter().map(come).collect();
    assert_eq!(line(&fleet.status()).waiting, 5);
    drop(stopped);
    for client in waiting.iter_mut().chain([&mut busy]) {
        assert_eq!(client.receive().status, 200);
    }
    let line = line(&fleet.status());
    assert_eq!((line.waiting, line.handed_over), (0, 5));
    fleet.wait_until_quiet();
}

#[test]
fn workers_of_another_user_have_a_line() {
    let stage = Stage::new();
    stage.open_to_all();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "1", "--user", "nobody", "--concurrency", "1"], &[&server, "8080"]);
    wait_for_line(&fleet);
    let busy = occupy(&fleet, ADDRESS, 1);
    let waiting = line_up(&fleet, 3, "/ms/1");
    for mut client in waiting.into_iter().chain(busy) {
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(line(&fleet.status()).handed_over, 3);
}

/// Two at once each, as a worker with two threads does.
#[test]
fn a_worker_gets_as_many_as_it_serves_at_once() {
    let stage = Stage::new();
    let server = fixture("asyncio_server.py");
    let command = ["python3", server.as_str(), "127.0.0.1", "8080"];
    let fleet = stage.start(&["-n", "2", "--concurrency", "2"], &command);
    wait_for_line(&fleet);
    let come = |_| {
        let mut client = Client::connect(ADDRESS);
        client.send_last("/wait/2000");
        client
    };
    let clients: Vec<Client> = (0..7).map(come).collect();
    until("three wait, and four have been accepted", || {
        let status = fleet.status();
        line(&status).waiting == 3 && status.workers.iter().all(|worker| worker.queued == Some(0))
    });
    for mut client in clients {
        assert_eq!(client.receive().status, 200);
    }
    fleet.wait_until_quiet();
}

#[test]
fn a_line_needs_to_know_who_is_free() {
    for options in [["--policy", "hash"], ["--policy", "argmin"], ["--tracking", "reports"], ["--tracking", "off"]] {
        let stage = Stage::new();
        let ended = stage.launch(&[&options[..], &["--concurrency", "1"]].concat(), &["true"]).wait();
        assert!(ended.code != Some(0) && ended.stderr.contains("--concurrency needs"), "{ended:?}");
    }
}

#[test]
fn with_off_nobody_waits_in_line() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "1", "--concurrency", "off"], &[&server, "8080"]);
    assert!(fleet.status().line.is_none());
    assert_eq!(get(ADDRESS, "/").slot(), 0);
    assert!(!holds_within(Duration::from_millis(50), || fleet.status().selector["waits"] > 0));
}
