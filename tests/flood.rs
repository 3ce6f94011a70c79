//! Connections that come faster than anybody can answer them: a burst from far away, and a flood that never completes.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::harness::{
    Client, Far, Fleet, Stage, Tally,
    balance::assert_balanced,
    books::{chosen, count},
    far::{FAR, NEAR, ip},
    http::{await_established, begin},
    open_loop::open_loop,
    reporting::{report, reporting},
    stopped::{Stopped, is_stopped},
    until,
};
use llb::internals::clock;
use llb_common::outcome::Outcome;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Every address: the near one for clients that are far, and loopback.
const LISTENING: &str = "0.0.0.0:8080";
const LOOPBACK: &str = "127.0.0.1:8080";
const PORT: u16 = 8080;
const SLOTS: u32 = 8;

/// How long a packet is on its way. No connection of a burst is established, and no request has come, before the last
/// worker for it has been chosen.
const DELAY: Duration = Duration::from_millis(40);
const BURST: u32 = 64;

/// One is the least, so without charges it would get all of them.
#[test]
fn a_burst_within_one_round_trip_spreads() {
    let tally = burst(&[], |slot| if slot == 3 { 5 } else { 8 });
    for slot in 0..SLOTS {
        assert!((1..=2 * u64::from(BURST / SLOTS)).contains(&tally.of(slot)), "slot {slot}: {tally:?}");
    }
}

/// The contrast. The others are so much worse that the least stays the least with a queue of all of them.
#[test]
fn a_burst_within_one_round_trip_is_a_herd_with_argmin() {
    let tally = burst(&["--policy", "argmin"], |slot| if slot == 3 { 1 } else { 1_000 });
    assert_eq!(tally.of(3), u64::from(BURST), "{tally:?}");
}

/// Half-open connections have no socket of their own yet; when their listener closes they are moved as well.
#[test]
fn handshakes_outlive_the_worker_that_they_were_meant_for() {
    let stage = Stage::new();
    let far = Far::distant(DELAY);
    let server = stage.faulty_server();
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &[&server, "0.0.0.0", &PORT.to_string(), WORK_MS]);
    fleet.wait_for_groups(&[LISTENING], SLOTS);
    let slots = thread::scope(|scope| {
        let burst = scope.spawn(|| far.run(burst_from_afar));
        until("all SYNs have come", || fleet.status().connections >= u64::from(BURST));
        let victim = fleet.worker(0);
        kill(Pid::from_raw(victim.pid.cast_signed()), Signal::SIGKILL).expect("a worker");
        eprintln!("the dead was chosen for {} connections, of which {:?} were established", victim.chosen, victim.open);
        burst.join().expect("a burst of which every connection is answered")
    });
    let status = fleet.status();
    let moved = count(&status, Outcome::Migrated) + count(&status, Outcome::MigratedByHash);
    eprintln!("{moved} of {BURST} were moved: {:?}", slots.into_iter().collect::<Tally>());
    assert!(moved > 0, "the worker died too late: {status:#?}");
    until("it is replaced", || fleet.status().workers.iter().all(|worker| worker.state == "serving"));
    assert_balanced(&fleet, LOOPBACK);
}

/// Who gets a burst, with these reports.
#[track_caller]
fn burst(args: &[&str], report_ms: impl Fn(u32) -> u32) -> Tally {
    let stage = Stage::new();
    let far = Far::distant(DELAY);
    let fleet = reporting(&stage, LISTENING, SLOTS, args);
    // Charges outlast a round trip once handshakes have shown how long one is: on a slow machine a burst takes longer than
    // those of clients that are near.
    let warm_up = far.run(burst_from_afar);
    fleet.wait_until_quiet();
    report(&stage, &fleet, SLOTS, 3, report_ms);
    let slots = far.run(burst_from_afar);
    let tally: Tally = slots.iter().copied().collect();
    eprintln!("{tally:?}");
    warm_up.into_iter().chain(slots).collect::<Tally>().assert_steered(&fleet.status());
    fleet.wait_until_quiet();
    tally
}

