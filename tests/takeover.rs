//! A master is killed, and the next one of the name goes on with its fleet: nothing is lost, and nothing is left.

use std::{collections::BTreeSet, thread, time::Duration};

use crate::harness::{
    Fleet, Stage, Tally,
    balance::assert_balanced,
    get,
    identity::{identities, is_gone, pid_of},
    open_loop::open_loop,
    steady::{Steady, steady},
    until,
};
use llb::{internals::clock, observe::status::Status};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;
const FOUR: [&str; 2] = ["-n", "4"];

/// The load of half the fleet, before, while and after the master is killed and another one comes.
#[test]
fn a_takeover_under_load_costs_no_request() {
    let (every, requests) = (Duration::from_millis(4), 600);
    let stage = Stage::new();
    let server = stage.faulty_server();
    let command = [server.as_str(), "127.0.0.1", "8080", "8"];
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    let samples = thread::scope(|scope| {
        let load = scope.spawn(|| open_loop(ADDRESS, every, requests, |_| "/".into()));
        until("a tenth has come", || fleet.status().connections >= u64::from(requests / 10));
        fleet.kill_master();
        let killed_at = clock::now();
        until("a quarter has come while no master lives", || clock::now() > killed_at.after(every * (requests / 4)));
        fleet.take_over(&FOUR, &command);
        let taken_at = clock::now();
        let samples = load.join().expect("a load");
        let gap = samples.iter().filter(|sample| sample.begun > killed_at && sample.begun < taken_at).count();
        let after = samples.iter().filter(|sample| sample.begun > taken_at).count();
        eprintln!("{gap} of {requests} requests came while no master lived, {after} after that");
        assert!(gap >= requests as usize / 8 && after > 0);
        samples
    });
    let lost = samples.iter().filter(|sample| sample.slot().is_none()).count();
    assert_eq!(lost, 0, "of {requests} requests {lost} were not answered");

    let after = fleet.status();
    assert_eq!(identities(&after), identities(&before), "the workers are the same");
    assert_eq!(after.groups, before.groups);
    let tally: Tally = samples.iter().filter_map(|sample| sample.slot()).collect();
    tally.assert_steered(&after);
    fleet.wait_until_quiet();
    let answered: Vec<u64> = fleet.status().workers.iter().filter_map(|worker| worker.answered).collect();
    let seen: Vec<u64> = (0..SLOTS).map(|slot| tally.of(slot)).collect();
    assert_eq!(answered, seen, "each worker's count is what the clients saw");
    assert_balanced(&fleet, ADDRESS);
}

/// Masters are killed again and again, as soon as they serve, under connections that are kept alive and new ones.
#[test]
fn a_fleet_outlives_many_masters() {
    const MASTERS: u32 = 8;
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let command = [server.as_str(), "127.0.0.1", "8080"];
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    let load = Steady { address: ADDRESS, rate: 200, threads: 4, keepers: 8, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        for _ in 0..MASTERS {
            fleet.kill_master();
            fleet.take_over(&FOUR, &command);
        }
    });
    assert!(seen.errors().is_empty(), "{seen:#?}");
    assert_eq!(seen.reopened.load(std::sync::atomic::Ordering::Relaxed), 0, "connections that were kept were closed");
    assert_eq!(identities(&fleet.status()), identities(&before));
    fleet.wait_until_quiet();
    assert_balanced(&fleet, ADDRESS);
}

/// While no master lives a worker is killed, and the others begin to listen on another port.
#[test]
fn what_has_happened_meanwhile_is_noticed() {
    const MORE: &str = "127.0.0.1:8081";
    let stage = Stage::new();
    let worker = stage.write(
        "worker.py",
        "import os, selectors, socket\n\
         stage, slot = os.environ['STAGE'], os.environ['WORKER_ID']\n\
         selector = selectors.DefaultSelector()\n\
         def listen(port):\n    \
             listener = socket.create_server(('127.0.0.1', port))\n    \
             selector.register(listener, selectors.EVENT_READ)\n\
         listen(8080)\n\
         while True:\n    \
             if os.path.exists(stage + '/more') and len(selector.get_map()) == 1:\n        \
                 listen(8081)\n        \
                 open(stage + '/listens.' + slot, 'w').close()\n    \
             for key, _ in selector.select(0.02):\n        \
                 with key.fileobj.accept()[0] as connection:\n            \
                     connection.recv(4096)\n            \
                     connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n' + slot.encode())\n",
    );
    let command = ["python3", worker.to_str().expect("a path in UTF-8")];
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    fleet.kill_master();
    let dead = pid_of(&before, 2);
    kill(dead, Signal::SIGKILL).expect("a worker");
    until("it is dead", || is_gone(dead));
    stage.write("more", "");
    until("the others listen", || [0, 1, 3].iter().all(|slot| stage.path().join(format!("listens.{slot}")).exists()));

    fleet.take_over(&["-n", "4", "--policy", "round-robin"], &command);

    assert!(fleet.stderr().contains("took over 3 workers"), "{}", fleet.stderr());
    fleet.wait_for_groups(&[ADDRESS, MORE], SLOTS);
    let after = fleet.status();
    let others = |status: &Status| -> Vec<_> {
        status.workers.iter().filter(|worker| worker.slot != 2).map(|worker| (worker.slot, worker.pid)).collect()
    };
    assert_eq!(others(&after), others(&before));
    assert_ne!(pid_of(&after, 2), dead);
    assert_eq!(fleet.worker(2).restarts, 1);
    let mut seats: Vec<u32> = after.workers.iter().flat_map(|worker| worker.seats.clone()).collect();
    seats.sort_unstable();
    seats.dedup();
    assert_eq!(seats.len(), SLOTS as usize, "a seat each: {after:#?}");
    let connections = after.connections;
    let mut tally = Tally::default();
    tally.ask(MORE, "/", 40);
    assert_eq!(fleet.status().connections - connections, 40, "they are steered");
    assert!((0..SLOTS).all(|slot| tally.of(slot) == 10), "{tally:?}");

    // One that was taken over is watched, though it is no child.
    let killed = pid_of(&after, 0);
    kill(killed, Signal::SIGKILL).expect("a worker");
    until("it is replaced", || {
        fleet
            .status()
            .workers
            .iter()
            .any(|w| w.slot == 0 && w.state == "serving" && w.pid != killed.as_raw().unsigned_abs())
    });
    assert_eq!(fleet.worker(0).last_exit.as_deref(), Some("ended"));
}

