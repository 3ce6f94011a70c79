//! A master is killed, and the next one of the name goes on with its fleet: nothing is lost, and nothing is left.

mod harness;

use std::{thread, time::Duration};

use harness::{Stage, Tally, balance::assert_balanced, load::open_loop, until};
use llb::sys::clock;

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;

/// The load of half the fleet, before, while and after the master is killed and another one comes.
#[test]
fn a_takeover_under_load_costs_no_request() {
    let (every, requests) = (Duration::from_millis(4), 600);
    let stage = Stage::new();
    let server = stage.faulty_server();
    let command = [server.as_str(), "127.0.0.1", "8080", "8"];
    let mut fleet = stage.start(&["-n", "4"], &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    let samples = thread::scope(|scope| {
        let load = scope.spawn(|| open_loop(ADDRESS, every, requests, |_| "/".into()));
        until("a tenth has come", || fleet.status().connections >= u64::from(requests / 10));
        fleet.kill_master();
        let killed_at = clock::now();
        fleet.take_over(&["-n", "4"], &command);
        let taken_at = clock::now();
        let samples = load.join().expect("a load");
        let gap = samples.iter().filter(|sample| sample.begun > killed_at && sample.begun < taken_at).count();
        let after = samples.iter().filter(|sample| sample.begun > taken_at).count();
        eprintln!("{gap} of {requests} requests came while no master lived, {after} after that");
        assert!(gap > 0 && after > 0);
        samples
    });
    let lost = samples.iter().filter(|sample| sample.slot().is_none()).count();
    assert_eq!(lost, 0, "of {requests} requests {lost} were not answered");

    let after = fleet.status();
    let who = |status: &llb::observe::status::Status| -> Vec<_> {
        status
            .workers
            .iter()
            .map(|w| (w.slot, w.pid, w.generation, w.seats.clone(), w.state.clone(), w.restarts))
            .collect()
    };
    assert_eq!(who(&after), who(&before), "the workers are the same");
    assert_eq!(after.groups, before.groups);
    let tally: Tally = samples.iter().filter_map(|sample| sample.slot()).collect();
    tally.assert_steered(&after);
    let answered: Vec<u64> = after.workers.iter().filter_map(|worker| worker.answered).collect();
    let seen: Vec<u64> = (0..SLOTS).map(|slot| tally.of(slot)).collect();
    assert_eq!(answered, seen, "each worker's count is what the clients saw");
    assert_balanced(&fleet, ADDRESS);
}
