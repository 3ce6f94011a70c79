//! UDP ports are shared as TCP ones are: a flow stays with its worker while it lives, and new flows go where they are served.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::harness::{DEADLINE, Fleet, Stage, holds_within, stage::fixture, stopped::Stopped, until};
use llb::observe::status::{FlowStatus, UdpStatus};
use llb_kit::stop::StopOnDrop;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Protocol, Socket, Type};

const ADDRESS: &str = "127.0.0.1:9053";

/// Longer than any answer of a worker that serves takes.
const LOST: Duration = Duration::from_secs(10);

fn start(stage: &Stage, args: &[&str], server: &[&str]) -> Fleet {
    let script = fixture("udp.py");
    stage.start(args, &[&["python3", &script], server].concat())
}

/// A client of one flow.
struct Client(UdpSocket);

impl Client {
    fn new(to: &str) -> Self {
        Self::from(if to.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" }, to)
    }

    fn from(own: &str, to: &str) -> Self {
        let to: SocketAddr = to.parse().expect("an address");
        let socket = UdpSocket::bind(own).expect("a port");
        socket.connect(to).expect("a server's address");
        socket.set_read_timeout(Some(LOST)).expect("a timeout");
        Client(socket)
    }

    fn say(&self, word: &str) {
        // An error that an earlier datagram has brought.
        let _ = self.0.send(word.as_bytes());
    }

    /// The process that answers; none if nobody does.
    fn ask(&self, word: &str) -> Option<u32> {
        self.say(word);
        let mut answer = [0; 100];
        let length = self.0.recv(&mut answer).ok()?;
        let answer = std::str::from_utf8(&answer[..length]).expect("text");
        answer.split(' ').nth(1)?.parse().ok()
    }

    #[track_caller]
    fn asks(&self) -> u32 {
        self.ask("x").expect("an answer")
    }
}

fn clients(count: usize, to: &str) -> Vec<Client> {
    (0..count).map(|_| Client::new(to)).collect()
}

/// Who serves each flow, after its second datagram.
#[track_caller]
fn establish(clients: &[Client]) -> Vec<u32> {
    for client in clients {
        client.asks();
    }
    clients.iter().map(Client::asks).collect()
}

fn udp(fleet: &Fleet) -> UdpStatus {
    fleet.status().udp.expect("UDP that is shared")
}

fn flows(fleet: &Fleet, slot: u32) -> FlowStatus {
    fleet.worker(slot).udp.expect("a UDP socket")
}

fn pid(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

fn wait_for_groups(fleet: &Fleet, expected: &[(&str, &[u32])]) {
    let is_so = || {
        let udp = fleet.status().udp;
        let groups = udp.map(|udp| udp.groups).unwrap_or_default();
        let groups: Vec<_> = groups.into_iter().map(|group| (group.address, group.slots)).collect();
        groups.len() == expected.len()
            && expected.iter().all(|(at, slots)| groups.contains(&((*at).to_owned(), slots.to_vec())))
    };
    assert!(holds_within(DEADLINE, is_so), "{:#?}", fleet.status().udp);
}

#[test]
fn flows_stay_with_their_worker() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "4"], &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2, 3])]);
    let clients = clients(200, ADDRESS);
    let homes = establish(&clients);
    for _ in 0..5 {
        assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes);
    }
    let mut each: BTreeMap<u32, u32> = BTreeMap::new();
    homes.iter().for_each(|pid| *each.entry(*pid).or_default() += 1);
    assert!(each.len() == 4 && each.values().all(|count| (25..100).contains(count)), "{each:?}");
    until("all flows are counted", || udp(&fleet).flows == 200);
    let status = udp(&fleet);
    assert_eq!((status.datagrams["new"], status.datagrams["known"], status.newcomers), (200, 1_200, 0));
    assert_eq!((0..4).map(|slot| flows(&fleet, slot).datagrams).sum::<u64>(), 1_400);
}

