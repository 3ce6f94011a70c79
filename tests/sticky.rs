//! A client's connections go to one slot, as long as that is up.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use crate::harness::{
    Answer, Client, DEADLINE, Fleet, Stage, far::ip, holds_within, in_line::wait_for_line, stage::fixture,
    stopped::Stopped, until,
};
use llb::observe::status::{Status, StickyStatus};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

const ADDRESS: &str = "127.0.0.1:8080";
const STICKY: [&str; 2] = ["--sticky", "source"];

/// So many clients, each of an address of its own.
fn clients(count: u8) -> Vec<IpAddr> {
    (0..count).map(|last| IpAddr::V4(Ipv4Addr::new(127, 9, 0, last + 1))).collect()
}

/// What a new connection of this client is answered; none if nobody does.
fn request(from: IpAddr, to: &str, path: &str) -> Option<Answer> {
    let to: SocketAddr = to.parse().expect("an address and port");
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
    socket.connect_timeout(&to.into(), DEADLINE).ok()?;
    let mut client = Client::over(socket.into()).expect("a timeout");
    // Without chunks, whatever the program.
    client.try_write(&format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n")).ok()?;
    client.try_receive().ok()
}

/// The slot that answers a new connection of this client; none if nobody does.
fn try_ask(from: IpAddr, to: &str) -> Option<u32> {
    request(from, to, "/")?.named_slot()
}

#[track_caller]
fn ask(from: IpAddr, to: &str) -> u32 {
    try_ask(from, to).unwrap_or_else(|| panic!("{from} got no answer"))
}

/// The slot of each client.
#[track_caller]
fn homes(clients: &[IpAddr], to: &str) -> BTreeMap<IpAddr, u32> {
    clients.iter().map(|client| (*client, ask(*client, to))).collect()
}

fn sticky(status: &Status) -> StickyStatus {
    status.sticky.clone().expect("a count of clients")
}

fn start(stage: &Stage, workers: &str, more: &[&str]) -> Fleet {
    let server = stage.static_server();
    let args: Vec<&str> = ["-n", workers].into_iter().chain(STICKY).chain(more.iter().copied()).collect();
    stage.start(&args, &[&server, "8080"])
}

fn pid(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

#[test]
fn all_connections_of_a_client_go_to_one_slot() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &[]);
    let client = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
    let slots: BTreeSet<u32> = (0..100).map(|_| ask(client, ADDRESS)).collect();
    assert_eq!(slots.len(), 1, "{slots:?}");
    let sticky = sticky(&fleet.status());
    assert_eq!((sticky.new, sticky.hits, sticky.moved, sticky.entered), (1, 99, 0, 1));
    // The control: without it they go everywhere.
    fleet.stop();
    let server = stage.static_server();
    let _fleet = stage.start(&["-n", "4"], &[&server, "8080"]);
    let slots: BTreeSet<u32> = (0..100).map(|_| ask(client, ADDRESS)).collect();
    assert!(slots.len() > 1, "{slots:?}");
}

#[test]
fn connections_that_come_at_once_have_one_slot() {
    let stage = Stage::new();
    let _fleet = start(&stage, "4", &[]);
    for client in clients(10) {
        let slots: BTreeSet<u32> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(move || ask(client, ADDRESS))).collect();
            asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        assert_eq!(slots.len(), 1, "{client}: {slots:?}");
    }
}

#[test]
fn no_slot_has_a_quarter_more_clients_than_the_mean() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &[]);
    let homes = homes(&clients(60), ADDRESS);
    let mut counts = [0u32; 4];
    homes.values().for_each(|slot| counts[*slot as usize] += 1);
    // A quarter more than 15, and one; and one more that came within a publication.
    assert!(counts.iter().all(|count| *count <= 20), "{counts:?}");
    let slots = fleet.status().slots;
    assert_eq!(slots.iter().filter_map(|slot| slot.clients).collect::<Vec<_>>(), counts.map(u64::from));
}

