//! A master is killed, and what it has left is no fleet to go on with: another's, changed, asked for by two, or to end with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::harness::{
    Fleet, Plain, Stage, Tally, get,
    identity::{identities, is_gone, pid_of},
    stage::fixture,
    until,
};
use llb::internals::clock;
use nix::{sys::signal::Signal, unistd::Pid};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS: u32 = 4;
const FOUR: [&str; 2] = ["-n", "4"];

/// What ends with its workers, and leaves nothing.
#[test]
fn workers_end_with_their_master_if_that_is_asked_for() {
    let stage = Stage::new();
    let polite = format!(
        "trap 'touch $STAGE/told.$WORKER_ID; kill $server; exit' TERM; (setsid sleep 600 &); \
         python3 '{}' 127.0.0.1 8080 & server=$!; wait",
        fixture("asyncio_server.py")
    );
    let mut fleet = stage.start(&["-n", "2", "--on-master-exit", "stop"], &["sh", "-c", &polite]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    assert_eq!(fleet.pins().len(), 1);
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
    let deaf = format!("trap '' TERM; exec python3 '{}' 127.0.0.1 8080", fixture("asyncio_server.py"));
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

/// The record names a foreign process as a worker, in every way that could deceive.
#[test]
fn foreign_processes_are_neither_adopted_nor_killed() {
    let stage = Stage::new();
    let server = stage.static_server();
    let command = [server.as_str(), "8080"];
    let foreign = Plain::spawn(Command::new("sleep").arg("600").stdin(Stdio::null()));
    let started_at = llb::internals::procfs::started_at(foreign.pid()).expect("a process");
    let mut fleet = stage.start(&FOUR, &command);
    fleet.wait_for_groups(&[ADDRESS], SLOTS);
    let before = fleet.status();
    fleet.kill_master();
    let text = fs::read_to_string(record(&fleet)).expect("a record");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("a record");
    let workers = state["workers"].as_array_mut().expect("workers");
    // The foreign process in a worker's place, one cgroup for two, a way out of the fleet's cgroup, a slot that cannot be, a start
    // that was another's.
    for key in ["pid", "pid_started_at"] {
        workers[0][key] = if key == "pid" { foreign.pid().as_raw().into() } else { started_at.into() };
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
        assert_ne!(pid_of(&after, slot), foreign.pid());
    }
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 40);
    assert_eq!(fleet.stop().code, Some(0));
    assert!(!is_gone(foreign.pid()), "a foreign process was killed");
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
    let code = masters[loser].take().expect("it").wait(crate::harness::DEADLINE).code();
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
    run.args(["--bounding-set", "-sys_admin", crate::harness::fleet::LLB, "run", "-n", "2", "--runtime-dir"]);
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
