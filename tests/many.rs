//! As many workers as a fleet may have, or connections that nobody uses, and what they take.

use std::time::Duration;

use crate::harness::{Client, DEADLINE, Fleet, Launcher, Stage, Tally, get, holds_within, proc, stage::fixture, until};
use llb::internals::clock;
use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::{Pid, SysconfVar, sysconf},
};

const ADDRESS: &str = "127.0.0.1:8080";

/// A turn of llb's loop takes a few of what hundreds of workers that start and end bring about: without optimization some tens of
/// milliseconds, and as long again as hundreds of new processes keep it from its processor.
const TURN_MS: f64 = 300.0;

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
    let room = proc::status(fleet.pid()).field("FDSize");
    assert_reloads(&fleet, slots);
    assert_eq!(proc::status(fleet.pid()).field("FDSize"), room, "whoever makes room waits for all CPUs");
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", slots);
    assert_eq!(tally, Tally((0..slots).map(|slot| (slot, 1)).collect()), "all have their turn");
    let turn = fleet.status().loop_max_ms;
    eprintln!("{slots} workers: longest turn of the loop {turn:.1} ms");
    assert!(turn < TURN_MS, "the loop stood still for {turn:.1} ms");
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
    // As many as llb says that it takes.
    let fleet = stage.start_by(&with_files(128, 368), &["-n", "40"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 40);
    assert_reloads(&fleet, 40);
    assert_eq!(files(fleet.pid()), 368);
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

/// Connections that clients keep and do not use.
const IDLE: usize = 8_000;

/// What llb may take of a core while it closes them, %: without optimization, on a machine that does other things. Optimized it takes
/// less than five.
const CORE_PERCENT: f64 = 20.0;

/// Seconds of a processor that a process has taken.
fn cpu_s(pid: Pid) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / sysconf(SysconfVar::CLK_TCK).expect("a number").expect("a number") as f64
}

#[test]
fn thousands_of_idle_connections_close_spread() {
    setrlimit(Resource::RLIMIT_NOFILE, 20_000, 20_000).expect("root");
    let stage = Stage::new();
    let fleet = stage.start(
        &["-n", "4", "--drain-timeout", "16s"],
        &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"],
    );
    fleet.wait_for_groups(&[ADDRESS], 4);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..IDLE {
        let mut client = Client::connect(ADDRESS);
        client.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        client.receive();
        clients.push(client);
    }
    let (cpu, begun) = (cpu_s(fleet.pid()), clock::now());
    assert!(fleet.command("reload").status().expect("the llb binary").success());
    let mut closed = Vec::new();
    let all = holds_within(DEADLINE, || {
        let left = clients.len();
        clients.retain(|client| !client.has_been_closed());
        closed.extend(std::iter::repeat_n(clock::now(), left - clients.len()));
        clients.is_empty()
    });
    assert!(all, "{} are open", clients.len());
    let took = Duration::from_nanos(clock::now().since(begun)).as_secs_f64();
    let percent = 100.0 * (cpu_s(fleet.pid()) - cpu) / took;
    // The middle half of them.
    let spread = closed[IDLE * 3 / 4].since(closed[IDLE / 4]) / 1_000_000;
    eprintln!("{percent:.1}% of a core over {took:.1} s; half of them closed within {spread} ms");
    assert!(spread > 1_000, "half of them were closed within {spread} ms");
    assert!(percent < CORE_PERCENT, "{percent:.1}% of a core");
}