#[test]
fn the_new_masters_own_settings_apply() {
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let command = [server.as_str(), "127.0.0.1", "8080"];
    let mut fleet = stage.start(&["-n", "3"], &command);
    fleet.wait_for_groups(&[ADDRESS], 3);
    let before = fleet.status();
    let load = Steady { address: ADDRESS, rate: 100, threads: 2, keepers: 4, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        fleet.kill_master();
        fleet.take_over(&["-n", "5", "--policy", "round-robin"], &command);
        fleet.wait_for_groups(&[ADDRESS], 5);
        assert_eq!(fleet.status().policy, "round-robin");
        assert_eq!(identities(&fleet.status())[..3], identities(&before)[..]);

        fleet.kill_master();
        fleet.take_over(&["-n", "2", "--drain-timeout", "3s"], &command);
        fleet.wait_for_groups(&[ADDRESS], 2);
        until("the others have finished", || fleet.status().workers.len() == 2);
        assert_eq!(identities(&fleet.status())[..], identities(&before)[..2]);
    });
    assert!(seen.errors().is_empty(), "{seen:#?}");
}

#[test]
fn the_generation_goes_on_and_the_next_reload_takes_the_new_command() {
    let stage = Stage::new();
    let servers = [stage.keepalive_server(), stage.static_server()];
    let [old, new] = servers.each_ref().map(String::as_str);
    let reload = |fleet: &Fleet| assert!(fleet.command("reload").status().expect("llb").success());
    let generations =
        |fleet: &Fleet| -> Vec<u32> { fleet.status().workers.iter().map(|worker| worker.generation).collect() };
    let args = ["-n", "2", "--drain-timeout", "2s"];
    let mut fleet = stage.start(&args, &[old, "127.0.0.1", "8080"]);
    Tally::default().ask(ADDRESS, "/", 20);
    // The third generation sits where the first has sat, and where its answers are counted.
    for generation in [2, 3] {
        reload(&fleet);
        until("the old ones are gone", || generations(&fleet) == [generation; 2]);
    }
    let before = fleet.status();
    let seats: BTreeSet<u32> = before.workers.iter().flat_map(|worker| worker.seats.clone()).collect();
    assert_eq!(seats, BTreeSet::from([0, 1]));
    fleet.kill_master();
    fleet.take_over(&args, &[new, "8080"]);
    let after = fleet.status();
    assert_eq!(identities(&after), identities(&before));
    let counts = |status: &Status| -> Vec<_> {
        status.workers.iter().map(|worker| (worker.answered, worker.chosen, worker.latency_us)).collect()
    };
    assert_eq!(counts(&after), counts(&before), "each counts since it has joined");
    assert_eq!(get(ADDRESS, "/").body.split(' ').nth(1), Some("3"), "the old program answers with its generation");
    reload(&fleet);
    until("the third ones are gone", || generations(&fleet) == [4, 4]);
    assert_eq!(get(ADDRESS, "/").body.split(' ').nth(1), None, "the new program does not");
}

/// Requests that a killed master's fleet has taken are answered, whatever state their workers were in.
#[test]
fn a_fleet_whose_master_dies_while_it_ends_is_replaced_and_finishes() {
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let command = [server.as_str(), "127.0.0.1", "8080"];
    let mut fleet = stage.start(&["-n", "2"], &command);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let before = fleet.status();
    let mut slow = crate::harness::Client::connect(ADDRESS);
    slow.send_last("/ms/3000");
    until("it is in flight", || fleet.status().workers.iter().any(|worker| worker.in_flight == Some(1)));
    fleet.signal(Signal::SIGTERM);
    until("its worker drains", || fleet.status().workers.iter().any(|worker| worker.state == "draining"));
    fleet.kill_master();
    fleet.take_over(&["-n", "2"], &command);
    let answer = slow.receive();
    assert_eq!(answer.status, 200, "{answer:?}");
    fleet.wait_for_groups(&[ADDRESS], 2);
    until("the old ones are gone", || fleet.status().workers.len() == 2);
    for worker in before.workers {
        assert!(is_gone(Pid::from_raw(worker.pid.cast_signed())));
    }
}
