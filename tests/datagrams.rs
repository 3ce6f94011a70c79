//! What UDP servers ask of the kernel besides: which of its addresses a datagram came to, and several datagrams in one call.

use std::{collections::BTreeSet, net::UdpSocket, process::Command, time::Duration};

use crate::harness::{Fleet, Stage, stage::fixture, until};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

/// Longer than any answer of a worker that serves takes.
const LOST: Duration = Duration::from_secs(10);

/// What a client says at once, and the kernel cuts.
const SIZE: usize = 1_000;
const COUNT: usize = 20;

fn start(stage: &Stage, args: &[&str], server: &[&str]) -> Fleet {
    let script = fixture("udp.py");
    let fleet = stage.start(&[&["-n", "3"], args].concat(), &[&["python3", &script], server].concat());
    let groups = server.iter().filter(|word| word.contains(':')).count();
    let all_have_joined = || {
        let udp = fleet.status().udp.map(|udp| udp.groups).unwrap_or_default();
        udp.len() == groups && udp.iter().all(|group| group.slots.len() == 3)
    };
    until("all have joined", all_have_joined);
    fleet
}

fn client(to: &str) -> UdpSocket {
    let client = UdpSocket::bind(if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).expect("a port");
    client.connect(to).expect("a server's address");
    client.set_read_timeout(Some(LOST)).expect("a timeout");
    client
}

/// The next answer: who gives it, and to what.
#[track_caller]
fn answer(client: &UdpSocket) -> (u32, Vec<u8>) {
    let mut answer = vec![0; 2 * SIZE];
    let length = client.recv(&mut answer).expect("an answer");
    answer.truncate(length);
    let mut words = answer.splitn(3, |octet| *octet == b' ').skip(1);
    let pid = words.next().and_then(|pid| std::str::from_utf8(pid).ok()?.parse().ok()).expect("a process");
    (pid, words.next().expect("what was asked").to_vec())
}

/// So many datagrams of one size each, and a short one, which the kernel cuts from what is sent once.
#[track_caller]
fn send_at_once(client: &UdpSocket) -> Vec<Vec<u8>> {
    setsockopt(client, UdpGsoSegment, &i32::try_from(SIZE).expect("a size")).expect("a kernel that cuts");
    let parts: Vec<Vec<u8>> = (0..=COUNT)
        .map(|n| vec![b'a' + u8::try_from(n).expect("a letter"); if n < COUNT { SIZE } else { 7 }])
        .collect();
    assert_eq!(client.send(&parts.concat()).expect("datagrams"), COUNT * SIZE + 7);
    parts
}

fn fallbacks(fleet: &Fleet) -> u64 {
    let datagrams = fleet.status().udp.expect("UDP that is shared").datagrams;
    datagrams.into_iter().filter(|(fate, _)| fate.starts_with("fallback")).map(|(_, count)| count).sum()
}

/// With a client that is connected, which takes answers from nowhere else.
#[test]
fn a_wildcard_server_answers_from_the_address_that_was_asked() {
    let stage = Stage::new();
    for address in ["fd00::1/128", "fd00::2/128"] {
        let added = Command::new("ip").args(["address", "add", address, "dev", "lo", "nodad"]).status().expect("ip");
        assert!(added.success(), "{address}");
    }
    let fleet = start(&stage, &[], &["0.0.0.0:9053", "[::]:9054", "dual", "pktinfo"]);
    let mut served = BTreeSet::new();
    for to in ["127.0.0.1:9053", "127.0.0.7:9053", "127.0.0.8:9054", "[::1]:9054", "[fd00::1]:9054", "[fd00::2]:9054"] {
        let clients: Vec<UdpSocket> = (0..20).map(|_| client(to)).collect();
        let homes = [(); 3].map(|()| {
            clients.iter().for_each(|client| _ = client.send(b"x").expect("a datagram"));
            clients.iter().map(|client| answer(client).0).collect::<Vec<u32>>()
        });
        assert!(homes[1..].iter().all(|later| *later == homes[0]), "{to}: {homes:?}");
        served.extend(homes.concat());
    }
    assert_eq!((served.len(), fallbacks(&fleet)), (3, 0));
}

#[test]
fn datagrams_that_the_kernel_cuts_are_one_flow() {
    let stage = Stage::new();
    let fleet = start(&stage, &[], &["127.0.0.1:9053", "[::1]:9053"]);
    let mut served = BTreeSet::new();
    for to in ["127.0.0.1:9053", "[::1]:9053"] {
        for client in (0..20).map(|_| client(to)) {
            let parts = send_at_once(&client);
            let answers: Vec<(u32, Vec<u8>)> = parts.iter().map(|_| answer(&client)).collect();
            assert!(answers.iter().zip(&parts).all(|(answer, part)| *answer == (answers[0].0, part.clone())), "{to}");
            served.insert(answers[0].0);
        }
    }
    assert_eq!((served.len(), fallbacks(&fleet)), (3, 0));
}

/// As QUIC servers do: the kernel joins for them what comes, and cuts what they answer.
#[test]
fn a_server_takes_joined_datagrams_and_is_reloaded() {
    let stage = Stage::new();
    let args = ["--drain-timeout", "60s", "--udp-flow-timeout", "60s"];
    let fleet = start(&stage, &args, &["127.0.0.1:9053", "[::1]:9053", "gro"]);
    let together = format!("{} ", COUNT + 1).into_bytes();
    let clients: Vec<UdpSocket> =
        ["127.0.0.1:9053", "[::1]:9053"].into_iter().flat_map(|to| (0..10).map(move |_| client(to))).collect();
    let all = || -> Vec<u32> {
        let asked: Vec<_> = clients.iter().map(send_at_once).collect();
        let who = |(client, parts): (&UdpSocket, &Vec<Vec<u8>>)| {
            let answers: Vec<(u32, Vec<u8>)> = parts.iter().map(|_| answer(client)).collect();
            let expected =
                parts.iter().map(|part| (answers[0].0, [&together, part].map(|part| part.as_slice()).concat()));
            assert!(answers.iter().cloned().eq(expected), "{answers:?}");
            answers[0].0
        };
        clients.iter().zip(&asked).map(who).collect()
    };
    let homes = all();
    assert_eq!((all(), homes.iter().collect::<BTreeSet<_>>().len()), (homes.clone(), 3));
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    assert_eq!((all(), fallbacks(&fleet)), (homes, 0));
}

/// What is larger than the path takes comes in fragments, which say nothing of ports but in the first.
#[test]
fn datagrams_that_come_in_fragments_keep_their_worker() {
    let stage = Stage::new();
    let smaller = Command::new("ip").args(["link", "set", "lo", "mtu", "1500"]).status().expect("ip");
    assert!(smaller.success());
    let fleet = start(&stage, &[], &["127.0.0.1:9053", "[::1]:9053"]);
    let asked = vec![b'x'; 8_000];
    for to in ["127.0.0.1:9053", "[::1]:9053"] {
        for client in (0..20).map(|_| client(to)) {
            let homes = [(); 3].map(|()| {
                client.send(&asked).expect("a datagram");
                let mut answer = vec![0; 2 * asked.len()];
                let length = client.recv(&mut answer).expect("an answer");
                let (head, said) = answer[..length].split_at(length - asked.len());
                assert_eq!(said, asked);
                head.to_vec()
            });
            assert!(homes.iter().all(|home| *home == homes[0]), "{to}: {homes:?}");
        }
    }
    assert_eq!(fallbacks(&fleet), 0);
}
