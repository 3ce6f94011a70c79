//! QUIC under llb: a connection is whole through a reload, and through a change of its client's port where the server's connection
//! ids name its worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::UdpSocket,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use crate::harness::{
    Fleet, Stage,
    example::built,
    proc::variable,
    stage::{fixture, python_with},
    until,
};
use llb_kit::paths;
use nix::unistd::Pid;

const ADDRESS: &str = "127.0.0.1:9443";

/// Longer than any answer of a worker that serves takes.
const LOST: Duration = Duration::from_secs(10);

/// What the fixture `quic.py` sends at once, bytes.
const BLOCK: u64 = 1_000;

/// Of a download that goes on for longer than a reload takes on a machine that is busy.
const BLOCKS: u32 = 240;

fn python() -> [String; 3] {
    python_with(&paths::aioquic())
}

fn start(stage: &Stage, args: &[&str], more: &[&str]) -> Fleet {
    let (python, script) = (python(), fixture("quic.py"));
    let command: Vec<&str> = python.iter().map(String::as_str).chain([&*script, ADDRESS]).collect();
    serve(stage, args, &[&command, more].concat())
}

fn serve(stage: &Stage, args: &[&str], command: &[&str]) -> Fleet {
    let fleet = stage.start(args, command);
    until("all have joined", || fleet.status().udp.is_some_and(|udp| udp.groups.iter().any(|g| g.slots.len() == 4)));
    fleet
}

/// Connections, each of which downloads so many blocks, one each 50 ms.
struct Downloads {
    clients: Child,
    input: ChildStdin,
}

/// How a download ended.
#[derive(Debug)]
struct Download {
    /// Who began it.
    pid: u32,
    bytes: u64,
}

impl Downloads {
    /// All have begun.
    fn begin(connections: u32, blocks: u32) -> Self {
        let [env, path, python] = python();
        let mut clients = Command::new(env);
        clients.args([path, python, fixture("quic_client.py"), ADDRESS.to_owned()]);
        clients.args([connections, blocks].map(|number| number.to_string()));
        let mut clients = clients.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("clients");
        let input = clients.stdin.take().expect("a pipe");
        let mut downloads = Downloads { clients, input };
        assert_eq!(downloads.line(), "begun");
        downloads
    }

    /// One octet after the other, so that nothing that follows is taken.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let output = self.clients.stdout.as_mut().expect("a pipe");
        BufReader::with_capacity(1, output).read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// All go on from another port: `nat` or on `purpose`.
    fn move_on(&mut self, why: &str) {
        writeln!(self.input, "{why}").expect("clients that read");
    }

    fn end(mut self) -> Vec<Download> {
        let mut output = String::new();
        self.clients.stdout.take().expect("a pipe").read_to_string(&mut output).expect("text");
        assert!(self.clients.wait().expect("our child").success());
        let download = |line: &str| {
            let (pid, bytes) = line.split_once(' ')?;
            Some(Download { pid: pid.parse().ok()?, bytes: bytes.parse().ok()? })
        };
        output.lines().map(|line| download(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }
}

fn pids(fleet: &Fleet, state: &str) -> BTreeSet<u32> {
    fleet.status().workers.iter().filter(|worker| worker.state == state).map(|worker| worker.pid).collect()
}

fn datagrams(fleet: &Fleet, fate: &str) -> u64 {
    fleet.status().udp.expect("UDP that is shared").datagrams[fate]
}

/// Replaces all workers; they drain when this returns.
fn reload(fleet: &Fleet) {
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    until("the old ones drain", || pids(fleet, "draining").len() == 4);
}

#[test]
fn a_download_during_a_reload_is_whole() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--drain-timeout", "60s"], &[]);
    let old = pids(&fleet, "serving");
    let downloads = Downloads::begin(8, BLOCKS);
    reload(&fleet);
    let new = Downloads::begin(4, 0).end();
    assert!(new.iter().all(|download| !old.contains(&download.pid)), "{new:?} of {old:?}");
    let ended = downloads.end();
    assert!(
        ended.iter().all(|download| old.contains(&download.pid) && download.bytes == u64::from(BLOCKS) * BLOCK),
        "{ended:?}"
    );
}

#[test]
fn a_hundred_handshakes_spread_over_workers() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--quic-lb", "on"], &["ids"]);
    let mut each: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..5 {
        Downloads::begin(20, 0).end().iter().for_each(|download| *each.entry(download.pid).or_default() += 1);
    }
    assert!(each.len() == 4 && each.values().all(|count| (8..60).contains(count)), "{each:?}");
    // The ids that clients begin with are random, and one in 256 could be a server's.
    assert_eq!(datagrams(&fleet, "by_server_id"), 0);
}

