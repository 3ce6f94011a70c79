//! As many workers as a fleet may have, and what they take.

mod harness;

use harness::{Fleet, Launcher, Stage, Tally, get, proc, until};
use nix::unistd::Pid;

const ADDRESS: &str = "127.0.0.1:8080";

/// Reloads a fleet as an operator does, and asserts that each worker is a new one that is steered.
#[track_caller]
fn assert_reloads(fleet: &Fleet, slots: u32) {
    let generation = fleet.status().generation;
    let reload = fleet.command("reload").output().expect("the llb binary");
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    fleet.wait_for_groups(&[ADDRESS], slots);
    until("the old ones are gone", || {
        let workers = fleet.status().workers;
        workers.len() == slots as usize && workers.iter().all(|worker| worker.generation > generation)
    });
    get(ADDRESS, "/").slot();
}

#[test]
fn more_workers_than_half_the_seats_are_reloaded() {
    are_reloaded(129);
}

#[test]
fn as_many_workers_as_may_be_are_reloaded() {
    are_reloaded(256);
}

#[track_caller]
fn are_reloaded(slots: u32) {
    let stage = Stage::new();
    let server = stage.static_server();
    let args = ["-n", &slots.to_string(), "--policy", "round-robin", "--ready-timeout", "60s"];
    let fleet = stage.start(&args, &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], slots);
    assert_reloads(&fleet, slots);
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", slots);
    assert_eq!(tally, Tally((0..slots).map(|slot| (slot, 1)).collect()), "all have their turn");
    let status = fleet.status();
    eprintln!("{slots} workers: longest turn of the loop {:.1} ms", status.loop_max_ms);
    fleet.stop();
}

/// A launcher under which llb may have `soft` files open, and might have `hard`.
fn with_files(soft: u32, hard: u32) -> Launcher {
    let limit = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    Launcher { wrapper: vec!["sh".into(), "-c".into(), limit], ..Launcher::default() }
}

/// The soft limit of open files.
fn files(pid: Pid) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit of files");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number")
}

#[test]
fn a_low_limit_of_files_is_raised_for_llb_alone() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start_by(&with_files(128, 4096), &["-n", "40"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 40);
    assert_reloads(&fleet, 40);
    assert_eq!(files(fleet.pid()), 4096);
    for worker in fleet.status().workers {
        assert_eq!(files(Pid::from_raw(worker.pid.cast_signed())), 128);
    }
    let open = proc::open_files(fleet.pid()).len();
    assert!(open <= 128 + 3 * 40, "llb has {open} files open");
    fleet.stop();
}

#[test]
fn too_few_files_for_the_workers_are_said() {
    let stage = Stage::new();
    let server = stage.static_server();
    let args = ["-n", "200"];
    let ended = Fleet::launch_by(&with_files(128, 512), stage.path(), &args, &[&server, "8080"]).wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("200 workers take llb 1328 open files"), "{}", ended.stderr);
    assert!(ended.stderr.contains("and it may have 512"), "{}", ended.stderr);
}
