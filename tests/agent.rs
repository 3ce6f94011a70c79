//! What a balancer above several hosts is told (`--agent`), and what a real HAProxy makes of it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::harness::{Stage, far::ip, get, open_loop::open_loop, stage::fixture, until};
use llb_kit::quantiles::{at, sorted};
use nix::unistd::{Pid, gettid};

const AGENT: &str = "127.0.0.1:9777";

/// Hosts behind the balancer, and workers of each.
const HOSTS: usize = 3;

/// The balanced load: a request each 25 ms that takes a worker 25 ms.
const EVERY: Duration = Duration::from_millis(25);
const REQUESTS: u32 = 600;

/// The load that comes to the first host past the balancer: so many at any time, each for 400 ms, on four workers.
const FOREIGN: usize = 6;

/// What the agent at an address says.
fn told(addr: &str) -> String {
    let mut line = String::new();
    let read = TcpStream::connect(addr).and_then(|mut stream| stream.read_to_string(&mut line));
    read.expect("a line, and the end");
    line
}

#[test]
fn a_line_tells_how_much_the_fleet_can_take() {
    let stage = Stage::new();
    let args = ["-n", "4", "--agent", AGENT, "--ready-check", "/health", "--drain-timeout", "40s"];
    let fleet = stage.launch(&args, &["python3", &fixture("sick.py"), "127.0.0.1", "8080"]);
    until("the agent answers", || TcpStream::connect(AGENT).is_ok());
    assert_eq!(told(AGENT), "down\n", "nobody serves yet");
    stage.write("healthy", "");
    fleet.wait_until_serving();
    until("it can take all", || told(AGENT) == "ready up 100%\n");
    // One that reads nothing, and one that says something first.
    let idle: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(AGENT).expect("a connection")).collect();
    let mut talker = TcpStream::connect(AGENT).expect("a connection");
    talker.write_all(b"llb\n").expect("a connection that takes it");
    let mut line = String::new();
    talker.read_to_string(&mut line).expect("a line, and no reset");
    assert_eq!(line, "ready up 100%\n");
    drop(idle);
}

#[test]
fn busy_workers_lower_it_and_the_end_drains() {
    let stage = Stage::new();
    let args = ["-n", "4", "--agent", AGENT, "--drain-timeout", "40s"];
    let fleet = stage.start(&args, &["python3", &fixture("host.py"), "127.0.0.1", "8080", "only"]);
    until("it can take all", || told(AGENT) == "ready up 100%\n");
    let asked: Vec<JoinHandle<String>> =
        (0..2).map(|_| thread::spawn(|| get("127.0.0.1:8080", "/ms/10000").body)).collect();
    until("half of them are busy", || told(AGENT) == "ready up 50%\n");
    let mut stop = fleet.command("stop").stdout(Stdio::null()).spawn().expect("the llb binary");
    until("it drains", || told(AGENT) == "drain\n");
    for asking in asked {
        assert_eq!(asking.join().expect("a request"), "only");
    }
    assert!(stop.wait().expect("a child").success());
    assert_eq!(fleet.wait().code, Some(0));
}

#[test]
fn a_port_of_the_workers_is_refused() {
    let stage = Stage::new();
    let ended = stage.launch(&["-p", "9777", "--agent", AGENT], &["true"]).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("llb: --agent 127.0.0.1:9777 is a port that -p"), "{}", ended.stderr);
    let ended = stage.launch(&["--agent", AGENT, "--tracking", "reports"], &["true"]).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let _held = std::net::TcpListener::bind(AGENT).expect("a free port");
    let ended = stage.launch(&["--agent", AGENT], &["true"]).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot answer agent checks at 127.0.0.1:9777 (--agent)"), "{}", ended.stderr);
}

/// A host: a network namespace of its own, joined to the test's, with a fleet.
struct Host {
    addr: String,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn start(number: usize) -> Self {
        let (near, far) = (format!("10.77.{number}.1/24"), format!("10.77.{number}.2"));
        let devices = [format!("near{number}"), format!("far{number}")];
        ip(&["link", "add", &devices[0], "type", "veth", "peer", "name", &devices[1]]);
        let (tell, told) = channel::<Option<Pid>>();
        let (joined, is_joined) = channel::<()>();
        let (end, ends) = channel::<()>();
        let (device, addr) = (devices[1].clone(), far.clone());
        let thread = thread::spawn(move || {
            let stage = Stage::new();
            tell.send(Some(gettid())).expect("who waits for it");
            is_joined.recv().expect("a device");
            ip(&["address", "add", &format!("{addr}/24"), "dev", &device]);
            ip(&["link", "set", &device, "up"]);
            let (agent, name) = (format!("{addr}:9777"), number.to_string());
            let args = ["-n", "4", "-p", "8080", "--agent", &agent];
            let fleet = stage.start(&args, &["python3", &fixture("host.py"), "0.0.0.0", "8080", &name]);
            tell.send(None).expect("who waits for it");
            // Until the test drops its side.
            let _ = ends.recv();
            drop(fleet);
        });
        let there = told.recv().expect("a namespace").expect("a thread's number").to_string();
        ip(&["link", "set", &devices[1], "netns", &there]);
        ip(&["address", "add", &near, "dev", &devices[0]]);
        ip(&["link", "set", &devices[0], "up"]);
        joined.send(()).expect("a thread");
        told.recv().expect("a fleet that serves");
        Host { addr: far, end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked of has been said.
            let _ = thread.join();
        }
    }
}