#[test]
fn clients_that_move_keep_their_draining_workers() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--quic-lb", "on", "--drain-timeout", "60s"], &["ids"]);
    let mut downloads = Downloads::begin(12, BLOCKS);
    reload(&fleet);
    downloads.move_on("purpose");
    let ended = downloads.end();
    assert!(
        ended.iter().all(|download| download.bytes == u64::from(BLOCKS) * BLOCK),
        "{ended:?} {:?}",
        fleet.status().udp
    );
    assert!(datagrams(&fleet, "by_server_id") >= 12, "{:?}", fleet.status().udp);
}

#[test]
fn quinn_keeps_clients_that_move() {
    let stage = Stage::new();
    stage.certify();
    let files = ["only.pem", "key.pem"].map(|name| stage.path().join(name).display().to_string());
    let program = built("quinn").display().to_string();
    let args = ["-n", "4", "--quic-lb", "on", "--drain-timeout", "60s"];
    let fleet = serve(&stage, &args, &[&program, ADDRESS, &files[0], &files[1]]);
    let old = pids(&fleet, "serving");
    let mut downloads = Downloads::begin(12, BLOCKS);
    reload(&fleet);
    // Before the others leave their ports: whoever is given one whose flow is still known comes to that flow's worker.
    let new = Downloads::begin(16, 0).end().into_iter().map(|download| download.pid).collect::<BTreeSet<_>>();
    assert!(new.is_disjoint(&old), "{new:?} {old:?}");
    downloads.move_on("purpose");
    let ended = downloads.end();
    assert!(
        ended.iter().all(|download| old.contains(&download.pid) && download.bytes == u64::from(BLOCKS) * BLOCK),
        "{ended:?}"
    );
    assert!(datagrams(&fleet, "by_server_id") >= 12, "{:?}", fleet.status().udp);
}

/// Without ids that say anything, and without the option: the kernel has seen the id before.
#[test]
fn a_changed_port_keeps_its_draining_worker() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4", "--drain-timeout", "60s"], &[]);
    let old = pids(&fleet, "serving");
    let mut downloads = Downloads::begin(12, BLOCKS);
    reload(&fleet);
    downloads.move_on("nat");
    let ended = downloads.end();
    assert!(
        ended.iter().all(|download| old.contains(&download.pid) && download.bytes == u64::from(BLOCKS) * BLOCK),
        "{ended:?}"
    );
    assert!(datagrams(&fleet, "by_learnt_id") >= 12, "{:?}", fleet.status().udp);
}

/// A client that moves on purpose takes an id that only its server has seen: else the tests of the option show nothing.
#[test]
fn clients_that_move_on_purpose_are_lost() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4"], &["ids"]);
    let mut downloads = Downloads::begin(12, 40);
    downloads.move_on("purpose");
    let ended = downloads.end();
    assert!(ended.iter().any(|download| download.bytes < 40 * BLOCK), "{ended:?}");
    assert_eq!(datagrams(&fleet, "by_server_id"), 0);
}