#[test]
fn reloads_move_no_client_to_another_slot() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &[]);
    let clients = clients(40);
    let before = homes(&clients, ADDRESS);
    for (generation, args) in [(2, &[][..]), (3, &["--rolling"][..])] {
        thread::scope(|scope| {
            let reload = scope.spawn(|| fleet.command("reload").args(args).status().expect("the llb binary"));
            while !reload.is_finished() {
                assert_eq!(homes(&clients, ADDRESS), before);
            }
        });
        assert_eq!(homes(&clients, ADDRESS), before);
        assert_eq!(fleet.status().generation, generation);
    }
    let sticky = sticky(&fleet.status());
    assert_eq!((sticky.new, sticky.moved), (40, 0), "{sticky:?}");
}

#[test]
fn clients_of_a_killed_worker_come_back() {
    let stage = Stage::new();
    let fleet = start(&stage, "3", &["--respawn", "3s", "--backoff", "3s"]);
    let clients = clients(18);
    let before = homes(&clients, ADDRESS);
    let dead = pid(&fleet, 0);
    kill(dead, Signal::SIGKILL).expect("a worker");
    until("the worker is gone", || {
        fleet.status().workers.iter().all(|worker| worker.pid.cast_signed() != dead.as_raw())
    });
    let meanwhile = homes(&clients, ADDRESS);
    assert!(meanwhile.values().all(|slot| *slot != 0), "{meanwhile:?}");
    assert_eq!(homes(&clients, ADDRESS), meanwhile, "who stands in for it goes on doing so");
    until("the slot has a worker", || fleet.status().groups[0].slots.contains(&0));
    assert_eq!(homes(&clients, ADDRESS), before);
    assert!(sticky(&fleet.status()).moved > 0);
}

#[test]
fn clients_of_a_stopped_worker_are_answered_and_come_back() {
    let stage = Stage::new();
    let fleet = start(&stage, "3", &[]);
    let clients = clients(12);
    let before = homes(&clients, ADDRESS);
    let stopped = Stopped::stop(pid(&fleet, 0));
    let meanwhile = homes(&clients, ADDRESS);
    assert!(meanwhile.values().all(|slot| *slot != 0), "{meanwhile:?}");
    drop(stopped);
    until("its clients are back", || homes(&clients, ADDRESS) == before);
}

#[test]
fn scaling_moves_only_clients_of_slots_that_go() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &[]);
    let clients = clients(40);
    let before = homes(&clients, ADDRESS);
    let scale = |workers: &str| {
        assert!(fleet.command("scale").arg(workers).status().expect("the llb binary").success());
    };
    scale("6");
    assert_eq!(homes(&clients, ADDRESS), before, "nobody moves for those that come");
    scale("2");
    let after = homes(&clients, ADDRESS);
    for (client, slot) in &before {
        assert!(*slot >= 2 || after[client] == *slot, "{client}: {slot}, then {}", after[client]);
        assert!(after[client] < 2);
    }
    assert_eq!(homes(&clients, ADDRESS), after, "they have new homes");
}

#[test]
fn a_prefix_makes_one_client_of_a_net() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &["--sticky-prefix", "24,64"]);
    let slots: BTreeSet<u32> = homes(&clients(60), ADDRESS).into_values().collect();
    assert_eq!(slots.len(), 1, "{slots:?}");
    let other = |third: u8| ask(IpAddr::V4(Ipv4Addr::new(127, 8, third, 1)), ADDRESS);
    let slots: BTreeSet<u32> = (0..20).map(other).collect();
    assert!(slots.len() > 1, "{slots:?}");
    assert_eq!(sticky(&fleet.status()).entered, 21);
}

#[test]
fn clients_are_forgotten_when_their_time_is_over() {
    let stage = Stage::new();
    let fleet = start(&stage, "4", &["--sticky-ttl", "1s"]);
    let client = clients(1)[0];
    ask(client, ADDRESS);
    let new = || sticky(&fleet.status()).new;
    assert_eq!(new(), 1);
    thread::sleep(Duration::from_millis(1_100));
    ask(client, ADDRESS);
    assert_eq!(new(), 2);
}

