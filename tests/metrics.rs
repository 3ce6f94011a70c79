//! Metrics as Prometheus and its like see them, and the probes beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    net::TcpStream,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::harness::{Client, Fleet, Stage, get, prometheus::Prometheus, stage::fixture, stopped::Stopped, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const METRICS: &str = "127.0.0.1:9464";
const PROMETHEUS: &str = "127.0.0.1:9090";

/// Requests of a test, so that every worker gets some.
const REQUESTS: u32 = 40;

const TWO: [&str; 4] = ["-n", "2", "--metrics", METRICS];

/// More connections than are served at once.
const IDLE: usize = 40;

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    let fleet = stage.start(&[&TWO, args].concat(), &["node", &fixture("server.js"), "8080"]);
    // Node listens on ::, which is one address.
    until("both workers are steered", || fleet.status().groups.iter().any(|group| group.slots.len() == 2));
    fleet
}

fn scrape() -> String {
    let answer = get(METRICS, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The series of a text, each with its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let split = samples.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}")));
    split
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no value: {value}"))))
        .collect()
}

/// The sum of a metric's series.
fn sum(series: &BTreeMap<String, f64>, metric: &str) -> f64 {
    let of = |name: &&String| name.split('{').next() == Some(metric);
    let found: Vec<f64> = series.keys().filter(of).map(|name| series[name]).collect();
    assert!(!found.is_empty(), "there is no {metric}");
    found.iter().sum()
}

fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's prometheus");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    child.wait_with_output().expect("a child")
}

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist").join(name)
}

#[test]
fn metrics_are_sound_and_count_requests() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    (0..REQUESTS).for_each(|_| drop(get(ADDRESS, "/")));
    fleet.wait_until_quiet();
    let text = scrape();
    let checked = promtool(&["check", "metrics"], &text);
    assert!(checked.status.success(), "{checked:?}\n{text}");
    let found = series(&text);
    for metric in ["llb_worker_responses_total", "llb_worker_response_latency_seconds_count", "llb_connections_total"] {
        assert_eq!(sum(&found, metric), f64::from(REQUESTS), "{metric}");
    }
    // One that waited in a queue may have been moved, on a machine that has a bad minute.
    let moved = sum(&found, "llb_worker_connections_rescued_total");
    assert_eq!(sum(&found, "llb_worker_connections_chosen_total"), f64::from(REQUESTS) + moved);
    for metric in ["llb_worker_cpu_seconds_total", "llb_worker_resident_memory_bytes", "llb_master_cpu_seconds_total"] {
        assert!(sum(&found, metric) > 0.0, "{metric}");
    }
    assert!(sum(&found, "llb_master_resident_memory_bytes") > 1e6);
    let labels = format!("{{fleet=\"{}\",slot=\"1\"}}", fleet.name());
    assert_eq!(found.get(&format!("llb_worker_serving{labels}")), Some(&1.0), "{text}");
    let workers: Vec<u32> = fleet.status().workers.iter().map(|worker| worker.pid).collect();
    assert!(!workers.iter().any(|pid| text.contains(&format!("\"{pid}\""))), "no process is a label");
}

