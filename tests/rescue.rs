//! A worker hangs, and connections wait in its accept queue: others answer them, it goes on unharmed, and serves again.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    time::Duration,
};

use crate::harness::{
    Client, Fleet, Stage,
    balance::assert_balanced,
    get, holds_within,
    open_loop::{Sample, open_loop},
    stage::fixture,
    stopped::Stopped,
    until,
};
use llb::{
    internals::find,
    internals::{clock, pidfd::PidFd, procfs, socket},
    observe::status::WorkerStatus,
};
use nix::{
    sys::{
        signal::Signal,
        socket::{Shutdown, shutdown},
    },
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 3;

/// Of each worker, when all stand still.
const WAITING: usize = 20;

/// Far longer than a rescue takes, and far less than anything hangs here.
const SOON: Duration = Duration::from_millis(500);

/// Rescues in which one may be caught.
const ROUNDS: u32 = 20;

/// Of a core, that a worker may take which has nothing to do.
const IDLE_SHARE: f64 = 0.5;

#[test]
fn a_static_program_is_none_the_worse_for_a_rescue() {
    let stage = Stage::new();
    let server = stage.static_server();
    assert_rescued(&stage, &[&server, "8080"], &[ADDRESS]);
}

#[test]
fn node_is_none_the_worse_for_a_rescue() {
    let stage = Stage::new();
    assert_rescued(&stage, &["node", &fixture("server.js"), "8080"], &["[::]:8080"]);
}

#[test]
fn asyncio_is_none_the_worse_for_a_rescue() {
    let stage = Stage::new();
    assert_rescued(&stage, &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"], &[ADDRESS]);
}

#[test]
fn nginx_is_none_the_worse_for_a_rescue() {
    let stage = Stage::new();
    assert_rescued(&stage, &stage.nginx(SLOTS), &[ADDRESS]);
    for slot in 0..SLOTS {
        assert_eq!(fs::read_to_string(stage.path().join(format!("nginx.{slot}.log"))).expect("its log"), "");
    }
}

/// A loop that ends with the first error that accept returns.
#[test]
fn a_plain_loop_in_python_is_none_the_worse_for_a_rescue() {
    let stage = Stage::new();
    let server = python_loop(&stage);
    assert_rescued(&stage, &["python3", &server], &[ADDRESS]);
}

/// Why workers are frozen for the moment: what a copy of the listener does to a worker that runs.
#[test]
fn a_plain_loop_in_python_would_die_of_a_listener_that_ends_while_it_runs() {
    let stage = Stage::new();
    let server = python_loop(&stage);
    let fleet = stage.start(&["-n", "1"], &["python3", &server]);
    let pid = pid_of(&fleet, 0);
    let cookie = cookies(pid)[0];
    let (copy, _) = find::listener(&[pid], cookie).expect("its listener");
    shutdown(copy.as_raw_fd(), Shutdown::Read).expect("a listener");
    drop(copy);
    until("it has ended", || fleet.stderr().contains("Invalid argument"));
    until("it is replaced", || fleet.status().workers.iter().any(|worker| worker.restarts == 1));
}

/// Its event loop turns no more, and the process runs.
#[test]
fn what_waits_for_a_node_that_computes_is_answered_by_others() {
    let stage = Stage::new();
    let fleet = start(&stage, &["node", &fixture("spin.js"), "8080"], &[], &[ADDRESS]);
    let mut spun = Client::connect(ADDRESS);
    spun.send_last("/spin/3000");
    until("somebody computes", || busy(&fleet).len() == 1);
    let hung = *busy(&fleet).first().expect("a slot");
    let others: Vec<Stopped> = (0..SLOTS).filter(|slot| *slot != hung).map(|slot| stop(&fleet, slot)).collect();
    let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
    let begun = clock::now();
    drop(others);
    for client in &mut clients {
        assert_ne!(client.receive().slot(), hung);
    }
    assert!(clock::now() < begun.after(Duration::from_secs(2)), "they have waited for the worker that computes");
    assert!(fleet.worker(hung).rescued > Some(0), "{:#?}", fleet.status());
    assert_eq!(spun.receive().slot(), hung, "what it has accepted is its own");
    assert_serves_again(&fleet, hung, &[ADDRESS]);
}

#[test]
fn without_a_rescue_they_wait_as_long_as_it_hangs() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = start(&stage, &[&server, "8080"], &["--rescue", "off"], &[ADDRESS]);
    let (hung, others) = (stop(&fleet, 0), [stop(&fleet, 1), stop(&fleet, 2)]);
    let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
    let waiting = fleet.worker(0).in_flight.expect("books");
    drop(others);
    until("it is known to hang", || fleet.worker(0).state == "hung");
    assert_eq!((fleet.worker(0).in_flight, fleet.worker(0).rescued), (Some(waiting), Some(0)));
    drop(hung);
    let answered_by_it = clients.iter_mut().filter_map(|client| (client.receive().slot() == 0).then_some(())).count();
    assert_eq!(answered_by_it as u64, waiting);
    until("it is known to be well", || fleet.worker(0).state == "serving");
}

#[test]
fn the_queues_of_two_that_hang_both_move() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "4", "--policy", "least-inflight"], &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    let (hung, others) = ([stop(&fleet, 0), stop(&fleet, 1)], [stop(&fleet, 2), stop(&fleet, 3)]);
    let mut clients = queue_up(&fleet, 4 * WAITING);
    drop(others);
    for client in &mut clients {
        assert!(client.receive().slot() >= 2);
    }
    assert!([0, 1].iter().all(|slot| fleet.worker(*slot).rescued > Some(0)), "{:#?}", fleet.status());
    drop(hung);
    assert_serves_again(&fleet, 0, &[ADDRESS]);
}