/// Keeps the workers of a host busy, past the balancer, until it is dropped.
struct Foreign {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Foreign {
    fn start(addr: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let asks = |_| {
            let (ends, addr) = (ends.clone(), format!("{addr}:8080"));
            thread::spawn(move || {
                while !ends.load(Relaxed) {
                    get(&addr, "/ms/400");
                }
            })
        };
        let threads = (0..FOREIGN).map(asks).collect();
        Foreign { ends, threads }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // What it panicked of has been said.
            let _ = thread.join();
        }
    }
}

/// A HAProxy that is killed when dropped.
struct Haproxy {
    child: Child,
    stats: PathBuf,
}

impl Haproxy {
    /// One that listens on 8000 and knows nothing but connections, and on 8001 asks the agents.
    fn start(stage: &Stage, hosts: &[Host]) -> Self {
        let stats = stage.path().join("stats");
        let servers = |more: &str| -> String {
            let server =
                |(host, number): (&Host, usize)| format!("  server h{number} {}:8080 weight 100{more}\n", host.addr);
            hosts.iter().zip(0..).map(server).collect()
        };
        let checks = " agent-check agent-port 9777 agent-inter 500ms";
        let config = format!(
            "global\n  stats socket {}\ndefaults\n  mode http\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n  \
             option http-server-close\nlisten plain\n  bind 127.0.0.1:8000\n  balance leastconn\n{}listen agents\n  \
             bind 127.0.0.1:8001\n  balance roundrobin\n{}",
            stats.display(),
            servers(""),
            servers(checks)
        );
        let config = stage.write("haproxy.cfg", &config);
        let log = fs::File::create(stage.path().join("haproxy.log")).expect("a file of our own");
        let errors = log.try_clone().expect("a file of our own");
        let mut command = Command::new("haproxy");
        command.args([Path::new("-db"), Path::new("-f"), &config]).stdout(log).stderr(errors);
        let haproxy = Haproxy { child: command.spawn().expect("haproxy, of Debian"), stats };
        // Its own socket gets its name after the ports are bound.
        let listens = || TcpStream::connect("127.0.0.1:8001").is_ok() && UnixStream::connect(&haproxy.stats).is_ok();
        until("it listens", listens);
        haproxy
    }

    /// The weight of each host, of those that are asked.
    fn weights(&self) -> Vec<u32> {
        let mut socket = UnixStream::connect(&self.stats).expect("HAProxy's socket");
        socket.write_all(b"show stat\n").expect("a question");
        let mut all = String::new();
        socket.read_to_string(&mut all).expect("an answer");
        let of = |line: &str| -> Option<u32> {
            let fields: Vec<&str> = line.split(',').collect();
            // pxname, svname, and weight as the nineteenth.
            (fields[0] == "agents" && fields[1].starts_with('h')).then(|| fields[18].parse().expect("a weight"))
        };
        all.lines().filter_map(of).collect()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It is our child, and has not been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The share of the first host, and the 99th percentile of all, ms.
fn measured(addr: &str) -> (f64, f64) {
    let samples = open_loop(addr, EVERY, REQUESTS, |_| "/ms/25".into());
    let first = samples.iter().filter(|sample| sample.slot().expect("an answer") == 0).count();
    let took = sorted(samples.iter().map(|sample| sample.ended.since(sample.begun)).collect());
    (first as f64 / samples.len() as f64, at(&took, 0.99) as f64 / 1e6)
}

#[test]
fn requests_move_away_from_a_loaded_host() {
    let stage = Stage::new();
    let hosts: Vec<Host> = (0..HOSTS).map(Host::start).collect();
    let haproxy = Haproxy::start(&stage, &hosts);
    until("all can take all", || haproxy.weights() == [100; HOSTS]);
    let foreign = Foreign::start(&hosts[0].addr);
    until("the loaded one gets next to nothing", || {
        let weights = haproxy.weights();
        weights[0] <= 5 && weights[1..].iter().all(|weight| *weight >= 80)
    });
    let (plain_share, plain_p99) = measured("127.0.0.1:8000");
    let (share, p99) = measured("127.0.0.1:8001");
    let said =
        format!("the loaded host got {plain_share:.3} and then {share:.3}, p99 {plain_p99:.0} and then {p99:.0} ms");
    println!("{said}");
    assert!(share < plain_share / 2.0 && p99 < 0.8 * plain_p99, "{said}");
    drop(foreign);
    until("it takes its part again", || haproxy.weights().iter().all(|weight| *weight >= 80));
}