#[test]
fn every_kind_of_address_is_shared() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"], &["[::]:9053", "0.0.0.0:9054", "[::1]:9055", "dual"]);
    wait_for_groups(&fleet, &[("[::]:9053", &[0, 1]), ("0.0.0.0:9054", &[0, 1]), ("[::1]:9055", &[0, 1])]);
    for to in ["127.0.0.1:9053", "[::1]:9053", "127.0.0.1:9054", "[::1]:9055"] {
        let clients = clients(40, to);
        let homes = establish(&clients);
        assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes, "{to}");
        assert_eq!(homes.into_iter().collect::<BTreeSet<_>>().len(), 2, "{to}");
    }
    let datagrams = udp(&fleet).datagrams;
    assert!(datagrams.iter().all(|(fate, count)| !fate.starts_with("fallback") || *count == 0), "{datagrams:?}");
}

#[test]
fn a_reused_address_is_shared_as_well() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3"], &[ADDRESS, "reuseaddr"]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2])]);
    let homes: BTreeSet<u32> = establish(&clients(60, ADDRESS)).into_iter().collect();
    assert_eq!(homes.len(), 3);
}

/// As DTLS servers and some of QUIC do: a socket for each client, which only that one comes to.
#[test]
fn connected_sockets_keep_their_clients() {
    let stage = Stage::new();
    let args = ["-n", "3", "--drain-timeout", "60s", "--udp-flow-timeout", "60s"];
    let fleet = start(&stage, &args, &[ADDRESS, "reuseaddr", "connect"]);
    until("all receive", || udp(&fleet).groups.iter().any(|group| (0..3).all(|slot| group.slots.contains(&slot))));
    let clients = clients(30, ADDRESS);
    let homes = establish(&clients);
    assert_eq!(homes.iter().collect::<BTreeSet<_>>().len(), 3, "{homes:?}");
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes);
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes, "while they drain");
    let new: Vec<Client> = (0..20).map(|_| Client::from("127.0.0.2:0", ADDRESS)).collect();
    assert!(establish(&new).iter().all(|pid| !homes.contains(pid)));
}

#[test]
fn what_is_no_servers_port_is_left_alone() {
    let stage = Stage::new();
    let more = ["0.0.0.0:0", "239.1.2.3:9056", "127.0.0.1:9057"];
    let args = ["-n", "2", "-p", "9053", "-p", "9056", "--own-port", "9057+"];
    let fleet = start(&stage, &args, &[&[ADDRESS, "reuseaddr"], &more[..]].concat());
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1])]);
    // The port beside the worker's own is its slot's.
    assert_eq!(Client::new("127.0.0.1:9057").asks(), fleet.worker(0).pid);
    assert_eq!(Client::new("127.0.0.1:9058").asks(), fleet.worker(1).pid);
}

#[test]
fn a_reload_loses_no_datagram_and_moves_no_flow_in_time() {
    let stage = Stage::new();
    let args = ["-n", "2", "--drain-timeout", "4s", "--udp-flow-timeout", "60s"];
    let fleet = start(&stage, &args, &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1])]);
    let old: BTreeSet<u32> = [0, 1].map(|slot| fleet.worker(slot).pid).into();
    let stop = AtomicBool::new(false);
    let (asked, lost) = thread::scope(|scope| {
        let says = StopOnDrop(&stop);
        // New flows, and ones that go on all the time.
        let short = scope.spawn(|| {
            let (mut asked, mut lost) = (0, 0);
            while !stop.load(Relaxed) {
                (asked, lost) = (asked + 1, lost + u32::from(Client::new(ADDRESS).ask("x").is_none()));
            }
            (asked, lost)
        });
        let long = scope.spawn(|| {
            let clients = clients(20, ADDRESS);
            let (mut asked, mut lost) = (0, 0);
            while !stop.load(Relaxed) {
                for client in &clients {
                    (asked, lost) = (asked + 1, lost + u32::from(client.ask("x").is_none()));
                }
            }
            (asked, lost)
        });
        let keeps = Client::new(ADDRESS);
        let home = establish(std::slice::from_ref(&keeps))[0];
        let reloading = scope.spawn(|| fleet.command("reload").output().expect("llb reload"));
        until("the old ones drain", || fleet.status().workers.iter().filter(|w| w.state == "draining").count() == 2);
        // The new generation has every new flow, and the old one those that it had.
        // Of an address of their own: one that is given the port of a flow that lives is that flow.
        let new: Vec<Client> = (0..20).map(|_| Client::from("127.0.0.2:0", ADDRESS)).collect();
        let new: Vec<u32> = establish(&new);
        assert!(new.iter().all(|pid| !old.contains(pid)), "{new:?} of {old:?}");
        assert_eq!(keeps.asks(), home);
        assert!(reloading.join().expect("a reload").status.success());
        until("the old ones are gone", || fleet.status().workers.len() == 2);
        assert!(!old.contains(&keeps.asks()));
        drop(says);
        let (short, long) = (short.join().expect("clients"), long.join().expect("clients"));
        (short.0 + long.0, short.1 + long.1)
    });
    assert!(asked > 500, "{asked}");
    assert_eq!(lost, 0, "of {asked}");
}

