//! Programs as they are, unmodified, on one port: each serves from all its workers, and it is llb that chose, which
//! the selector's own counters say, and not the kernel's hash by chance.

use std::fs;

use crate::harness::{Fleet, Stage, Tally, get, stage::fixture, until};

const SLOTS: u32 = 3;
const TURNS: u32 = 4;

/// Round-robin makes the expectation exact: `SLOTS * TURNS` connections are `TURNS` for each.
const EXACT: [&str; 4] = ["-n", "3", "--policy", "round-robin"];

/// On 127.0.0.1, and on both families.
const LOOPBACK: &str = "127.0.0.1:8080";
const ANY6: &str = "[::]:8080";

#[test]
fn pythons_http_server() {
    let stage = Stage::new();
    for slot in 0..SLOTS {
        stage.write(&format!("www.{slot}/index.html"), &slot.to_string());
    }
    let serve = "exec python3 -m http.server 8080 --bind 127.0.0.1 --directory $STAGE/www.$WORKER_ID";
    let fleet = stage.start(&EXACT, &["sh", "-c", serve]);
    assert_even(&fleet, &[LOOPBACK], &[LOOPBACK]);
}

#[test]
fn node_is_reached_over_ipv4_and_ipv6() {
    let stage = Stage::new();
    let fleet = stage.start(&EXACT, &["node", &fixture("server.js"), "8080"]);
    assert_even(&fleet, &[ANY6], &[LOOPBACK, "[::1]:8080"]);
}

/// What listens is not what llb started: a child of its shell, and a child of that one's.
#[test]
fn node_behind_shells() {
    let stage = Stage::new();
    let server = fixture("server.js");
    for command in
        [format!("true; node '{server}' 8080; true"), format!("sh -c \"true; node '{server}' 8080; true\"; true")]
    {
        let fleet = stage.start(&EXACT, &["sh", "-c", &command]);
        assert_even(&fleet, &[ANY6], &[LOOPBACK]);
    }
}

#[test]
fn nginx_without_a_master_process() {
    let stage = Stage::new();
    let fleet = stage.start(&EXACT, &stage.nginx(SLOTS));
    assert_even(&fleet, &[LOOPBACK], &[LOOPBACK]);
}

#[test]
fn a_static_program() {
    let stage = Stage::new();
    let fleet = stage.start(&EXACT, &[&stage.static_server(), "8080"]);
    assert_even(&fleet, &[LOOPBACK], &[LOOPBACK]);
}

#[test]
fn asyncio_answers_several_requests_on_one_connection() {
    let stage = Stage::new();
    let fleet = stage.start(&EXACT, &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
    fleet.wait_for_groups(&[LOOPBACK], SLOTS);
    let mut tally = Tally::default();
    for _ in 0..SLOTS {
        let mut client = crate::harness::Client::connect(LOOPBACK);
        let mut ask = || {
            client.send("/");
            client.receive().slot()
        };
        let slot = ask();
        assert_eq!([ask(), ask()], [slot; 2], "a connection stays with its worker");
        tally.add(slot);
    }
    let status = fleet.status();
    tally.assert_steered(&status);
    for worker in &status.workers {
        assert_eq!((worker.chosen, worker.answered), (1, Some(3)), "{worker:#?}");
    }
    fleet.wait_until_quiet();
}

#[test]
fn two_ports_are_two_groups() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["127.0.0.1@8080", "127.0.0.1@8081"]);
    assert_even(&fleet, &[LOOPBACK, "127.0.0.1:8081"], &[LOOPBACK, "127.0.0.1:8081"]);
}

#[test]
fn ipv6_only() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["::1@8080"]);
    assert_even(&fleet, &["[::1]:8080"], &["[::1]:8080"]);
}

#[test]
fn one_socket_for_both_families() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["::@8080@dual"]);
    assert_even(&fleet, &[ANY6], &["[::1]:8080", LOOPBACK]);
}

#[test]
fn a_program_that_sets_so_reuseport_itself() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["127.0.0.1@8080@reuse"]);
    assert_even(&fleet, &[LOOPBACK], &[LOOPBACK]);
}

/// The kernel takes no Multipath TCP socket into a map of listeners, so llb says so and fails open: the workers share
/// the port, and the kernel's hash chooses. (Go, which would listen so by default, is told not to by its environment.)
#[test]
fn multipath_tcp_is_left_to_the_kernels_hash() {
    let stage = Stage::new();
    let server = fixture("listeners.py");
    let command = ["python3", &server, "127.0.0.1@8080@mptcp"];
    // Kept by namespace; a kernel without it has no such file, and refuses such sockets.
    let has_mptcp = fs::read_to_string("/proc/sys/net/mptcp/enabled").is_ok_and(|enabled| enabled.trim() == "1");
    if !has_mptcp {
        let ended = stage.launch(&EXACT, &command).wait();
        assert_eq!(ended.code, Some(4), "{ended:#?}");
        assert!(ended.stderr.contains("Protocol not"), "{ended:#?}");
        return;
    }
    let fleet = stage.launch(&EXACT, &command);
    until("llb says so", || fleet.stderr().contains("no listener could be steered"));
    // Enough that the hash leaves out one of three less than once in 10^10 times.
    let mut tally = Tally::default();
    tally.ask(LOOPBACK, "/", 64);
    assert_eq!(tally.0.len(), SLOTS as usize, "{tally:?}");
    let status = fleet.status();
    assert_eq!((status.connections, status.groups.len()), (0, 0), "{status:#?}");
    assert!(fleet.stderr().contains("left to the kernel's hash"), "{}", fleet.stderr());
}

