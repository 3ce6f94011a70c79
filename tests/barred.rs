//! A fleet is taken over by an llb that may not look into its workers, as under `kernel.yama.ptrace_scope` 1: those are no
//! descendants of its own.

use std::collections::BTreeSet;

use crate::harness::{
    Launcher, Stage, Tally, get,
    identity::{identities, pid_of},
    until,
};
use nix::sys::signal::{Signal, kill};

const ADDRESS: &str = "127.0.0.1:8080";
const FOUR: [&str; 4] = ["-n", "4", "--policy", "round-robin"];
const SLOTS: u32 = 4;

#[test]
fn workers_that_cannot_be_looked_into_are_steered_on() {
    let stage = Stage::new();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    fleet.kill_master();
    // Root's workers hold this right, so without it they cannot be looked into.
    let wrapper = ["setpriv", "--bounding-set", "-sys_ptrace"].map(String::from).into();
    fleet.take_over_by(Launcher { wrapper, ..Launcher::default() }, &FOUR, &command);
    let after = fleet.status();
    assert_eq!(identities(&after), identities(&before));
    assert_eq!(after.groups, before.groups);
    assert_eq!(fleet.stderr().matches("cannot be looked into").count(), 1, "{}", fleet.stderr());

    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 2 * SLOTS);
    assert_eq!(tally, Tally((0..SLOTS).map(|slot| (slot, 2)).collect()));

    // One that dies gives its place to one that can be looked into.
    kill(pid_of(&after, 1), Signal::SIGKILL).unwrap();
    until("it is replaced and steered", || {
        let status = fleet.status();
        status.workers.iter().all(|worker| worker.slot != 1 || worker.pid != pid_of(&after, 1).as_raw().unsigned_abs())
            && status.groups == before.groups
    });
    assert!(fleet.command("reload").status().unwrap().success());
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let seen: BTreeSet<u32> = (0..2 * SLOTS).map(|_| get(ADDRESS, "/").slot()).collect();
    assert_eq!(seen.len(), SLOTS as usize);
    fleet.stop();
}
