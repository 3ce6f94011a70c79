//! What workers say on their channel, over the real one: each line is counted, and none does more than it says.

use std::{fs, process::Command, time::Duration};

use crate::harness::{Fleet, Stage, get, holds_within, stage::fixture, until};
use llb::observe::status::WorkerStatus;

const ADDR: &str = "127.0.0.1:8080";
const TWO: [&str; 2] = ["-n", "2"];

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    stage.start(args, &["python3", &fixture("report.py"), "127.0.0.1", "8080"])
}

fn said(worker: &WorkerStatus, kind: &str) -> u64 {
    worker.reports.get(kind).copied().unwrap_or(0)
}

#[track_caller]
fn wait_for(fleet: &Fleet, slot: u32, kind: &str, count: u64) {
    let enough = holds_within(crate::harness::DEADLINE, || said(&fleet.worker(slot), kind) >= count);
    assert!(enough, "{count} of {kind} expected: {:?}", fleet.worker(slot).reports);
    assert_eq!(said(&fleet.worker(slot), kind), count);
}

#[test]
fn every_kind_of_line_is_counted_and_a_fault_is_told_of_once() {
    let stage = Stage::new();
    let fleet = start(&stage, &TWO);
    let cases = [
        (r#"{"cmd":"latency","us":1234}"#, "latency", None),
        (r#"{"cmd":"ready"}"#, "ready", None),
        ("", "empty", Some("an empty line")),
        ("garbage", "not_json", Some("not JSON")),
        ("[1,2]", "no_command", Some("without a command")),
        (r#"{"cmd":"dance"}"#, "unknown_command", Some("a command that is not llb's")),
        (r#"{"cmd":"NODE_HANDLE"}"#, "node_internal", Some("Node's own")),
        (r#"{"cmd":"latency","us":null}"#, "latency_not_a_number", Some("without a number")),
        (r#"{"cmd":"latency","us":-1}"#, "latency_negative", Some("negative")),
        (r#"{"cmd":"latency","us":1e30}"#, "latency_absurd", Some("over an hour")),
        (r#"{"cmd":"pong"}"#, "pong_without_id", Some("without the id")),
    ];
    for (line, kind, _) in cases {
        assert_eq!(stage.tell(0, &format!("say 3 {line}")), "ok");
        wait_for(&fleet, 0, kind, 3);
    }
    assert_eq!(stage.tell(0, r#"say 1 {"cmd":"latency","us":NaN}"#), "ok");
    wait_for(&fleet, 0, "not_json", 4);
    // One that has spoken is asked whether it is there; nobody is made out to have said what another has.
    until("pings are answered", || said(&fleet.worker(0), "pong") > 0);
    assert_eq!(fleet.worker(1).reports.len(), 0);
    assert_eq!(get(ADDR, "/").status, 200);
    let ended = fleet.stop();
    for fault in cases.iter().filter_map(|(_, _, fault)| *fault) {
        let times = ended.stderr.lines().filter(|line| line.contains(fault)).count();
        assert_eq!(times, 1, "{fault}: {}", ended.stderr);
    }
}

/// A worker that writes raw bytes to its channel before it serves.
fn writes(bytes: &str) -> String {
    format!(
        "python3 -c 'import os; os.write(3, {bytes})' && exec python3 '{}' 127.0.0.1 8080",
        fixture("asyncio_server.py")
    )
}

#[test]
fn bytes_that_are_no_lines_are_counted_too() {
    for (bytes, kind, count) in [
        (r#"b"\xff\xfe\n" * 2"#, "not_utf8", 2),
        (r#"b"x" * 70000 + b"\n""#, "too_long", 1),
        (r#"b"x" * 70000"#, "too_long", 1),
        (r#"b"[" * 60000 + b"\n""#, "not_json", 1),
        (r#"b"ready\nready\r\n\"ready\"\n""#, "ready", 3),
    ] {
        let stage = Stage::new();
        let fleet = stage.start(&["-n", "1"], &["sh", "-c", &writes(bytes)]);
        wait_for(&fleet, 0, kind, count);
        assert_eq!(get(ADDR, "/").slot(), 0);
    }
}

#[test]
fn with_ready_when_ready_nobody_is_chosen_before_its_word() {
    for word in ["ready", r#""ready""#, r#"{"cmd":"ready"}"#] {
        let stage = Stage::new();
        let report = fixture("report.py");
        let fleet = stage.launch(&["-n", "2", "--ready-when", "ready"], &["python3", &report, "127.0.0.1", "8080"]);
        let status = || fleet.command("status").arg("--json").output().unwrap();
        until("both run", || status().status.success() && fleet.status().workers.len() == 2);
        // Both can be talked to soon after they listen; none is ready.
        for slot in [0, 1] {
            until("it listens", || stage.path().join(format!("worker.{slot}")).exists());
        }
        stage.tell(0, &format!("say 1 {word}"));
        until("it is ready", || fleet.worker(0).state == "serving");
        assert_eq!((fleet.worker(1).state.as_str(), fleet.status().up), ("starting", false));
        let groups = fleet.status().groups;
        assert_eq!((groups.len(), groups[0].slots.as_slice()), (1, [0].as_slice()));
        for _ in 0..10 {
            assert_eq!(get(ADDR, "/").slot(), 0, "{:?}", fleet.status());
        }
        stage.tell(1, &format!("say 1 {word}"));
        fleet.wait_until_serving();
    }
}

#[test]
fn a_closed_channel_of_one_that_spoke_is_a_wish_to_be_replaced() {
    let stage = Stage::new();
    let fleet = start(&stage, &TWO);
    stage.tell(0, r#"say 1 {"cmd":"latency","us":7}"#);
    until("it has spoken", || said(&fleet.worker(0), "latency") > 0);
    let old = fleet.worker(0).pid;
    stage.tell(0, "hangup");
    until("it is replaced", || {
        get(ADDR, "/").slot();
        let workers = fleet.status().workers;
        workers.len() == 2 && workers.iter().all(|worker| worker.state == "serving" && worker.pid != old)
    });
}

#[test]
fn a_channel_may_be_closed_by_one_that_never_spoke() {
    let stage = Stage::new();
    let serve = format!("exec 3>&-; exec python3 '{}' 127.0.0.1 8080", fixture("asyncio_server.py"));
    let fleet = stage.start(&["-n", "1"], &["sh", "-c", &serve]);
    let old = fleet.worker(0).pid;
    // Time enough for the second ping, and for a replacement.
    until("it has served for a while", || fleet.worker(0).uptime_s > 2.5);
    assert_eq!((fleet.worker(0).pid, fleet.worker(0).restarts), (old, 0));
    assert_eq!(fleet.status().workers.len(), 1);
}

#[test]
fn a_flood_drowns_nobody_else() {
    // The server beside it has made the channel non-blocking.
    let flood = "import os, select, sys, time\n\
                 def write(lines):\n    \
                     while lines:\n        \
                         try: lines = lines[os.write(3, lines):]\n        \
                         except BlockingIOError: select.select([], [3], [])\n\
                 line = sys.argv[1].encode() + b'\\n'\n\
                 end = time.monotonic() + 2\n\
                 while time.monotonic() < end: write(line * 500)\n\
                 open(os.environ['STAGE'] + '/over', 'w').close()\n";
    for line in [r#"{"cmd":"latency","us":5}"#, "ready", "garbage", r#"{"cmd":"disconnect","no":1}"#] {
        let stage = Stage::new();
        let program = stage.write("flood.py", flood);
        // The flood comes from slot 0's own children; its server serves.
        let serve = format!(
            "[ $WORKER_ID = 1 ] && exec python3 '{}' 127.0.0.1 8080; \
             [ -e $STAGE/begun ] || {{ touch $STAGE/begun; python3 '{}' '{line}' & }}; \
             exec python3 '{}' 127.0.0.1 8080",
            fixture("report.py"),
            program.display(),
            fixture("asyncio_server.py")
        );
        let fleet = stage.start(&TWO, &["sh", "-c", &serve]);
        until("the flood has begun", || stage.path().join("begun").exists());
        let mut slowest = 0;
        let mut asked = 0;
        until("the flood is over", || {
            let before = llb::now();
            assert_eq!(get(ADDR, "/").status, 200);
            stage.tell(1, r#"say 1 {"cmd":"latency","us":7}"#);
            asked += 1;
            fleet.status();
            slowest = slowest.max(llb::now().since(before));
            stage.path().join("over").exists() || line.contains("disconnect") && fleet.worker(0).restarts > 0
        });
        assert!(slowest < 2_000_000_000, "{line}: {slowest} ns for a request, a report and the status");
        wait_for(&fleet, 1, "latency", asked);
        assert_eq!(fleet.stop().code, Some(0));
    }
}

#[test]
fn nodes_own_messages_are_the_channel() {
    let stage = Stage::new();
    let server = stage.write(
        "server.js",
        "const heard = []
        process.on('message', message => {
            heard.push(message.cmd)
            if (message.cmd === 'ping') process.send({ cmd: 'pong', id: message.id })
            if (message.cmd === 'disconnect') require('node:fs').writeFileSync(`${process.env.STAGE}/told`, '')
        })
        require('node:http').createServer((request, response) => {
            if (request.url === '/leave') process.send({ cmd: 'disconnect' })
            response.end(JSON.stringify(heard))
        }).listen(8080, '127.0.0.1', () => {
            process.send({ cmd: 'latency', us: 5000 })
            process.send('ready')
        })",
    );
    let version = Command::new("node").arg("--version").output().expect("node");
    assert!(version.status.success());
    let fleet = stage.start(&["-n", "1", "--ready-when", "ready"], &["node", server.to_str().unwrap()]);
    wait_for(&fleet, 0, "latency", 1);
    until("it answers pings", || said(&fleet.worker(0), "pong") >= 2);
    assert!(get(ADDR, "/").body.contains("ping"));
    let old = fleet.worker(0).pid;
    let mut slow = crate::harness::Client::connect(ADDR);
    slow.send("/leave");
    slow.receive();
    // A worker that is to be started is not shown before it has a process, and the slot counts it already.
    until("it is replaced", || fleet.status().workers.iter().all(|w| w.pid != old && w.restarts == 1));
    assert!(fs::exists(stage.path().join("told")).unwrap(), "it was told to finish");
    assert!(holds_within(Duration::from_secs(5), || get(ADDR, "/").status == 200));
}