#[test]
fn both_families_know_the_same_client() {
    let stage = Stage::new();
    let fleet = stage.start(
        &["-n", "4", "--sticky", "source"],
        &[
            "node",
            "-e",
            "require('http').createServer((q, s) => s.end(process.env.WORKER_ID + ' ')).listen(8080, '::')",
        ],
    );
    let v4: BTreeSet<u32> = (0..30).map(|_| ask(clients(1)[0], ADDRESS)).collect();
    assert_eq!(v4.len(), 1, "{v4:?}");
    for last in 1..=12 {
        ip(&["address", "add", &format!("fd00::{last}/64"), "dev", "lo", "nodad"]);
    }
    let all: BTreeSet<u32> = (1..=12)
        .map(|last| {
            let client: IpAddr = format!("fd00::{last}").parse().expect("an address");
            let slots: BTreeSet<u32> = (0..10).map(|_| ask(client, "[::1]:8080")).collect();
            assert_eq!(slots.len(), 1, "{client}: {slots:?}");
            *slots.first().expect("a slot")
        })
        .collect();
    assert!(all.len() > 1, "{all:?}");
    let sticky = sticky(&fleet.status());
    assert_eq!((sticky.new, sticky.moved), (13, 0), "{sticky:?}");
}

#[test]
fn the_next_master_knows_the_clients() {
    let stage = Stage::new();
    let server = stage.static_server();
    let args = ["-n", "4", "--sticky", "source"];
    let mut fleet = stage.start(&args, &[&server, "8080"]);
    let clients = clients(40);
    let before = homes(&clients, ADDRESS);
    fleet.kill_master();
    assert_eq!(homes(&clients, ADDRESS), before, "without a master");
    fleet.take_over(&args, &[&server, "8080"]);
    assert_eq!(homes(&clients, ADDRESS), before);
    assert!(fleet.command("reload").status().expect("the llb binary").success());
    assert_eq!(homes(&clients, ADDRESS), before, "and its reload");
}

#[test]
fn known_clients_do_not_wait_in_line() {
    let stage = Stage::new();
    let fleet = start(&stage, "3", &["--concurrency", "1"]);
    wait_for_line(&fleet);
    let clients = clients(24);
    let before = homes(&clients, ADDRESS);
    // All at once, so that most find their own worker busy.
    let after: BTreeMap<IpAddr, u32> = thread::scope(|scope| {
        let asking: Vec<_> =
            clients.iter().map(|client| scope.spawn(move || (*client, ask(*client, ADDRESS)))).collect();
        asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    assert_eq!(after, before);
    assert!(holds_within(DEADLINE, || fleet.status().line.is_some_and(|line| line.waiting == 0)));
}

/// Begins a session for each client, goes on with each until `is_over`, and says how many were not known where they came to.
fn lost_sessions(clients: &[IpAddr], mut is_over: impl FnMut() -> bool) -> usize {
    let begin = |client: &IpAddr| {
        let Answer { status, body } = request(*client, ADDRESS, "/new").expect("an answer");
        assert_eq!(status, 200);
        (*client, format!("/{body}"))
    };
    let sessions: Vec<_> = clients.iter().map(begin).collect();
    let mut lost = BTreeSet::new();
    let mut over = false;
    while !over {
        over = is_over();
        let answers =
            sessions.iter().map(|(client, path)| (client, request(*client, ADDRESS, path).expect("an answer")));
        lost.extend(answers.filter(|(_, answer)| answer.status != 200).map(|(client, _)| *client));
    }
    lost.len()
}

#[test]
fn sessions_that_one_slot_knows_survive_three_reloads() {
    let stage = Stage::new();
    let (node, clients) = (["node", &fixture("sessions.js")], clients(50));
    let fleet = stage.start(&["-n", "4", "--sticky", "source"], &node);
    let reload = || fleet.command("reload").spawn().expect("the llb binary");
    let (mut reloads, mut reloading) = (1, reload());
    let lost = lost_sessions(&clients, || {
        let Some(status) = reloading.try_wait().expect("a child") else { return false };
        assert!(status.success());
        if reloads < 3 {
            (reloads, reloading) = (reloads + 1, reload());
            return false;
        }
        true
    });
    assert_eq!((lost, fleet.status().generation), (0, 4));
    fleet.stop();
    // The control. By turns: of workers that are all free least-latency may choose one for long.
    let _fleet = stage.start(&["-n", "4", "--policy", "round-robin"], &node);
    let mut rounds = 0;
    let lost = lost_sessions(&clients, || {
        rounds += 1;
        rounds == 5
    });
    assert!(lost > 25, "without it only {lost} of 50 sessions are lost");
}
