//! The commands that change a running fleet: each waits until it is over, says how it went, and its exit code says it too.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crate::harness::{DEADLINE, Fleet, Stage, fleet::LLB, get, stopped::Stopped, until};
use llb::observe::{
    event::Event,
    status::{SlotStatus, Status},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDR: &str = "127.0.0.1:8080";

/// A fleet of quick servers. While `$STAGE/broken` is there new ones exit at once, while `$STAGE/slow` is there they wait.
fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let server = stage.static_server();
    let script = format!(
        "test ! -e $STAGE/broken || {{ echo no licence >&2; exit 3; }}\n\
         while test -e $STAGE/slow; do sleep 0.05; done\n\
         exec '{server}' 8080"
    );
    let respawn: &[&str] = if args.contains(&"--respawn") { &[] } else { &["--respawn", "100ms"] };
    stage.start(&[respawn, &["--drain-timeout", "2s"], args].concat(), &["sh", "-c", &script])
}

fn run(fleet: &Fleet, command: &str, args: &[&str]) -> Output {
    fleet.command(command).args(args).output().expect("the llb binary")
}

#[track_caller]
fn done(fleet: &Fleet, command: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(fleet, command, args);
    assert!(status.success(), "llb {command} {args:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[track_caller]
fn fails(fleet: &Fleet, command: &str, args: &[&str], code: i32, says: &str) {
    let Output { status, stdout, stderr } = run(fleet, command, args);
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "llb {command} {args:?}: {stderr}");
    assert!(stderr.contains(says), "llb {command} {args:?}: {says:?} is not in {stderr}");
    assert!(stdout.is_empty());
}

fn touch(stage: &Stage, name: &str) -> PathBuf {
    stage.write(name, "")
}

/// Pids of the workers that serve, by slot.
fn serving(status: &Status) -> Vec<u32> {
    status.workers.iter().filter(|worker| worker.state == "serving").map(|worker| worker.pid).collect()
}

fn slot(fleet: &Fleet, slot: u32) -> SlotStatus {
    fleet.status().slots.into_iter().find(|found| found.slot == slot).expect("the slot")
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn events(fleet: &Fleet) -> Vec<Event> {
    done(fleet, "events", &["--json"]).lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

/// A command that runs while the test does something else.
struct Running(Child);

impl Running {
    fn start(fleet: &Fleet, command: &str, args: &[&str]) -> Self {
        let mut command = fleet.command(command);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().expect("the llb binary"))
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }

    #[track_caller]
    fn code(&mut self) -> Option<i32> {
        until("the command is over", || self.is_over());
        self.0.wait().expect("a child").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has most likely ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reload_is_over_when_the_new_generation_serves() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let old = serving(&fleet.status());
    assert_eq!(done(&fleet, "reload", &[]), format!("{}: generation 2 serves\n", fleet.name()));
    let status = fleet.status();
    let new: Vec<_> = status.workers.iter().filter(|worker| worker.state == "serving").collect();
    assert_eq!((status.generation, status.reloading, new.len()), (2, None, 2));
    assert!(new.iter().all(|worker| worker.generation == 2 && !old.contains(&worker.pid)), "{new:#?}");

    assert_eq!(
        done(&fleet, "reload", &["--rolling", "--max-surge", "2", "--json"]),
        "{\"ok\":true,\"generation\":3}\n"
    );
    assert_eq!(fleet.status().generation, 3);
    // Two that are asked for at once are both answered.
    let mut both = [Running::start(&fleet, "reload", &[]), Running::start(&fleet, "reload", &["--rolling"])];
    assert_eq!(both.each_mut().map(Running::code), [Some(0), Some(0)]);
    assert!(fleet.status().generation > 3);
    get(ADDR, "/").slot();
}

#[test]
fn a_reload_that_fails_is_rolled_back_and_says_so() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let before = serving(&fleet.status());
    touch(&stage, "broken");
    fails(&fleet, "reload", &[], 6, "llb: rolled back: ");
    let status = fleet.status();
    assert_eq!((serving(&status), status.generation, status.reloading), (before, 1, None));
    let output = run(&fleet, "reload", &["--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), answer["failure"].as_str()), (Some(6), Some("rolled_back")), "{answer}");
    get(ADDR, "/").slot();
    fs::remove_file(stage.path().join("broken")).unwrap();
    done(&fleet, "reload", &[]);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"]);
    let before = serving(&fleet.status());
    fails(&fleet, "drain", &["0"], 7, "llb: refused: no other worker serves");
    fails(&fleet, "drain", &["1"], 7, "there is no slot 1");
    fails(&fleet, "restart", &["9"], 7, "there is no slot 9");
    for (command, args, says) in [
        ("scale", &["0"][..], "1..=256"),
        ("scale", &["257"], "1..=256"),
        ("scale", &[], "<N>"),
        ("drain", &["x"], "invalid digit"),
        ("reload", &["--max-surge", "2"], "--rolling"),
    ] {
        fails(&fleet, command, args, 2, says);
    }
    assert_eq!(serving(&fleet.status()), before);
    // The same past the command line.
    for (request, says) in [
        (r#"{"cmd":"scale","workers":0}"#, "1 to 256"),
        (r#"{"cmd":"scale","workers":4294967295}"#, "1 to 256"),
        (r#"{"cmd":"reload","max_surge":1}"#, "rolling"),
        (r#"{"cmd":"restart","slot":4294967295}"#, "no slot"),
    ] {
        let answer = ask(&fleet, request);
        assert!(answer.contains(r#""failure":"refused""#) && answer.contains(says), "{request}: {answer}");
    }
    assert_eq!(serving(&fleet.status()), before);
}

/// The first line of the answer to a request.
fn ask(fleet: &Fleet, request: &str) -> String {
    let stream = UnixStream::connect(fleet.runtime_dir().join(fleet.name()).join("control")).expect("the socket");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    std::io::Write::write_all(&mut &stream, format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line
}

#[test]
fn nobody_can_be_commanded_where_no_fleet_is() {
    let stage = Stage::new();
    for command in
        [&["reload"][..], &["scale", "2"], &["drain", "0"], &["restart", "0"], &["stop"], &["events"], &["status"]]
    {
        let mut llb = Command::new(LLB);
        let output = llb.args(command).args(["--name", "nobody", "--runtime-dir"]).arg(stage.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("no llb named nobody runs here"), "{stderr}");
    }
}

#[test]
fn scaling_is_over_when_all_serve_that_are_to_and_all_others_are_gone() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    assert_eq!(done(&fleet, "scale", &["4"]), format!("{}: 4 workers\n", fleet.name()));
    let four = fleet.status();
    assert_eq!((four.slots.len(), serving(&four).len()), (4, 4));
    done(&fleet, "scale", &["4"]);
    assert_eq!(serving(&fleet.status()), serving(&four), "what is so already is left alone");
    assert_eq!(done(&fleet, "scale", &["1", "--json"]), "{\"ok\":true,\"workers\":1}\n");
    let one = fleet.status();
    assert_eq!((one.slots.len(), one.workers.len()), (1, 1));
    assert!(serving(&four)[1..].iter().all(|pid| !is_alive(*pid)));
    assert_eq!(get(ADDR, "/").slot(), 0);

    // Nobody comes up in the new slot, and it is given up.
    touch(&stage, "broken");
    fails(&fleet, "scale", &["2"], 1, "llb: failed: slot 1 stays empty: ");
    assert_eq!(slot(&fleet, 1).state, "failed");
    let table = done(&fleet, "status", &[]);
    assert!(table.lines().any(|line| line.starts_with("   1       -   failed") && line.contains("code 3")), "{table}");
    fs::remove_file(stage.path().join("broken")).unwrap();
    done(&fleet, "restart", &["1"]);
    assert_eq!((slot(&fleet, 1).state.as_str(), serving(&fleet.status()).len()), ("filled", 2));
}

/// It serves, and will not become ready once more.
#[test]
fn a_worker_that_hangs_does_not_hold_up_a_change_of_slots() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3"]);
    let stopped = Stopped::stop(Pid::from_raw(fleet.worker(0).pid.cast_signed()));
    until("it is known to hang", || {
        get(ADDR, "/");
        fleet.worker(0).state == "hung"
    });
    let mut scaling = Running::start(&fleet, "scale", &["2"]);
    until("it is over", || scaling.is_over());
    assert_eq!((scaling.code(), fleet.worker(0).state.as_str()), (Some(0), "hung"));
    drop(stopped);
}

#[test]
fn a_slot_is_drained_when_its_worker_is_gone_and_filled_again_by_a_restart() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let old = fleet.worker(1).pid;
    assert_eq!(done(&fleet, "drain", &["1"]), format!("{}: slot 1 is drained\n", fleet.name()));
    assert!(!is_alive(old));
    let status = fleet.status();
    assert_eq!((status.workers.len(), slot(&fleet, 1).state.as_str()), (1, "drained"));
    assert!((0..8).all(|_| get(ADDR, "/").slot() == 0));
    // Once more is no harm, but the last one stays.
    done(&fleet, "drain", &["1"]);
    fails(&fleet, "drain", &["0"], 7, "refused");

    let said = done(&fleet, "restart", &["1"]);
    let new = fleet.worker(1);
    assert_eq!(
        (new.state.as_str(), said),
        ("serving", format!("{}: slot 1 is served by pid {}\n", fleet.name(), new.pid))
    );
    let said: serde_json::Value = serde_json::from_str(&done(&fleet, "restart", &["1", "--json"])).unwrap();
    let serves = serving(&fleet.status());
    assert!(serves.len() == 2 && !serves.contains(&new.pid), "{serves:?}");
    assert_eq!(said["pid"].as_u64(), serves.get(1).map(|pid| u64::from(*pid)));

    touch(&stage, "broken");
    fails(&fleet, "restart", &["1"], 1, "slot 1 has no new worker: exited with code 3");
    assert_eq!(serving(&fleet.status()), serves, "the old one serves on");
}

#[test]
fn stop_returns_when_nothing_is_left() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let workers = serving(&fleet.status());
    let directory = fleet.runtime_dir().join(fleet.name());
    assert_eq!(done(&fleet, "stop", &[]), format!("{}: stopped\n", fleet.name()));
    assert!(!directory.exists() && !fleet.cgroup().exists() && workers.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(fleet.wait().code, Some(0));
}

#[test]
fn who_waits_for_a_reload_may_go_and_learns_of_the_fleets_end() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let slow = touch(&stage, "slow");
    let mut reload = Running::start(&fleet, "reload", &[]);
    until("it has begun", || fleet.status().reloading == Some(2));
    reload.0.kill().unwrap();
    assert_eq!(reload.code(), None);
    assert_eq!(fleet.status().reloading, Some(2), "it goes on without its asker");
    fs::remove_file(&slow).unwrap();
    until("the new generation serves", || fleet.status().generation == 2);

    touch(&stage, "slow");
    let mut reload = Running::start(&fleet, "reload", &[]);
    until("it has begun", || fleet.status().reloading == Some(3));
    assert!(!reload.is_over());
    done(&fleet, "stop", &[]);
    assert_eq!(reload.code(), Some(1));
    fleet.wait();
}

#[test]
fn events_tell_what_was_and_what_comes_until_the_fleet_ends() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"]);
    let past = events(&fleet);
    let pid = fleet.worker(0).pid;
    let about = |kind: &str| past.iter().filter(|event| event.event == kind && event.pid == Some(pid)).count();
    assert_eq!(["spawned", "listening", "ready", "exited"].map(about), [1, 1, 1, 0], "{past:#?}");
    assert!(past.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1 && pair[1].at_ms >= pair[0].at_ms), "{past:#?}");

    let mut follow = Running::start(&fleet, "events", &["--follow", "--json"]);
    let mut lines = BufReader::new(follow.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    for event in &past {
        assert_eq!(serde_json::from_str::<Event>(&lines.next().unwrap()).unwrap(), *event);
    }
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let mut coming = lines.map(|line| serde_json::from_str::<Event>(&line).unwrap());
    let exit = coming.find(|event| event.event == "exited").expect("its end");
    assert_eq!((exit.slot, exit.pid, exit.cause.as_str()), (Some(0), Some(pid), "was killed by SIGKILL"));
    let ready = coming.find(|event| event.event == "ready").expect("its replacement");
    assert_eq!(ready.slot, Some(0));
    assert!(done(&fleet, "events", &[]).contains("was killed by SIGKILL"));

    done(&fleet, "stop", &[]);
    assert_eq!(coming.last().map(|event| event.event), Some("down".to_owned()));
    assert_eq!(follow.code(), Some(0));
    fleet.wait();
}

#[test]
fn the_status_tells_of_waiting_connections_and_waiting_slots() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1", "--respawn", "30s"]);
    assert_eq!(fleet.worker(0).queued, Some(0));
    let pid = Pid::from_raw(fleet.worker(0).pid.cast_signed());
    let stopped = Stopped::stop(pid);
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(ADDR).unwrap()).collect();
    until("three connections wait", || fleet.worker(0).queued == Some(3));
    let table = done(&fleet, "status", &[]);
    let head = table.lines().find(|line| line.starts_with("slot")).expect("a head");
    assert!(head.find("restarts").is_some_and(|at| at <= 100), "{table}");
    assert_eq!(fleet.worker(0).share, 1.0);
    drop((clients, stopped));

    kill(pid, Signal::SIGKILL).unwrap();
    until("the slot waits", || slot(&fleet, 0).state == "waiting");
    let waiting = slot(&fleet, 0);
    assert!(waiting.starts_in_s.is_some_and(|seconds| seconds > 0.0 && seconds <= 30.0), "{waiting:?}");
    let table = done(&fleet, "status", &[]);
    let row = table.lines().find(|line| line.starts_with("   0       -  waiting")).expect("its row");
    assert!(row.contains("was killed by SIGKILL; starts in "), "{table}");
    // An operator need not wait.
    done(&fleet, "restart", &["0"]);
    assert_eq!(slot(&fleet, 0).state, "filled");
}
