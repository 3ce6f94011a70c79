//! Workers begin and end as they should, and nothing of a fleet is left when it is over: the harness asserts that at
//! the end of each.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::AsFd,
    process::{Command, Stdio},
    time::Duration,
};

use crate::harness::{Client, Fleet, Plain, Stage, fleet::LLB, get, holds_within, stage::fixture, until};
use llb::{model::Instant, now, observe::status::Status};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDR: &str = "127.0.0.1:8080";
const TWO: [&str; 2] = ["-n", "2"];
const DISCONNECT: &str = r#"say 1 {"cmd":"disconnect"}"#;

/// The fixture worker that does what the test says.
fn report() -> [String; 4] {
    ["python3".into(), fixture("report.py"), "127.0.0.1".into(), "8080".into()]
}

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    stage.start(args, &report().each_ref().map(String::as_str))
}

fn pid(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

fn ms_since(before: Instant) -> u64 {
    now().since(before) / 1_000_000
}

/// Whether a process has ended, be it that its parent has not heard of it yet.
fn is_gone(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Whether slot `slot` is filled by one worker that serves, and not by `old`.
fn is_replaced(status: &Status, slot: u32, old: Pid) -> bool {
    let of_slot: Vec<_> = status.workers.iter().filter(|worker| worker.slot == slot).collect();
    of_slot.len() == 1 && of_slot[0].state == "serving" && of_slot[0].pid != old.as_raw().unsigned_abs()
}

#[test]
fn each_way_to_be_told_to_end_ends_everything_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let stage = Stage::new();
        let fleet = start(&stage, &TWO);
        let workers = [pid(&fleet, 0), pid(&fleet, 1)];
        fleet.signal(signal);
        let ended = fleet.wait();
        assert_eq!((ended.code, ended.signal), (Some(0), None), "{signal}: {}", ended.stderr);
        for worker in workers {
            assert!(is_gone(worker), "{signal} has left a worker");
        }
    }
}

#[test]
fn whoever_ignores_sigterm_is_killed_when_its_time_is_over_and_its_offspring_too() {
    let stage = Stage::new();
    let deaf = format!(
        "trap '' TERM INT HUP; (setsid sleep 600 &); sleep 600 & exec python3 '{}' 127.0.0.1 8080",
        fixture("asyncio_server.py")
    );
    let fleet = stage.start(&["-n", "2", "--drain-timeout", "700ms"], &["sh", "-c", &deaf]);
    let before = now();
    let ended = fleet.stop();
    assert!(ms_since(before) >= 700);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("did not end in time, killed"), "{}", ended.stderr);
}

#[test]
fn a_second_signal_does_not_wait() {
    let stage = Stage::new();
    let deaf = format!("trap '' TERM; exec python3 '{}' 127.0.0.1 8080", fixture("asyncio_server.py"));
    let fleet = stage.start(&["-n", "1", "--drain-timeout", "1h"], &["sh", "-c", &deaf]);
    // As timeout(1) does it: two at once are one.
    fleet.signal(Signal::SIGTERM);
    fleet.signal(Signal::SIGINT);
    let before = now();
    until("that was one wish", || ms_since(before) > 300);
    assert_eq!(fleet.worker(0).state, "stopping");
    fleet.signal(Signal::SIGTERM);
    assert_eq!(fleet.wait().code, Some(0));
}

#[test]
fn a_stopped_worker_does_not_stall_the_end() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2", "--drain-timeout", "1h"]);
    kill(pid(&fleet, 0), Signal::SIGSTOP).unwrap();
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn a_killed_worker_is_replaced_in_its_slot_and_the_others_serve_on() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2", "--policy", "round-robin"]);
    let (old, other) = (pid(&fleet, 1), pid(&fleet, 0));
    kill(old, Signal::SIGKILL).unwrap();
    until("it is replaced", || {
        get(ADDR, "/").slot();
        is_replaced(&fleet.status(), 1, old)
    });
    let worker = fleet.worker(1);
    assert_eq!((worker.restarts, fleet.worker(0).restarts), (1, 0));
    assert!(worker.last_exit.as_ref().is_some_and(|exit| exit.contains("SIGKILL")), "{worker:?}");
    assert_eq!(pid(&fleet, 0), other);
    let seen: std::collections::BTreeSet<u32> = (0..40).map(|_| get(ADDR, "/").slot()).collect();
    assert_eq!(seen.len(), 2, "the new one serves as well");
}