/// Connections that all begin before the first can be established; who answers each.
fn burst_from_afar() -> Vec<u32> {
    let address = format!("{NEAR}:{PORT}");
    let begun = clock::now();
    let mut clients: Vec<Client> = (0..BURST).map(|_| begin(&address)).collect();
    let took = Duration::from_nanos(clock::now().since(begun));
    assert!(took < 2 * DELAY, "the burst takes {took:?}, longer than a round trip");
    clients.iter().for_each(await_established);
    clients.iter_mut().for_each(|client| client.send_last("/"));
    let slots = clients.iter_mut().map(|client| client.receive().slot()).collect();
    // The handshake is a round trip, and the request another.
    assert!(Duration::from_nanos(clock::now().since(begun)) >= 4 * DELAY, "the line is too short");
    slots
}

/// SYNs of a flood.
const FLOOD: u64 = 100_000;

/// Flags of a TCP packet.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Where it comes from: addresses at which nobody answers, not even by a reset, which would end a half-open connection.
const NOWHERE: &str = "10.66.0.0/16";

/// For so long after it the flood may be felt, ms.
const FELT_FOR: Duration = Duration::from_secs(1);

/// How long a worker takes, and how many requests are each one's share while another is blocked.
const WORK_MS: &str = "3";
const SHARE: u32 = 12;

/// Bursts of four for each worker: then the kernel knows of each, and not only of the first it tried, what it costs.
const WARM_UPS: u32 = 6;

/// Sysctls are left as they are by default, as what happens then is what happens to users: a listener holds as many
/// half-open connections as its backlog, 128, and answers by SYN cookies beyond.
#[test]
fn a_flood_of_syns_is_forgotten_within_a_second() {
    let stage = Stage::new();
    let (far, fleet) = beside_nowhere(&stage);
    assert_steers(&fleet);

    let before = fleet.status().connections;
    let over = Arc::new(AtomicBool::new(false));
    let mut answered = 0;
    let (sent, took) = thread::scope(|scope| {
        let until_over = over.clone();
        let flood = scope.spawn(|| far.run(move || flood(SYN, |_| !until_over.load(Relaxed))));
        let begun = clock::now();
        until("the flood has been seen", || {
            let sample = &open_loop(LOOPBACK, Duration::ZERO, 1, |_| "/".into())[0];
            assert!(sample.slot().is_some(), "no answer while the flood goes on");
            answered += 1;
            // What is answered by a SYN cookie is chosen for twice: at the SYN, and when the cookie comes back.
            fleet.status().connections - before >= FLOOD + 2 * answered
        });
        over.store(true, Relaxed);
        (flood.join().expect("a flood"), clock::now().since(begun) / 1_000_000)
    });
    let ended = clock::now();
    eprintln!("{sent} SYNs in {took} ms, {answered} requests answered meanwhile");
    eprintln!("{}", nstat());
    assert!(sent >= FLOOD && answered >= 5, "{sent} sent, {answered} answered");

    until("it may no longer be felt", || clock::now() >= ended.after(FELT_FOR));
    assert_steers(&fleet);
    fleet.wait_until_quiet();
}

/// What is left of a connection that a worker has reset, or that nobody ever had, is no connection, and is charged to
/// nobody. A bare ACK counts, as it may be the answer to a cookie, which makes a connection.
#[test]
fn a_stray_packet_is_no_connection() {
    let stage = Stage::new();
    let (far, fleet) = beside_nowhere(&stage);
    for (name, flags) in [("FIN", FIN | ACK), ("RST", RST), ("RST and ACK", RST | ACK)] {
        let before = fleet.status();
        far.run(move || flood(flags, |sent| sent < 100));
        let after = fleet.status();
        let strays = after.connections - before.connections;
        assert_eq!(strays, 0, "{name}: {strays} of 100 strays were counted as connections");
        assert_eq!(chosen(&after), chosen(&before), "{name}");
    }
}