/// Nobody is better off, so nobody is moved; they are answered when their workers go on.
#[test]
fn where_all_hang_nobody_is_moved() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = start(&stage, &[&server, "8080"], &[], &[ADDRESS]);
    let stopped: Vec<Stopped> = (0..SLOTS).map(|slot| stop(&fleet, slot)).collect();
    let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
    until("all are known to hang", || fleet.status().workers.iter().all(|worker| worker.state == "hung"));
    let status = fleet.status();
    assert!(status.workers.iter().all(|worker| worker.rescued == Some(0)), "{status:#?}");
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    drop(stopped);
    clients.iter_mut().for_each(assert_answered);
    until("all are well", || fleet.status().workers.iter().all(|worker| worker.state == "serving"));
    assert_balanced(&fleet, ADDRESS);
}

/// A long request that nobody waits behind is a long request.
#[test]
fn whoever_nobody_waits_for_does_not_hang() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = start(&stage, &[&server, "8080"], &[], &[ADDRESS]);
    let mut long = Client::connect(ADDRESS);
    long.send_last("/ms/2500");
    until("it is being served", || busy(&fleet).len() == 1);
    let mut states = BTreeSet::new();
    until("it is answered", || {
        states.extend(fleet.status().workers.into_iter().map(|worker| worker.state));
        busy(&fleet).is_empty()
    });
    long.receive().slot();
    assert_eq!(states, BTreeSet::from(["serving".to_owned()]));
}