#[test]
fn a_worker_that_dies_again_and_again_is_started_ever_more_slowly() {
    let stage = Stage::new();
    let serve = format!(
        "[ -e $STAGE/broken ] && {{ cut -d' ' -f1 /proc/uptime >> $STAGE/starts; exit 7; }}; \
         exec python3 '{}' 127.0.0.1 8080",
        fixture("asyncio_server.py")
    );
    let fleet = stage.start(&["-n", "1", "--respawn", "200ms"], &["sh", "-c", &serve]);
    stage.write("broken", "");
    kill(pid(&fleet, 0), Signal::SIGKILL).unwrap();
    let starts = || -> Vec<f64> {
        let text = fs::read_to_string(stage.path().join("starts")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("it has been started four times", || starts().len() >= 4);
    let since_the_first: Vec<f64> = starts().iter().map(|start| start - starts()[0]).collect();
    // 400, 1,200 and 2,800 ms; a shell that starts late is no pace, so half of it has to do, and the first may be late itself.
    assert!(since_the_first[2] > 0.6 && since_the_first[3] > 1.4, "{since_the_first:?}");
    fs::remove_file(stage.path().join("broken")).unwrap();
    until("it serves again", || fleet.status().workers.iter().any(|worker| worker.state == "serving"));
    assert!(fleet.worker(0).last_exit.is_some_and(|exit| exit.contains("code 7")));
}

/// With one worker nobody else can take over: each moment without one would be a refused connection.
#[test]
fn whoever_asks_to_leave_is_replaced_without_a_refused_connection() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"]);
    let old = pid(&fleet, 0);
    let mut slow = Client::connect(ADDR);
    slow.send("/wait/3000");
    until("it is in flight", || fleet.worker(0).in_flight == Some(1));
    stage.tell(0, DISCONNECT);
    until("both are there", || fleet.status().workers.len() == 2);
    until("it is draining", || {
        get(ADDR, "/").slot();
        fleet.worker(0).state == "draining"
    });
    assert_eq!(slow.receive().slot(), 0, "it finishes what it holds");
    until("it is replaced", || {
        get(ADDR, "/").slot();
        is_replaced(&fleet.status(), 0, old)
    });
    assert_eq!(fleet.worker(0).restarts, 1);
}

/// The graceful end of a Node server: it closes its listener at once and answers what it holds.
#[test]
fn a_closed_listener_is_no_end_of_the_requests_in_flight() {
    let stage = Stage::new();
    let server = stage.write(
        "server.js",
        "const server = require('node:http').createServer((request, response) => {
            if (request.url === '/slow') return setTimeout(() => response.end(process.env.WORKER_ID), 2000)
            if (request.url === '/leave') process.send({ cmd: 'disconnect' })
            response.end(process.env.WORKER_ID)
        }).listen(8080, '127.0.0.1')
        process.on('message', message => { if (message.cmd === 'disconnect') server.close() })",
    );
    let fleet = stage.start(&["-n", "1"], &["node", server.to_str().unwrap()]);
    let old = pid(&fleet, 0);
    let mut slow = Client::connect(ADDR);
    slow.send_last("/slow");
    until("it is in flight", || fleet.worker(0).in_flight == Some(1));
    get(ADDR, "/leave");
    assert_eq!(slow.receive().slot(), 0);
    until("it is replaced", || is_replaced(&fleet.status(), 0, old));
}

#[test]
fn the_terminals_interrupt_reaches_llb_alone() {
    let stage = Stage::new();
    let worker = stage.write(
        "worker.py",
        "import os, signal, socketserver, threading\n\
         def heard(number, frame):\n    \
             open(os.environ['STAGE'] + '/heard', 'a').write(signal.Signals(number).name + '\\n')\n    \
             if number == signal.SIGTERM: os._exit(0)\n\
         for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, heard)\n\
         server = socketserver.TCPServer(('127.0.0.1', 8080), socketserver.BaseRequestHandler)\n\
         open(os.environ['STAGE'] + '/up', 'w').close()\n\
         server.serve_forever()\n",
    );
    let (runtime, name) = (stage.path().join("run"), format!("terminal-{}", std::process::id()));
    let line = format!(
        "exec '{LLB}' run -n 1 --name {name} --runtime-dir {} -- python3 '{}'",
        runtime.display(),
        worker.display()
    );
    let (keyboard, typist) = nix::unistd::pipe().unwrap();
    let screen = stage.path().join("screen");
    let mut terminal = Command::new("script");
    terminal.args(["-qfec", &line, "/dev/null"]).env("STAGE", stage.path());
    let mut terminal = Plain::spawn(terminal.stdin(keyboard).stdout(File::create(&screen).unwrap()));
    until("it serves", || fs::read_to_string(&screen).unwrap().contains("llb: serving"));
    File::from(typist.try_clone().unwrap()).write_all(b"\x03").unwrap();
    terminal.wait(crate::harness::DEADLINE);
    assert_eq!(fs::read_to_string(stage.path().join("heard")).unwrap(), "SIGTERM\n");
    assert!(!runtime.join(name).exists());
}