#[test]
fn who_asks_for_openmetrics_gets_it() {
    let stage = Stage::new();
    let _fleet = start(&stage, &[]);
    let mut client = Client::connect(METRICS);
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    client.write(&format!("GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"));
    let body = client.receive().body;
    assert!(body.ends_with("# EOF\n") && body.contains("# UNIT llb_worker_cpu_seconds seconds\n"), "{body}");
    assert!(body.contains("# TYPE llb_worker_responses counter\n"), "{body}");
    assert_eq!(get(METRICS, "/").status, 404);
    let mut client = Client::connect(METRICS);
    client.write("POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.receive().status, 405);
}

#[test]
fn ready_is_503_until_the_fleet_is_up() {
    let stage = Stage::new();
    let args = [&TWO[..], &["--ready-check", "/health"]].concat();
    let fleet = stage.launch(&args, &["python3", &fixture("sick.py"), "127.0.0.1", "8080"]);
    until("probes are answered", || TcpStream::connect(METRICS).is_ok());
    assert_eq!((get(METRICS, "/ready").status, get(METRICS, "/live").status), (503, 200));
    assert_eq!(sum(&series(&scrape()), "llb_ready"), 0.0);
    stage.write("healthy", "");
    fleet.wait_until_serving();
    assert_eq!((get(METRICS, "/ready").status, get(METRICS, "/live").status), (200, 200));
    assert_eq!(sum(&series(&scrape()), "llb_ready"), 1.0);
}

/// Counters of both slots together, which must not fall.
fn counters() -> Vec<f64> {
    let found = series(&scrape());
    let metrics = [
        "llb_worker_responses_total",
        "llb_worker_connections_chosen_total",
        "llb_worker_connections_opened_total",
        "llb_worker_response_latency_seconds_count",
        "llb_worker_cpu_seconds_total",
        "llb_worker_restarts_total",
    ];
    metrics.map(|metric| sum(&found, metric)).to_vec()
}

#[track_caller]
fn assert_grown(before: &[f64], after: &[f64]) {
    assert!(before.iter().zip(after).all(|(before, after)| after >= before), "{before:?}, then {after:?}");
}

#[test]
fn counters_outlive_workers_reloads_and_masters() {
    let stage = Stage::new();
    let mut fleet = start(&stage, &["--respawn", "1ms"]);
    (0..REQUESTS).for_each(|_| drop(get(ADDRESS, "/")));
    fleet.wait_until_quiet();
    let first = counters();
    assert_eq!(first[0], f64::from(REQUESTS));

    let victim = fleet.worker(0).pid;
    kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).expect("a worker");
    until("another worker serves in its slot", || {
        fleet
            .status()
            .workers
            .iter()
            .any(|worker| worker.slot == 0 && worker.pid != victim && worker.state == "serving")
    });
    let killed = counters();
    assert_grown(&first, &killed);
    assert!(fleet.command("reload").status().expect("the llb binary").success());
    until("the old workers have gone", || fleet.status().workers.len() == 2);
    let found = series(&scrape());
    let cause = |cause: &str| -> f64 {
        let of = |name: &&String| name.starts_with("llb_worker_restarts") && name.contains(&format!("=\"{cause}\""));
        found.keys().filter(of).map(|name| found[name]).sum()
    };
    assert_eq!(["exited", "reloaded", "hung", "left"].map(cause), [1.0, 2.0, 0.0, 0.0]);
    let labels = format!("{{fleet=\"{}\",result=\"succeeded\"}}", fleet.name());
    assert_eq!(found.get(&format!("llb_reloads_total{labels}")), Some(&1.0));
    (0..REQUESTS).for_each(|_| drop(get(ADDRESS, "/")));
    fleet.wait_until_quiet();
    let reloaded = counters();
    assert_grown(&killed, &reloaded);
    assert_eq!(reloaded[0], f64::from(2 * REQUESTS), "the workers that are gone count");

    let dies = fleet.worker(1).pid;
    fleet.kill_master();
    kill(Pid::from_raw(dies.cast_signed()), Signal::SIGKILL).expect("a worker");
    until("it is dead", || fs::read_to_string(format!("/proc/{dies}/stat")).map_or(true, |stat| stat.contains(") Z ")));
    fleet.take_over(&[&TWO[..], &["--respawn", "1ms"]].concat(), &["node", &fixture("server.js"), "8080"]);
    let taken_over = counters();
    assert_grown(&reloaded, &taken_over);
    assert_eq!(taken_over[0], f64::from(2 * REQUESTS), "also one that died while no master was there");
}

#[test]
fn a_busy_metrics_address_fails_the_start() {
    let stage = Stage::new();
    let held = std::net::TcpListener::bind(METRICS).expect("a free port");
    let ended = stage.launch(&TWO, &["node", &fixture("server.js"), "8080"]).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let said = format!("llb: cannot serve metrics at {METRICS} (--metrics), as pid {} ", std::process::id());
    assert!(ended.stderr.contains(&said) && ended.stderr.contains("give another address"), "{}", ended.stderr);
    drop(held);
    let ended = stage.launch(&["-p", "9464", "--metrics", METRICS], &["true"]).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("is a port that -p or --own-port gives to the workers"), "{}", ended.stderr);
}

#[test]
fn a_unix_socket_serves_metrics_after_a_takeover() {
    let stage = Stage::new();
    let path = stage.path().join("metrics");
    let address = format!("unix:{}", path.display());
    let (args, command) = (["-n", "1", "--metrics", &address], ["node", &fixture("server.js"), "8080"]);
    let mut fleet = stage.start(&args, &command);
    let asks = || {
        let curl = Command::new("curl").args(["-sf", "--unix-socket"]).arg(&path).arg("http://llb/ready").output();
        curl.expect("curl").status.success()
    };
    assert!(asks());
    fleet.kill_master();
    assert!(!asks() && path.exists(), "a killed master leaves its socket");
    fleet.take_over(&args, &command);
    assert!(asks());
    drop(fleet);
    assert!(!path.exists());
    UnixListener::bind(&path).expect("nobody listens there");
}