#[test]
fn a_worker_whose_flows_are_idle_ends_before_its_time() {
    let stage = Stage::new();
    let args = ["-n", "1", "--drain-timeout", "60s", "--udp-flow-timeout", "400ms"];
    let fleet = start(&stage, &args, &[ADDRESS]);
    establish(&clients(10, ADDRESS));
    until("they are counted", || udp(&fleet).flows == 10);
    until("they are forgotten", || udp(&fleet).flows == 0);
    let begun = llb::internals::clock::now();
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    until("the old one is gone", || fleet.status().workers.len() == 1);
    assert!(llb::internals::clock::now().since(begun) < 30_000_000_000);
}

#[test]
fn flows_of_a_dead_worker_go_to_others_at_once() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3", "--respawn", "1h", "--backoff", "1h"], &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2])]);
    let clients = clients(60, ADDRESS);
    let homes = establish(&clients);
    let dead = fleet.worker(1).pid;
    kill(pid(&fleet, 1), Signal::SIGKILL).expect("a worker");
    until("its socket is closed", || {
        fs::read_to_string(format!("/proc/{dead}/stat")).map_or(true, |s| s.contains(") Z "))
    });
    let now: Vec<u32> = clients.iter().map(Client::asks).collect();
    for (before, now) in homes.iter().zip(&now) {
        assert!(*now != dead && (before == now || *before == dead), "{before} {now}, dead {dead}");
    }
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), now, "and stay there");
    assert!(udp(&fleet).datagrams["moved"] > 0);
}

#[test]
fn a_stopped_worker_gets_no_new_flows() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "3"], &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2])]);
    // It has answered before, so its silence says something.
    establish(&clients(30, ADDRESS));
    let before = flows(&fleet, 1).datagrams;
    let stopped = Stopped::stop(pid(&fleet, 1));
    let clients = clients(300, ADDRESS);
    clients.iter().for_each(|client| {
        client.0.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        client.ask("x");
    });
    let given = flows(&fleet, 1).datagrams - before;
    assert!(given < 30, "{given} of 300");
    drop(stopped);
    until("it gets new ones again", || {
        let before = flows(&fleet, 1).datagrams;
        establish(&self::clients(20, ADDRESS));
        flows(&fleet, 1).datagrams > before
    });
}

#[test]
fn a_sink_that_does_not_read_gets_no_new_flows() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "2"], &[ADDRESS, "sink"]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1])]);
    let stopped = Stopped::stop(pid(&fleet, 1));
    // Kept, so that nobody else gets their ports, and with them their flows.
    let mut seen = Vec::new();
    until("it is seen", || {
        let more = clients(5, ADDRESS);
        more.iter().for_each(|client| client.say("x"));
        seen.extend(more);
        // On a machine that is busy elsewhere the other one does, too, for a moment.
        flows(&fleet, 1).stands_still && !flows(&fleet, 0).stands_still
    });
    let before = flows(&fleet, 1).datagrams;
    clients(100, ADDRESS).iter().for_each(|client| client.say("x"));
    assert_eq!(flows(&fleet, 1).datagrams, before);
    drop(stopped);
    until("it gets new ones again", || {
        clients(5, ADDRESS).iter().for_each(|client| client.say("x"));
        !flows(&fleet, 1).stands_still && flows(&fleet, 1).datagrams > before
    });
}

