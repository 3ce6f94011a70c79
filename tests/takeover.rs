//! A master is killed, and the next one of the name goes on with its fleet: nothing is lost, and nothing is left.

mod harness;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    Fleet, Plain, Stage, Tally,
    balance::assert_balanced,
    fleet::pins,
    get,
    load::open_loop,
    stage::fixture,
    steady::{Steady, steady},
    until,
};
use llb::{
    internals::clock,
    observe::status::{Status, WorkerStatus},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;
const FOUR: [&str; 2] = ["-n", "4"];

/// What a takeover must not change.
fn identity(worker: &WorkerStatus) -> (u32, u32, u32, Vec<u32>, String, u32) {
    let WorkerStatus { slot, pid, generation, seats, state, restarts, .. } = worker;
    (*slot, *pid, *generation, seats.clone(), state.clone(), *restarts)
}

fn identities(status: &Status) -> Vec<(u32, u32, u32, Vec<u32>, String, u32)> {
    status.workers.iter().map(identity).collect()
}

fn pid_of(status: &Status, slot: u32) -> Pid {
    let worker = status.workers.iter().find(|worker| worker.slot == slot).expect("a worker of the slot");
    Pid::from_raw(worker.pid.cast_signed())
}

fn is_gone(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

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
    let seats: Vec<u32> = before.workers.iter().flat_map(|worker| worker.seats.clone()).collect();
    assert_eq!(seats, [0, 1]);
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
    let mut slow = harness::Client::connect(ADDRESS);
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

/// What ends with its workers, and leaves nothing.
#[test]
fn workers_end_with_their_master_if_that_is_asked_for() {
    let stage = Stage::new();
    let polite = format!(
        "trap 'touch $STAGE/told.$WORKER_ID; kill $server; exit' TERM; (setsid sleep 600 &); \
         python3 {} 127.0.0.1 8080 & server=$!; wait",
        fixture("asyncio_server.py")
    );
    let mut fleet = stage.start(&["-n", "2", "--on-master-exit", "stop"], &["sh", "-c", &polite]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    assert_eq!(pins(fleet.name()).len(), 1);
    let workers = fleet.status().workers;
    fleet.kill_master();
    // That the workers, the guard, the cgroup, the pins and the runtime directory are gone is asserted there.
    let ended = fleet.wait();
    assert_eq!(ended.signal, Some(Signal::SIGKILL as i32));
    assert!(ended.stderr.contains("has died; ended its workers"), "{}", ended.stderr);
    for worker in workers {
        assert!(is_gone(Pid::from_raw(worker.pid.cast_signed())));
        assert!(stage.path().join(format!("told.{}", worker.slot)).exists(), "slot {} was not told", worker.slot);
    }
}

#[test]
fn whoever_does_not_end_with_the_master_is_killed_when_its_time_is_over() {
    let stage = Stage::new();
    let deaf = format!("trap '' TERM; exec python3 {} 127.0.0.1 8080", fixture("asyncio_server.py"));
    let args = ["-n", "2", "--on-master-exit", "stop", "--drain-timeout", "700ms"];
    let mut fleet = stage.start(&args, &["sh", "-c", &deaf]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let worker = pid_of(&fleet.status(), 0);
    fleet.kill_master();
    let killed_at = clock::now();
    until("it is killed", || is_gone(worker));
    assert!(clock::now() >= killed_at.after(Duration::from_millis(700)), "it has not had its time");
    fleet.wait();
}

/// What is kept of the fleet's record, changed before the next master comes; and what that one says.
#[test]
fn what_does_not_fit_is_started_afresh_and_said() {
    type Change = fn(&str) -> String;
    let unchanged: Change = str::to_owned;
    let cases: [(Change, &[&str], &str); 5] = [
        (unchanged, &["--tracking", "off"], "--tracking is another"),
        (unchanged, &["-p", "8080"], "-p is another"),
        (|text| text.replace("\"format\":1", "\"format\":999"), &[], "format of the state is 999"),
        (|text| text.replace("LLB_ABI_", "LLB_ABI_x"), &[], "layout of the maps is LLB_ABI_x"),
        (|text| text[..text.len() / 2].to_owned(), &[], "cannot be read"),
    ];
    let stage = Stage::new();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    for (change, args, said) in cases {
        let mut fleet = stage.start(&["-n", "2"], &command);
        let before = fleet.status();
        fleet.kill_master();
        change_record(&fleet, change);
        fleet.take_over(&[&["-n", "2"], args].concat(), &command);
        let stderr = fleet.stderr();
        assert!(stderr.contains("starts afresh instead of taking over") && stderr.contains(said), "{said}: {stderr}");
        assert!(stderr.contains("that did not end in order had left"), "{stderr}");
        for worker in before.workers {
            assert!(is_gone(Pid::from_raw(worker.pid.cast_signed())), "{said}");
        }
        get(ADDRESS, "/").slot();
        assert_eq!(fleet.stop().code, Some(0));
    }
}

#[track_caller]
fn change_record(fleet: &Fleet, change: impl Fn(&str) -> String) {
    let path = record(fleet);
    let text = fs::read_to_string(&path).expect("a record");
    fs::write(path, change(&text)).expect("a record");
}

fn record(fleet: &Fleet) -> PathBuf {
    fleet.runtime_dir().join(fleet.name()).join("state")
}

/// A process that is none of the fleet's; killed when dropped.
struct Stranger(std::process::Child);

impl Stranger {
    fn start() -> Self {
        Stranger(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The record names a stranger as a worker, in every way that could deceive.
#[test]
fn strangers_are_neither_adopted_nor_killed() {
    let stage = Stage::new();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    let stranger = Stranger::start();
    let started_at = llb::internals::procfs::started_at(stranger.pid()).expect("a process");
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    fleet.kill_master();
    let text = fs::read_to_string(record(&fleet)).expect("a record");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("a record");
    let workers = state["workers"].as_array_mut().expect("workers");
    // The stranger in a worker's place, one cgroup for two, a way out of the fleet's cgroup, a slot that cannot be, a start
    // that was another's.
    for key in ["pid", "pid_started_at"] {
        workers[0][key] = if key == "pid" { stranger.pid().as_raw().into() } else { started_at.into() };
    }
    let mut twice = workers[1].clone();
    twice["slot"] = 3.into();
    let mut outside = workers[0].clone();
    outside["cgroup"] = "..".into();
    let mut nowhere = workers[0].clone();
    nowhere["slot"] = u32::MAX.into();
    workers[2]["pid_started_at"] = 1.into();
    workers[3]["seats"] = serde_json::json!([{"seat": 0, "books": [1, 2, 3], "latencies": []},
        {"seat": 4_000_000_000_u32, "books": [], "latencies": []}]);
    workers.extend([twice, outside, nowhere]);
    state["generation"] = u32::MAX.into();
    fs::write(record(&fleet), state.to_string()).expect("a record");

    fleet.take_over(&FOUR, &command);

    assert!(fleet.stderr().contains("took over 2 workers"), "{}", fleet.stderr());
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let after = fleet.status();
    for slot in [1, 3] {
        assert_eq!(pid_of(&after, slot), pid_of(&before, slot));
    }
    for slot in [0, 2] {
        assert!(is_gone(pid_of(&before, slot)), "slot {slot}");
        assert_ne!(pid_of(&after, slot), stranger.pid());
    }
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 40);
    assert_eq!(fleet.stop().code, Some(0));
    assert!(!is_gone(stranger.pid()), "a stranger was killed");
}

#[test]
fn of_two_masters_that_come_at_once_one_takes_over() {
    let stage = Stage::new();
    let server = stage.static_server();
    let mut fleet = stage.start(&FOUR, &[&server, "8080"]);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    fleet.kill_master();
    let logs = [stage.path().join("one"), stage.path().join("other")];
    let mut masters: Vec<Option<Plain>> = logs
        .iter()
        .map(|log| {
            let mut run = fleet.command("run");
            run.args(FOUR).args(["--", &server, "8080"]).stdin(Stdio::null()).stdout(Stdio::null());
            Some(Plain::spawn(run.stderr(fs::File::create(log).expect("a log"))))
        })
        .collect();
    let refused = |masters: &mut Vec<Option<Plain>>| {
        masters.iter_mut().position(|master| master.as_mut().is_some_and(|master| master.ended().is_some()))
    };
    let mut loser = None;
    until("one is refused", || {
        loser = refused(&mut masters);
        loser.is_some()
    });
    let loser = loser.expect("one that has ended");
    let code = masters[loser].take().expect("it").wait(harness::DEADLINE).code();
    let said = fs::read_to_string(&logs[loser]).expect("a log");
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("runs already"), "{said}");
    until("the other serves", || fs::read_to_string(&logs[1 - loser]).is_ok_and(|log| log.contains("llb: serving")));
    assert_eq!(identities(&fleet.status()), identities(&before));
    assert!(masters[1 - loser].take().expect("the other").stop().success());
}

/// Leads the calling thread to where the system has mounted no BPF file system.
fn without_bpffs() {
    use nix::{
        mount::{MntFlags, MsFlags, mount, umount2},
        sched::{CloneFlags, unshare},
    };
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: these tests need root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts of our own");
    // There may be none.
    let _ = umount2("/sys/fs/bpf", MntFlags::MNT_DETACH);
    assert!(!llb::internals::bpffs::is_bpffs(Path::new("/sys/fs/bpf")));
}

#[test]
fn a_fleet_without_a_bpf_file_system_mounts_its_own() {
    let stage = Stage::new();
    without_bpffs();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let mounted = fleet.runtime_dir().join(fleet.name()).join("bpf");
    assert!(llb::internals::bpffs::is_bpffs(&mounted));
    let before = fleet.status();
    fleet.kill_master();
    fleet.take_over(&FOUR, &command);
    assert_eq!(identities(&fleet.status()), identities(&before));
    assert_eq!(fleet.stop().code, Some(0));
    let mounts = fs::read_to_string("/proc/thread-self/mounts").expect("mounts");
    assert!(!mounts.contains(mounted.to_str().expect("a path in UTF-8")), "{mounts}");
}

#[test]
fn where_nothing_can_be_pinned_that_is_said_once() {
    let stage = Stage::new();
    without_bpffs();
    let server = stage.static_server();
    let log = stage.path().join("log");
    let mut run = Command::new("setpriv");
    run.args(["--bounding-set", "-sys_admin", harness::fleet::LLB, "run", "-n", "2", "--runtime-dir"]);
    run.arg(stage.path().join("run")).args([
        "--name",
        &format!("unpinned-{}", std::process::id()),
        "--",
        &server,
        "8080",
    ]);
    let master = Plain::spawn(run.stdin(Stdio::null()).stderr(fs::File::create(&log).expect("a log")));
    let said = || fs::read_to_string(&log).expect("a log");
    until("it serves", || said().contains("llb: serving"));
    get(ADDRESS, "/").slot();
    assert!(master.stop().success());
    assert_eq!(said().matches("the next one cannot take over its workers").count(), 1, "{}", said());
}