/// It goes on replaced, and its replacement comes first. Without the option none ever is.
#[test]
fn whoever_hangs_for_the_time_that_is_given_is_replaced() {
    let stage = Stage::new();
    let server = stage.static_server();
    let args = ["--hang-timeout", "1500ms", "--drain-timeout", "1s", "--log", "info"];
    let fleet = start(&stage, &[&server, "8080"], &args, &[ADDRESS]);
    let (hung, others) = (stop(&fleet, 0), [stop(&fleet, 1), stop(&fleet, 2)]);
    let pid = fleet.worker(0).pid;
    let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
    drop(others);
    clients.iter_mut().for_each(assert_answered);
    // It had nothing left once it was helped. That it still hangs is seen when it is tried.
    until("it is replaced", || {
        get(ADDRESS, "/").slot();
        let workers = fleet.status().workers;
        let serves = |worker: &WorkerStatus| worker.slot == 0 && worker.pid != pid && worker.state == "serving";
        workers.iter().any(serves) && workers.iter().all(|worker| worker.pid != pid)
    });
    drop(hung);
    let stderr = fleet.stderr();
    let at = |event: &str| stderr.find(event).unwrap_or_else(|| panic!("{event}: {stderr}"));
    assert!(at("hung: no answer for ") < at(r#"event="stopping""#), "{stderr}");
    assert!(fleet.status().workers.iter().filter(|worker| worker.slot != 0).all(|worker| worker.restarts == 0));
    assert_balanced(&fleet, ADDRESS);
}

/// All have a long request; one has a much longer one. Of the short ones that come then, those behind it need not wait as
/// long as it does.
#[test]
fn under_load_nobody_waits_for_the_worker_that_hangs() {
    let (rescued, longest_ms) = burst(&[]);
    eprintln!("{rescued} connections were rescued; the short request that took longest took {longest_ms} ms");
    assert!(longest_ms < 1_000, "{rescued}, {longest_ms} ms");
    // The choice may put nobody behind the one that takes longest. Counting requests alone always does.
    let (rescued, longest_ms) = burst(&["--policy", "least-inflight"]);
    eprintln!("by count: {rescued} rescued, {longest_ms} ms");
    assert!(rescued > 0 && longest_ms < 1_000, "{rescued}, {longest_ms} ms");
    let (rescued, longest_ms) = burst(&["--rescue", "off", "--policy", "least-inflight"]);
    eprintln!("without: {longest_ms} ms");
    assert!(rescued == 0 && longest_ms > 1_500, "{rescued}, {longest_ms} ms");
}

/// How many connections were rescued, and how long the longest of the short requests took, ms.
#[track_caller]
fn burst(args: &[&str]) -> (u64, u64) {
    let stage = Stage::new();
    let server = stage.faulty_server();
    // In line they would wait at llb and not at a worker.
    let args = [&["-n", "4", "--concurrency", "off"], args].concat();
    let fleet = stage.start(&args, &[&server, "127.0.0.1", "8080", "3"]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    (0..16).for_each(|_| drop(get(ADDRESS, "/")));
    fleet.wait_until_quiet();
    let path = |turn| match turn {
        0 => "/ms/2000",
        1..4 => "/ms/150",
        _ => "/",
    };
    let samples = open_loop(ADDRESS, Duration::from_micros(500), 64, |turn| path(turn).to_owned());
    assert!(samples.iter().all(|sample| sample.slot().is_some()), "every request is answered");
    let took = |sample: &Sample| sample.ended.since(sample.begun) / 1_000_000;
    assert!(took(&samples[0]) >= 2_000);
    fleet.wait_until_quiet();
    fleet.wait_for_groups(&[ADDRESS], 4);
    let rescued = fleet.status().workers.iter().filter_map(|worker| worker.rescued).sum();
    assert_balanced(&fleet, ADDRESS);
    (rescued, samples[4..].iter().map(took).max().expect("short requests"))
}

/// The long one waits as well when the queue is moved, so that its new worker answers others before it, and its books show nothing of
/// who is behind it.
#[test]
fn nobody_waits_behind_a_long_request_that_was_moved() {
    let stage = Stage::new();
    let server = stage.faulty_server();
    let args = ["-n", "1", "--concurrency", "off", "--policy", "least-inflight"];
    let fleet = stage.start(&args, &[&server, "127.0.0.1", "8080", "3"]);
    let hung = stop(&fleet, 0);
    let paths: Vec<&str> = ["/"; 6].into_iter().chain(["/ms/3000"]).chain(["/"; 20]).collect();
    let mut clients: Vec<Client> = paths.iter().map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().zip(&paths).for_each(|(client, path)| client.send_last(path));
    until("all wait", || fleet.in_flight() == clients.len() as u64);
    let scaled = fleet.command("scale").arg("3").output().expect("llb scale");
    assert!(scaled.status.success(), "{scaled:?}");
    let begun = clock::now();
    for (client, _) in clients.iter_mut().zip(&paths).filter(|(_, path)| **path == "/") {
        assert_ne!(client.receive().slot(), 0, "it is stopped");
    }
    let took_ms = clock::now().since(begun) / 1_000_000;
    assert!(took_ms < 2_000, "{took_ms} ms");
    assert_ne!(clients[6].receive().slot(), 0, "it is stopped");
    drop(hung);
    assert_serves_again(&fleet, 0, &[ADDRESS]);
}

/// The moment is short, so it is looked for all the time, in several rescues if need be. Whichever instant is hit, nobody is
/// left frozen, and everybody listens.
#[test]
fn a_master_that_is_killed_in_the_middle_of_a_rescue_leaves_nobody_frozen() {
    let stage = Stage::new();
    let server = stage.static_server();
    // A worker that is stopped when its master dies gets SIGHUP from the kernel, as every stopped process whose group is
    // orphaned (setpgid(2)). Here stopping stands for hanging, so it ignores that.
    let command = ["nohup", &server, "8080"];
    let mut fleet = start(&stage, &command, &[], &[ADDRESS]);
    let pids: Vec<Pid> = (0..SLOTS).map(|slot| pid_of(&fleet, slot)).collect();
    let freezers: Vec<File> = freezers(fleet.cgroup());
    let is_frozen = |freezer: &File| {
        let mut word = [0];
        freezer.read_at(&mut word, 0).is_ok_and(|read| read == 1) && word == *b"1"
    };
    let frozen = || freezers.iter().any(is_frozen);
    let caught = (0..ROUNDS).find_map(|_| {
        let (hung, others) = (stop(&fleet, 0), [stop(&fleet, 1), stop(&fleet, 2)]);
        let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
        drop(others);
        let deadline = clock::now().after(SOON);
        while clock::now() < deadline {
            if frozen() {
                fleet.signal(Signal::SIGKILL);
                return Some((hung, clients));
            }
        }
        clients.iter_mut().for_each(assert_answered);
        drop(hung);
        assert_serves_again(&fleet, 0, &[ADDRESS]);
        None
    });
    let (hung, mut clients) = caught.expect("a rescue that was seen");
    // Once more, and wait for it.
    fleet.kill_master();

    until("nobody is frozen", || !frozen());
    until("everybody listens", || pids.iter().all(|pid| cookies(*pid).len() == 1));
    // What was not moved is answered by the worker itself.
    drop(hung);
    clients.iter_mut().for_each(assert_answered);
    // All at once: of those that come one by one any idle worker may take each.
    let mut clients: Vec<Client> = (0..WAITING).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.send_last("/"));
    let slots: BTreeSet<u32> = clients.iter_mut().map(|client| client.receive().slot()).collect();
    assert!(slots.len() > 1, "{slots:?}");
    // The next one has all of them again.
    fleet.take_over(&["-n", &SLOTS.to_string()], &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    assert_serves_again(&fleet, 0, &[ADDRESS]);
}

/// Stops all, lets connections wait for each, and lets all but one go on.
#[track_caller]
fn assert_rescued(stage: &Stage, command: &[&str], groups: &[&str]) {
    let fleet = start(stage, command, &["--log", "info"], groups);
    let (hung, others) = (stop(&fleet, 0), [stop(&fleet, 1), stop(&fleet, 2)]);
    let mut clients = queue_up(&fleet, SLOTS as usize * WAITING);
    let waiting = fleet.worker(0).in_flight;
    assert!(waiting >= Some(WAITING as u64 / 2), "{:#?}", fleet.status());
    let written = fleet.stderr();
    drop(others);
    let begun = clock::now();
    for client in &mut clients {
        assert_ne!(client.receive().slot(), 0, "it is stopped");
    }
    let took_ms = clock::now().since(begun) / 1_000_000;
    assert_eq!(fleet.worker(0).rescued, waiting, "{:#?}", fleet.status());
    eprintln!("{waiting:?} connections of a stopped worker were answered by others within {took_ms} ms");
    until("it is known to hang", || fleet.worker(0).state == "hung");
    let pid = pid_of(&fleet, 0);
    drop(hung);
    assert_serves_again(&fleet, 0, groups);

    assert_eq!(pid_of(&fleet, 0), pid, "it was not replaced");
    assert!(share_of_a_core(pid) < IDLE_SHARE, "it turns a core");
    let since = fleet.stderr().split_off(written.len());
    // Those of llb name the slot.
    for event in [r#"event="rescued""#, r#"event="hung""#, r#"event="recovered""#] {
        assert!(since.contains(event), "{event} is not told of: {since}");
    }
    let of_workers: Vec<&str> =
        since.lines().filter(|line| !line.is_empty() && !line.contains("slot=") && !line.contains("GET /")).collect();
    assert!(of_workers.is_empty(), "workers have complained: {of_workers:#?}");
    let status = fleet.status();
    let moved: u64 = ["migrated", "migrated_by_hash"].iter().map(|outcome| status.selector[*outcome]).sum();
    // On a busy machine one that has just been let go may need help too.
    let rescued: u64 = status.workers.iter().filter_map(|worker| worker.rescued).sum();
    assert_eq!(moved, rescued, "{status:#?}");
    assert_balanced(&fleet, ADDRESS);
}

#[track_caller]
fn assert_answered(client: &mut Client) {
    client.receive().slot();
}

/// It is in its groups again, and answers.
#[track_caller]
fn assert_serves_again(fleet: &Fleet, slot: u32, groups: &[&str]) {
    until("it answers again", || get(ADDRESS, "/").slot() == slot);
    until("it is known to be well", || fleet.worker(slot).state == "serving");
    fleet.wait_for_groups(groups, fleet.status().workers.len() as u32);
}

#[track_caller]
fn start(stage: &Stage, command: &[&str], args: &[&str], groups: &[&str]) -> Fleet {
    let slots = SLOTS.to_string();
    // By requests in flight, so that each has its share when all stand still, whatever they seem to cost.
    let fleet = stage.start(&[&["-n", &slots, "--policy", "least-inflight"], args].concat(), command);
    fleet.wait_for_groups(groups, SLOTS);
    // Workers that have answered cost something, and are at rest.
    (0..4 * SLOTS).for_each(|_| drop(get(ADDRESS, "/")));
    fleet.wait_until_quiet();
    fleet
}

/// So many clients, each waiting for the answer to a request.
#[track_caller]
fn queue_up(fleet: &Fleet, count: usize) -> Vec<Client> {
    let before = fleet.in_flight();
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(ADDRESS)).collect();
    clients.iter_mut().for_each(|client| client.send_last("/"));
    until("all wait", || fleet.in_flight() == before + count as u64);
    clients
}

/// The slots with a request in flight.
fn busy(fleet: &Fleet) -> BTreeSet<u32> {
    fleet.status().workers.iter().filter(|worker| worker.in_flight > Some(0)).map(|worker| worker.slot).collect()
}

#[track_caller]
fn stop(fleet: &Fleet, slot: u32) -> Stopped {
    Stopped::stop(pid_of(fleet, slot))
}

#[track_caller]
fn pid_of(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

/// The cookies of what a process listens on.
fn cookies(pid: Pid) -> Vec<u64> {
    let process = PidFd::open(pid).expect("a process");
    let sockets = procfs::socket_fds(pid).expect("its descriptors");
    let copies = sockets.into_iter().filter_map(|socket| process.get_fd(socket.fd).ok());
    let listening = copies.filter(|copy| matches!(socket::local_addr(copy), Ok(Some(_))) && is_listening(copy));
    listening.map(|copy| socket::cookie(&copy).expect("a socket")).collect()
}

fn is_listening(socket: &OwnedFd) -> bool {
    socket::is_listening(socket).unwrap_or(false)
}

/// The files that say whether a worker is frozen.
fn freezers(cgroup: &Path) -> Vec<File> {
    let workers = fs::read_dir(cgroup).expect("the fleet's cgroup").filter_map(Result::ok);
    workers.filter_map(|worker| File::open(worker.path().join("cgroup.freeze")).ok()).collect()
}

/// How much of a core a process takes, for [`SOON`].
fn share_of_a_core(pid: Pid) -> f64 {
    let (begun, before) = (clock::now(), cpu_ns(pid));
    holds_within(SOON, || false);
    (cpu_ns(pid) - before) as f64 / clock::now().since(begun) as f64
}

/// Processor time of its first thread.
fn cpu_ns(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("a process");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// A server in Python that is written as in a textbook.
fn python_loop(stage: &Stage) -> String {
    let text = "\
import os, socket
listener = socket.create_server(('127.0.0.1', 8080), backlog=128)
while True:
    connection, _ = listener.accept()
    with connection:
        for line in connection.makefile('rb'):
            if not line.strip():
                break
        connection.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n' + os.environ['WORKER_ID'].encode())
";
    stage.write("loop.py", text).to_str().expect("a path in UTF-8").to_owned()
}
