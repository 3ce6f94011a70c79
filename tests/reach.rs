//! One worker of many, asked by its slot: `llb curl`, and the exporter's `--scrape`.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    thread,
};

use crate::harness::{Fleet, Stage, get, prometheus::Prometheus, stage::fixture, stopped::Stopped, until};
use nix::unistd::Pid;

const ADDRESS: &str = "127.0.0.1:8080";
const METRICS: &str = "127.0.0.1:9464";
const PROMETHEUS: &str = "127.0.0.1:9090";
const SLOTS: u32 = 4;

/// Questions to each slot, enough for one that goes astray to be seen.
const EACH: u32 = 8;

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let fleet = stage.start(&[&["-n", "4"], args].concat(), &["node", &fixture("metered.js"), "8080"]);
    until("all are steered", || fleet.status().groups.iter().any(|group| group.slots.len() == SLOTS as usize));
    fleet
}

#[track_caller]
fn curl(fleet: &Fleet, args: &[&str]) -> Output {
    fleet.command("curl").args(args).output().expect("the llb binary")
}

/// Who answers.
#[track_caller]
fn answerer(fleet: &Fleet, slot: u32) -> String {
    let output = curl(fleet, &[&slot.to_string(), "/"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_slot_answers_for_itself() {
    let stage = Stage::new();
    for args in
        [&[][..], &["--policy", "hash"], &["--concurrency", "1"], &["--sticky", "source"], &["--tracking", "off"]]
    {
        let fleet = start(&stage, args);
        for slot in (0..SLOTS).flat_map(|slot| std::iter::repeat_n(slot, EACH as usize)) {
            assert_eq!(answerer(&fleet, slot), format!("{slot} 8080"), "{args:?}");
        }
        let status = fleet.status();
        assert_eq!(status.connections, 0, "no client has come: {status:?}");
        assert!(status.workers.iter().all(|worker| worker.chosen == u64::from(EACH)), "{status:?}");
    }
}

#[test]
fn clients_beside_it_go_where_they_would() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--policy", "round-robin"]);
    let slow = fleet.command("curl").args(["2", "/ms/3000"]).stdout(Stdio::piped()).spawn().expect("the llb binary");
    until("it is asked", || fleet.worker(2).in_flight == Some(1));
    let mut slots: Vec<u32> = (0..SLOTS).map(|_| get(ADDRESS, "/").slot()).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3], "one is asked, and nobody is led there but who asks");
    assert_eq!(text(&slow.wait_with_output().expect("a child").stdout), "2 8080");
    fleet.wait_until_quiet();
    let connections = fleet.status().connections;
    assert_eq!(connections, u64::from(SLOTS), "the question is in no outcome");
}

#[test]
fn a_status_above_399_fails_the_command() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let sick = curl(&fleet, &["1", "/status/503"]);
    assert_eq!((sick.status.code(), text(&sick.stdout)), (Some(1), "1 8080".to_owned()), "{sick:?}");
    assert_eq!(text(&sick.stderr), "llb: the worker in slot 1 answers 503 Service Unavailable\n");
    let late = curl(&fleet, &["1", "/ms/60000", "--timeout", "300ms"]);
    assert_eq!(late.status.code(), Some(1));
    assert_eq!(text(&late.stderr), "llb: failed: the worker in slot 1 does not answer within 300ms\n");
    let nowhere = stage.launch(&["--scrape", "/metrics"], &["true"]).wait();
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
    let none = curl(&fleet, &["9", "/"]);
    assert_eq!(
        (none.status.code(), text(&none.stderr)),
        (Some(7), "llb: refused: no worker is in slot 9\n".to_owned())
    );
    assert_eq!(curl(&fleet, &["1", "no-path"]).status.code(), Some(2));
}

#[test]
fn several_ports_are_told_apart() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "2"], &["node", &fixture("metered.js"), "8080", "9090"]);
    until("both ports are steered", || {
        let groups = fleet.status().groups;
        groups.len() == 2 && groups.iter().all(|group| group.slots.len() == 2)
    });
    let which = curl(&fleet, &["1", "/"]);
    assert_eq!(which.status.code(), Some(7));
    assert_eq!(
        text(&which.stderr),
        "llb: refused: the worker in slot 1 listens on several ports: say by --port which of 8080, 9090\n"
    );
    for (port, said) in [("8080", "1 8080"), ("[::]:9090", "1 9090")] {
        assert_eq!(text(&curl(&fleet, &["1", "/", "--port", port]).stdout), said);
    }
}

#[test]
fn a_worker_that_drains_can_be_asked() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--drain-timeout", "50s"]);
    // So that it stays for a while.
    let mut held = fleet.command("curl").args(["3", "/ms/60000", "--timeout", "60s"]).spawn().expect("the llb binary");
    until("it is asked", || fleet.worker(3).in_flight == Some(1));
    let mut drain = fleet.command("drain").arg("3").stdout(Stdio::null()).spawn().expect("the llb binary");
    until("it drains", || fleet.worker(3).state == "draining");
    for _ in 0..EACH {
        assert_eq!(answerer(&fleet, 3), "3 8080");
        assert_ne!(get(ADDRESS, "/").slot(), 3, "and it is chosen for nobody else");
    }
    held.kill().expect("a child");
    held.wait().expect("a child");
    assert!(drain.wait().expect("a child").success());
    assert_eq!(text(&curl(&fleet, &["3", "/"]).stderr), "llb: refused: no worker is in slot 3\n");
}