/// A packet with an id that names a worker, of either header; and behind it what makes it a flow's.
fn packet(is_long: bool, worker: u16) -> Vec<u8> {
    let id = [&[8][..], &worker.to_be_bytes(), &[7; 6]].concat();
    let head: &[u8] = if is_long { &[0xc0, 0, 0, 0, 1, 9] } else { &[0x40] };
    [head, &id, &[0x55; 30]].concat()
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.set_read_timeout(Some(LOST)).expect("a timeout");
    client
}

/// Who answers the first datagram of a new flow.
fn answers(datagram: &[u8]) -> u32 {
    asks(&client(), datagram)
}

fn asks(client: &UdpSocket, datagram: &[u8]) -> u32 {
    client.send_to(datagram, ADDRESS).expect("a datagram");
    let mut answer = [0; 200];
    let length = client.recv(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    answer.split(' ').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// By process, the number that it calls itself by.
fn numbers(fleet: &Fleet) -> BTreeMap<u32, u16> {
    let number = |pid: u32| variable(Pid::from_raw(pid.cast_signed()), "LLB_WORKER")?.parse().ok();
    fleet.status().workers.iter().filter_map(|worker| Some((worker.pid, number(worker.pid)?))).collect()
}

#[track_caller]
fn assert_led(fleet: &Fleet) {
    for (pid, number) in numbers(fleet) {
        for is_long in [false, true, false, true] {
            until("its number is known", || answers(&packet(is_long, number)) == pid);
        }
    }
}

#[test]
fn an_id_names_a_living_worker_only() {
    let stage = Stage::new();
    let args = ["-n", "4", "--quic-lb", "on", "--drain-timeout", "60s", "--udp-flow-timeout", "60s"];
    let script = fixture("udp.py");
    let mut fleet = stage.start(&args, &["python3", &script, ADDRESS]);
    until("all have joined", || fleet.status().udp.is_some_and(|udp| udp.groups.iter().any(|g| g.slots.len() == 4)));
    assert_led(&fleet);
    // Nobody has these numbers, and all four are as good as any.
    let before = datagrams(&fleet, "unknown_server_id");
    for number in [4, 511, 512, u16::MAX] {
        let answered: BTreeSet<u32> = (0..40).map(|_| answers(&packet(false, number))).collect();
        assert_eq!(answered.len(), 4, "{number}");
    }
    // A client that is given the port of a flow that lives is that flow.
    let unknown = datagrams(&fleet, "unknown_server_id");
    assert!((140..=160).contains(&(unknown - before)), "{before} {unknown}");
    // What looks like no id at all is a new flow.
    for datagram in [&b"x"[..], &packet(false, 0)[..9], &[0x40; 40], &[0xc0; 40]] {
        answers(datagram);
    }
    assert_eq!(datagrams(&fleet, "unknown_server_id"), unknown);
    // A worker that drains, as its flows are not over, has its number yet, and the one in its slot another.
    let clients: Vec<UdpSocket> = (0..40).map(|_| client()).collect();
    for _ in 0..2 {
        clients.iter().for_each(|client| _ = asks(client, b"x"));
    }
    reload(&fleet);
    let all = numbers(&fleet);
    assert_eq!((all.len(), all.values().collect::<BTreeSet<_>>().len()), (8, 8), "{all:?}");
    assert_led(&fleet);
    // The next master knows them too.
    fleet.kill_master();
    fleet.take_over(&args, &["python3", &script, ADDRESS]);
    assert_led(&fleet);
    // Who is dead is named no more.
    let (dead, number) = all.first_key_value().map(|(pid, number)| (*pid, *number)).expect("workers");
    nix::sys::signal::kill(Pid::from_raw(dead.cast_signed()), nix::sys::signal::Signal::SIGKILL).expect("a worker");
    until("its socket is closed", || {
        fs::read_to_string(format!("/proc/{dead}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    assert_ne!(answers(&packet(false, number)), dead);
}