#[test]
fn idle_connections_hold_up_nobody() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| TcpStream::connect(METRICS).expect("a connection")).collect();
    // The fleet and its control socket do not notice; who scrapes waits for a place, which the idle ones lose soon.
    (0..REQUESTS).for_each(|_| drop(get(ADDRESS, "/")));
    assert_eq!(fleet.status().connections, u64::from(REQUESTS));
    assert_eq!(sum(&series(&scrape()), "llb_connections_total"), f64::from(REQUESTS));
    drop(idle);
    // Nor does a scrape wait for a worker that stands still.
    let worker = Pid::from_raw(fleet.worker(0).pid.cast_signed());
    let _stopped = Stopped::stop(worker);
    assert_eq!(get(METRICS, "/ready").status, 200);
}

#[test]
fn fleets_of_a_machine_print_their_metrics() {
    let stage = Stage::new();
    let fleets: Vec<Fleet> =
        ["8080", "8081"].map(|port| stage.start(&["-n", "1"], &["node", &fixture("server.js"), port])).into();
    // Each has a runtime directory of its own here, so one is shown at a time.
    for fleet in &fleets {
        let runtime_dir = fleet.runtime_dir().to_str().expect("a path in UTF-8");
        // What is no fleet's, or a dead one's, is in nobody's way.
        fs::create_dir(fleet.runtime_dir().join("gone")).expect("a directory");
        let llb = |args: &[&str]| {
            let all = [&["metrics", "--runtime-dir", runtime_dir], args].concat();
            Command::new(crate::harness::fleet::LLB).args(all).output().expect("the llb binary")
        };
        let printed = String::from_utf8(llb(&[]).stdout).expect("UTF-8");
        let labels = format!("{{fleet=\"{}\"}}", fleet.name());
        assert_eq!(series(&printed).get(&format!("llb_ready{labels}")), Some(&1.0), "{printed}");
        assert!(promtool(&["check", "metrics"], &printed).status.success());
        assert!(llb(&["--fleet", fleet.name()]).status.success());
        let none = llb(&["--fleet", "gone"]);
        assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("no llb named gone"));
        fs::remove_dir(fleet.runtime_dir().join("gone")).expect("a directory of our own");
    }
}

#[test]
fn a_real_prometheus_scrapes_the_fleet() {
    let stage = Stage::new();
    let fleet = start(&stage, &[]);
    (0..REQUESTS).for_each(|_| drop(get(ADDRESS, "/")));
    let rules = dist("llb.rules.yml");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n- job_name: llb\n  \
         static_configs: [{{targets: [\"{METRICS}\"]}}]\n",
        rules.display()
    );
    let _prometheus = Prometheus::start(&stage, PROMETHEUS, &config);
    until("Prometheus listens", || TcpStream::connect(PROMETHEUS).is_ok());
    let ask = |query: &str| get(PROMETHEUS, &format!("/api/v1/query?query={query}")).body;
    until("it has all requests", || {
        ask("sum(llb_worker_responses_total)").contains(&format!("\"{REQUESTS}\"")) && ask("up").contains(",\"1\"]")
    });
    let quantile = ask("histogram_quantile(0.99,sum(llb_worker_response_latency_seconds_bucket)by(le))");
    assert!(quantile.contains("\"value\"") && !quantile.contains("NaN"), "{quantile}");
    let slots = ask("llb_worker_serving");
    assert!(slots.contains("\"slot\":\"1\"") && slots.contains(fleet.name()), "{slots}");
    let targets = get(PROMETHEUS, "/api/v1/targets").body;
    assert!(targets.contains("\"lastError\":\"\"") && targets.contains("\"health\":\"up\""), "{targets}");
    let rules = get(PROMETHEUS, "/api/v1/rules").body;
    assert!(rules.contains("LlbNotReady") && !rules.contains("\"health\":\"err\""), "{rules}");
}

#[test]
fn dashboard_and_rules_name_metrics_that_exist() {
    let rules = dist("llb.rules.yml");
    let checked = promtool(&["check", "rules", rules.to_str().expect("a path in UTF-8")], "");
    assert!(checked.status.success(), "{checked:?}");
    let dashboard = fs::read_to_string(dist("grafana-dashboard.json")).expect("the dashboard");
    let _parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let stage = Stage::new();
    let _fleet = start(&stage, &["--concurrency", "8"]);
    let text = scrape();
    let there: BTreeSet<&str> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let files = [dashboard, fs::read_to_string(rules).expect("the rules")].concat();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = files.split(|c| !is_word(c)).filter(|word| word.starts_with("llb_")).collect();
    assert!(words.len() > 10, "{words:?}");
    let missing: Vec<&&str> = words.iter().filter(|word| !there.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");
    let documented = fs::read_to_string(dist("../docs/metrics.md")).expect("the page");
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let silent: Vec<&str> = families.filter(|family| !documented.contains(&format!("`{family}`"))).collect();
    assert!(silent.is_empty(), "docs/metrics.md does not explain {silent:?}");
}