#[test]
fn nobody_else_answers_for_one_that_hangs() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let stopped = Stopped::stop(Pid::from_raw(fleet.worker(2).pid.cast_signed()));
    let late = curl(&fleet, &["2", "/", "--timeout", "500ms"]);
    assert_eq!((late.status.code(), late.stdout.len()), (Some(1), 0), "{late:?}");
    // Its queue is given to others as they are idle; these questions are not.
    let asked: Vec<Child> = (0..EACH)
        .map(|_| {
            let mut command = fleet.command("curl");
            command.args(["2", "/", "--timeout", "20s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the llb binary")
        })
        .collect();
    for child in asked {
        let output = child.wait_with_output().expect("a child");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{output:?}");
        assert!(!text(&output.stderr).contains("within"), "its queue is given away long before: {output:?}");
    }
    assert!((0..EACH).all(|_| get(ADDRESS, "/").slot() != 2));
    drop(stopped);
    until("it answers again", || text(&curl(&fleet, &["2", "/", "--timeout", "1s"]).stdout) == "2 8080");
}

#[test]
fn a_taken_over_fleet_can_be_asked() {
    let stage = Stage::new();
    let mut fleet = start(&stage, &[]);
    let mut held = fleet.command("curl").args(["1", "/ms/60000", "--timeout", "60s"]).spawn().expect("the llb binary");
    until("it is asked", || fleet.worker(1).in_flight == Some(1));
    fleet.kill_master();
    fleet.take_over(&["-n", "4"], &["node", &fixture("metered.js"), "8080"]);
    for slot in 0..SLOTS {
        assert_eq!(answerer(&fleet, slot), format!("{slot} 8080"));
    }
    held.kill().expect("a child");
    held.wait().expect("a child");
}

/// The value of a series in a text.
#[track_caller]
fn value(text: &str, series: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{series} is not in {text}")).to_owned()
}

#[test]
fn what_all_workers_say_is_one_text() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--metrics", METRICS, "--scrape", "/metrics"]);
    for slot in 0..SLOTS {
        (0..slot).for_each(|_| drop(answerer(&fleet, slot)));
    }
    stage.write("openmetrics.2", "");
    let text = get(METRICS, "/workers").body;
    for slot in 0..SLOTS {
        let hits = value(&text, &format!("app_hits_total{{slot=\"{slot}\",exported_slot=\"mine\",path=\"/\"}}"));
        assert_eq!(hits, slot.to_string());
        assert_eq!(value(&text, &format!("app_took_seconds_bucket{{slot=\"{slot}\",le=\"+Inf\"}}")), "2");
        assert_eq!(value(&text, &format!("llb_worker_scrape_success{{slot=\"{slot}\"}}")), "1");
    }
    assert_eq!(text.matches("# TYPE app_hits_total counter\n").count(), 1);
    let mut promtool = Command::new("promtool");
    let file = stage.write("workers.prom", &text);
    promtool.args(["check", "metrics"]).stdin(fs::File::open(file).expect("a file of our own"));
    let checked = promtool.output().expect("promtool, of Debian's prometheus");
    assert!(checked.status.success(), "{checked:?}\n{text}");
    assert!(!get(METRICS, "/metrics").body.contains("app_hits"), "llb's own are apart");
}

#[test]
fn slow_and_broken_workers_spoil_no_scrape() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--metrics", METRICS, "--scrape", "/metrics", "--rescue", "off"]);
    stage.write("broken.1", "");
    let stopped = Stopped::stop(Pid::from_raw(fleet.worker(2).pid.cast_signed()));
    let scrapes: Vec<thread::JoinHandle<String>> =
        (0..2).map(|_| thread::spawn(|| get(METRICS, "/workers").body)).collect();
    assert_eq!(get(METRICS, "/ready").status, 200, "meanwhile");
    let texts: Vec<String> = scrapes.into_iter().map(|scrape| scrape.join().expect("a scrape")).collect();
    drop(stopped);
    for text in &texts {
        let successes: Vec<String> =
            (0..SLOTS).map(|slot| value(text, &format!("llb_worker_scrape_success{{slot=\"{slot}\"}}"))).collect();
        assert_eq!(successes, ["1", "0", "0", "1"], "{text}");
        assert!(!text.contains("html") && text.contains("app_hits_total{slot=\"3\","), "{text}");
    }
    let failures: Vec<String> = (1..3)
        .map(|slot| {
            value(&get(METRICS, "/workers").body, &format!("llb_worker_scrape_failures_total{{slot=\"{slot}\"}}"))
        })
        .collect();
    assert_eq!(failures, ["3", "2"]);
}

#[test]
fn prometheus_tells_the_workers_apart() {
    let stage = Stage::new();
    let _fleet = start(&stage, &["--metrics", METRICS, "--scrape", "/metrics"]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: workers\n  metrics_path: /workers\n  \
         static_configs: [{{targets: [\"{METRICS}\"]}}]\n"
    );
    let _prometheus = Prometheus::start(&stage, PROMETHEUS, &config);
    until("Prometheus listens", || TcpStream::connect(PROMETHEUS).is_ok());
    let ask = |query: &str| get(PROMETHEUS, &format!("/api/v1/query?query={query}")).body;
    until("it has all slots", || ask("count(count(app_hits_total)by(slot))").contains("\"4\""));
    let targets = get(PROMETHEUS, "/api/v1/targets").body;
    assert!(targets.contains("\"lastError\":\"\""), "{targets}");
}

#[test]
fn only_who_controls_the_fleet_may_ask() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let socket = fleet.runtime_dir().join(fleet.name()).join("control");
    let ask = "import socket, sys, os; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])";
    let other = Command::new("python3").args(["-c", ask]).arg(socket).output().expect("python3");
    assert!(!other.status.success() && text(&other.stderr).contains("Permission"), "{other:?}");
}