/// As a server would that runs an accept loop per listener in one process. Each listener has a turn of its own.
#[test]
fn two_listeners_of_one_worker_on_one_port_are_two_seats() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["127.0.0.1@8080@reuse", "127.0.0.1@8080@reuse"]);
    until("each worker has two seats", || fleet.status().workers.iter().all(|worker| worker.seats.len() == 2));
    let mut seats: Vec<u32> = fleet.status().workers.iter().flat_map(|worker| worker.seats.clone()).collect();
    seats.sort_unstable();
    seats.dedup();
    assert_eq!(seats.len(), 2 * SLOTS as usize, "a seat is never shared");
    // A slot is shown once, whatever it has there.
    let slots = (0..SLOTS).collect();
    assert_eq!(fleet.status().groups, [llb::observe::status::GroupStatus { address: LOOPBACK.into(), slots }]);
    assert_turns(&fleet, &[LOOPBACK]);
}

/// Every worker gets another port from the kernel, and the port is its own.
#[test]
fn port_0_and_outgoing_connections_are_left_alone() {
    let stage = Stage::new();
    let fleet = listeners(&stage, &EXACT, &["127.0.0.1@0@report", "127.0.0.1@8080"]);
    fleet.wait_for_groups(&[LOOPBACK], SLOTS);
    let port = |slot: u32| fs::read_to_string(stage.path().join(format!("port.{slot}"))).expect("a worker's port");
    let ports: Vec<String> = (0..SLOTS).map(port).collect();
    for (slot, port) in ports.iter().enumerate() {
        assert_eq!(ports.iter().filter(|other| *other == port).count(), 1, "{ports:?}");
        let tally: Tally = (0..2).map(|_| get(&format!("127.0.0.1:{port}"), "/").slot()).collect();
        assert_eq!(tally.of(slot as u32), 2, "{tally:?}");
    }
    // The next worker in turn connects to the one before it: no worker of a single process can call itself.
    let first = get(LOOPBACK, "/").slot();
    let called = get(LOOPBACK, &format!("/call/{}", ports[first as usize])).slot();
    assert_eq!(called, first);
    let status = fleet.status();
    assert_eq!(status.groups.len(), 1, "{status:#?}");
    assert_eq!(status.connections, 2, "neither a port of its own nor an outgoing connection is steered: {status:#?}");
    assert!(status.workers.iter().map(|worker| worker.chosen).sum::<u64>() == 2, "{status:#?}");
    fleet.wait_until_quiet();
}

#[test]
fn with_p_other_ports_are_left_alone() {
    let stage = Stage::new();
    let limited = [&EXACT[..], &["-p", LOOPBACK]].concat();
    let fleet = listeners(&stage, &limited, &["127.0.0.1@909WORKER_ID", "127.0.0.1@8080"]);
    assert_even(&fleet, &[LOOPBACK], &[LOOPBACK]);
    for slot in 0..SLOTS {
        assert_eq!(get(&format!("127.0.0.1:909{slot}"), "/").slot(), slot);
    }
    let status = fleet.status();
    assert_eq!(status.connections, u64::from(SLOTS * TURNS), "{status:#?}");
    assert_eq!(status.groups.len(), 1, "{status:#?}");
}

#[track_caller]
fn listeners(stage: &Stage, args: &[&str], specs: &[&str]) -> Fleet {
    let server = fixture("listeners.py");
    stage.start(args, &[&["python3", &server], specs].concat())
}

/// Waits until exactly `groups` are steered by all workers; then turns to each of `addresses` go to all evenly.
#[track_caller]
fn assert_even(fleet: &Fleet, groups: &[&str], addresses: &[&str]) {
    fleet.wait_for_groups(groups, SLOTS);
    assert_turns(fleet, addresses);
}

#[track_caller]
fn assert_turns(fleet: &Fleet, addresses: &[&str]) {
    let mut tally = Tally::default();
    for address in addresses {
        tally.ask(address, "/", SLOTS * TURNS);
    }
    tally.assert_steered(&fleet.status());
    for slot in 0..SLOTS {
        assert_eq!(tally.of(slot), u64::from(TURNS) * addresses.len() as u64, "{tally:?}");
    }
    fleet.wait_until_quiet();
}