/// A fleet, and beside it a place from which packets come that nobody answers for.
#[track_caller]
fn beside_nowhere(stage: &Stage) -> (Far, Fleet) {
    let far = Far::adjacent();
    ip(&["route", "add", NOWHERE, "via", FAR]);
    far.run(|| ip(&["route", "add", "blackhole", NOWHERE]));
    let server = stage.faulty_server();
    let fleet = stage.start(&["-n", &SLOTS.to_string()], &[&server, "0.0.0.0", &PORT.to_string(), WORK_MS]);
    fleet.wait_for_groups(&[LISTENING], SLOTS);
    (far, fleet)
}

/// Sends packets of these flags, each from an address of its own, until it is told to stop; how many.
fn flood(flags: u8, mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(nix::libc::IPPROTO_RAW))).expect("a raw socket");
    let near: Ipv4Addr = NEAR.parse().expect("an address");
    let to = std::net::SocketAddr::from((near, PORT)).into();
    let mut sent = 0;
    while goes_on(sent) {
        let [.., port_high, high, low] = (sent as u32).to_be_bytes();
        let from = Ipv4Addr::new(10, 66, high, low);
        // A full queue loses some, as it would on any line.
        let _ = raw.send_to(&packet(flags, from, 1024 + u16::from(port_high), near), &to);
        sent += 1;
    }
    sent
}

/// A TCP packet without options or payload, from any address. The kernel completes the IP header.
fn packet(flags: u8, from: Ipv4Addr, from_port: u16, to: Ipv4Addr) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[0] = 0x45;
    packet[8] = 64;
    packet[9] = 6;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet[20..22].copy_from_slice(&from_port.to_be_bytes());
    packet[22..24].copy_from_slice(&PORT.to_be_bytes());
    // A header of five words, the flags, a window.
    packet[32] = 5 << 4;
    packet[33] = flags;
    packet[34..36].copy_from_slice(&[0xff, 0xff]);
    // The checksum: of both addresses, the protocol, the length and the TCP header.
    let words = packet[12..].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum::<u32>() + 6 + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// That with one worker blocked, it gets nothing, and the idle ones share evenly.
#[track_caller]
fn assert_steers(fleet: &Fleet) {
    for _ in 0..WARM_UPS {
        open_loop(LOOPBACK, Duration::ZERO, 4 * SLOTS, |_| "/".into());
    }
    let pids: Vec<Pid> = fleet.status().workers.iter().map(|worker| Pid::from_raw(worker.pid.cast_signed())).collect();
    let mut held = Client::connect(LOOPBACK);
    held.send_last("/stop");
    let mut stopped = None;
    until("a worker has stopped itself", || {
        stopped = pids.iter().find(|pid| is_stopped(**pid));
        stopped.is_some()
    });
    let goes_on = Stopped::stop(*stopped.expect("a worker"));
    let stopped_at = clock::now();
    until("it takes longer than any other", || clock::now() > stopped_at.after(Duration::from_millis(50)));
    let burst = |_| open_loop(LOOPBACK, Duration::ZERO, SLOTS - 1, |_| "/".into());
    let tally: Tally = (0..SHARE).flat_map(burst).map(|sample| sample.slot().expect("an answer")).collect();
    drop(goes_on);
    let answer = held.receive();
    let blocked: u32 = answer.body.split(' ').next().and_then(|slot| slot.parse().ok()).expect("a slot");
    eprintln!("slot {blocked} is blocked: {tally:?}");
    for slot in (0..SLOTS).filter(|slot| *slot != blocked) {
        assert!((SHARE / 3..=3 * SHARE).contains(&(tally.of(slot) as u32)), "slot {slot}: {tally:?}");
    }
    assert_eq!(tally.of(blocked), 0, "{tally:?}");
}

/// What the kernel counts of half-open connections.
fn nstat() -> String {
    let names = ["TcpExtSyncookiesSent", "TcpExtSyncookiesRecv", "TcpExtTCPReqQFullDoCookies", "TcpExtListenDrops"];
    let output = Command::new("nstat").arg("-asz").args(names).output().expect("nstat, of iproute2");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