#[test]
fn what_workers_write_comes_through_byte_for_byte() {
    let stage = Stage::new();
    let bytes: Vec<u8> = (0..=255).collect();
    fs::write(stage.path().join("bytes"), &bytes).unwrap();
    // The second start of a failing worker is captured; it must look the same.
    let script = "cat $STAGE/bytes; cat $STAGE/bytes >&2; exit 1";
    let (out, err) = (stage.path().join("out"), stage.path().join("err"));
    let mut command = Command::new(LLB);
    // llb's own words are not to come in between.
    command.args(["run", "-n", "1", "--log", "off", "--runtime-dir"]).arg(stage.path().join("run"));
    command.args(["--name", &format!("bytes-{}", std::process::id()), "--", "sh", "-c", script]);
    command.env("STAGE", stage.path()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let status = Plain::spawn(&mut command).wait(crate::harness::DEADLINE);
    assert_eq!(status.code(), Some(4));
    assert_eq!(fs::read(&out).unwrap(), [&bytes[..], &bytes].concat());
    assert!(fs::read(&err).unwrap().starts_with(&[&bytes[..], &bytes].concat()));
}

#[test]
fn a_worker_knows_its_place_and_holds_nothing_of_llbs() {
    let stage = Stage::new();
    let fleet = stage
        .launch(&TWO, &["sh", "-c", "env > $STAGE/env.$WORKER_ID; echo $$ > $STAGE/pid.$WORKER_ID; exec sleep 600"]);
    for slot in ["0", "1"] {
        let read = |name: &str| fs::read_to_string(stage.path().join(format!("{name}.{slot}"))).unwrap_or_default();
        let comm = || fs::read_to_string(format!("/proc/{}/comm", read("pid").trim())).unwrap_or_default();
        until("it sleeps", || comm() == "sleep\n");
        let env = read("env");
        for line in [
            &format!("WORKER_ID={slot}"),
            &format!("NODE_WORKER_ID={slot}"),
            &format!("LLB_SLOT={slot}"),
            "LLB_GENERATION=1",
            &format!("LLB_WORKER={slot}"),
            "LLB_FD=3",
        ] {
            assert!(env.lines().any(|found| found == line), "{line} is not in {env}");
        }
        // It may just be opening its locale.
        let open = || {
            let entries = fs::read_dir(format!("/proc/{}/fd", read("pid").trim())).unwrap();
            let mut open: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            open.sort();
            open
        };
        until("it holds its outputs and the channel only", || open() == ["0", "1", "2", "3"]);
    }
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn a_stderr_that_nobody_reads_neither_ends_nor_stalls_the_fleet() {
    let full = || {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        fcntl_nonblocking(&writer, true);
        let mut pipe = File::from(writer.try_clone().unwrap());
        while pipe.write(&[b'x'; 4096]).is_ok() {}
        while pipe.write(b"x").is_ok() {}
        fcntl_nonblocking(&writer, false);
        (Some(reader), writer)
    };
    let closed = || (None, nix::unistd::pipe().unwrap().1);
    for (reader, stderr) in [full(), closed()] {
        let stage = Stage::new();
        let name = format!("unread-{}", std::process::id());
        let runtime = stage.path().join("run");
        let place = ["--name", &name, "--runtime-dir", runtime.to_str().unwrap()];
        let mut command = Command::new(LLB);
        command.arg("run").args(place).args(["-n", "1", "--log", "debug", "--"]).args(report());
        let mut llb = Plain::spawn(command.env("STAGE", stage.path()).stdin(Stdio::null()).stderr(stderr));
        let status = || -> Option<Status> {
            let output = Command::new(LLB).arg("status").args(place).arg("--json").output().unwrap();
            serde_json::from_slice(&output.stdout).ok()
        };
        until("it is up", || status().is_some_and(|status| status.up));
        let old = Pid::from_raw(status().unwrap().workers[0].pid.cast_signed());
        kill(old, Signal::SIGKILL).unwrap();
        until("it is replaced", || status().is_some_and(|status| is_replaced(&status, 0, old)));
        assert_eq!(llb.ended(), None);
        assert!(llb.stop().success());
        drop(reader);
    }
}

fn fcntl_nonblocking(fd: impl AsFd, on: bool) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(fd, FcntlArg::F_SETFL(if on { OFlag::O_NONBLOCK } else { OFlag::empty() })).unwrap();
}

#[test]
fn a_reader_of_the_status_who_leaves_is_no_error() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"]);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let output = fleet.command("status").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(holds_within(Duration::ZERO, || fleet.stderr().contains("serving")));
    let mut nothing = String::new();
    output.stderr.as_slice().read_to_string(&mut nothing).unwrap();
    assert_eq!(nothing, "");
}