/// An IPv4 packet with a UDP datagram of 4 bytes to [`ADDRESS`], whose source is made of a number.
fn forged(number: u32) -> [u8; 32] {
    let mut packet = [0; 32];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    let source = 0x7f10_0000 | number >> 8;
    packet[12..16].copy_from_slice(&source.to_be_bytes());
    packet[16..20].copy_from_slice(&[127, 0, 0, 1]);
    packet[20..22].copy_from_slice(&(20_000 + (number & 0xff) as u16).to_be_bytes());
    packet[22..24].copy_from_slice(&9053u16.to_be_bytes());
    packet[25] = 12;
    packet
}

#[test]
fn a_million_forged_sources_evict_no_flow() {
    let stage = Stage::new();
    // A quarter of it is longer than the flood takes on a slow machine: who is silent for longer gives way to who is not.
    let fleet = start(&stage, &["-n", "4", "--udp-flow-timeout", "10m"], &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2, 3])]);
    let clients = clients(200, ADDRESS);
    let homes = establish(&clients);
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
    let to: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    for number in 0..1_000_000 {
        // What finds no room is as good as what was never sent.
        let _ = raw.send_to(&forged(number), &to.into());
    }
    let came = || udp(&fleet).datagrams["new"];
    assert!(came() > 900_000, "{}", came());
    until("they serve again", || clients[0].ask("x").is_some());
    for (client, home) in clients.iter().zip(&homes) {
        // What the full queues have dropped is asked once more; answers to older questions name the same worker.
        let now = client.ask("x").or_else(|| client.ask("x")).expect("an answer");
        assert_eq!(now, *home);
    }
    // Nor does it bend where new flows go for longer than a second, once the queues are read.
    let all_have_new_flows = || {
        let mut each: BTreeMap<u32, u32> = BTreeMap::new();
        establish(&self::clients(60, ADDRESS)).into_iter().for_each(|pid| *each.entry(pid).or_default() += 1);
        each.len() == 4 && each.values().all(|count| *count < 30)
    };
    assert!(holds_within(Duration::from_secs(1), all_have_new_flows));
}

#[test]
fn the_next_master_knows_the_flows() {
    let stage = Stage::new();
    let (args, script) = (["-n", "3"], fixture("udp.py"));
    let mut fleet = start(&stage, &args, &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2])]);
    let clients = clients(60, ADDRESS);
    let homes = establish(&clients);
    fleet.kill_master();
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes, "with nobody there");
    fleet.take_over(&args, &["python3", &script, ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1, 2])]);
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes);
    assert_eq!(udp(&fleet).datagrams["moved"], 0);
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    let new = Client::from("127.0.0.2:0", ADDRESS).asks();
    assert!(!homes.contains(&new));
}

#[test]
fn the_next_master_keeps_the_flows_of_workers_that_drain() {
    let stage = Stage::new();
    let args = ["-n", "2", "--drain-timeout", "60s", "--udp-flow-timeout", "60s"];
    let script = fixture("udp.py");
    let mut fleet = start(&stage, &args, &[ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1])]);
    let clients = clients(40, ADDRESS);
    let homes = establish(&clients);
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    let draining = |fleet: &Fleet| fleet.status().workers.iter().filter(|w| w.state == "draining").count();
    until("the old ones drain", || draining(&fleet) == 2);
    fleet.kill_master();
    fleet.take_over(&args, &["python3", &script, ADDRESS]);
    wait_for_groups(&fleet, &[(ADDRESS, &[0, 1])]);
    assert_eq!(draining(&fleet), 2);
    assert_eq!(clients.iter().map(Client::asks).collect::<Vec<_>>(), homes);
    let datagrams = udp(&fleet).datagrams;
    assert_eq!((datagrams["moved"], datagrams["fallback_no_seat"]), (0, 0), "{datagrams:?}");
}
