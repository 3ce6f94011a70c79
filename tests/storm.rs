//! A storm: workers are killed and stopped, the fleet is reloaded, with a canary or without, scaled, drained, its master killed and
//! taken over, at random and under load. At the end every connection is accounted for, the books are at zero, and nothing is left.
//!
//! It lasts a minute, and one over TLS a third of that, or `LLB_STORM_SECONDS`. `LLB_STORM_SEED` replays the blows of a run that failed;
//! what the machine makes of them is its own.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use crate::harness::{
    Stage,
    balance::assert_balanced,
    blows::Storm,
    stage::fixture,
    steady::{Seen, Steady, steady, steady_at},
    until,
};
use llb::observe::status::Status;

const ADDRESS: &str = "127.0.0.1:8080";

const LOAD: Steady<'_> =
    Steady { address: ADDRESS, rate: 300, threads: 12, keepers: 8, think: Duration::from_millis(25) };

/// Clients who get an answer in a hundred parts, one each millisecond or later: within the drain time also where the worker is
/// stopped meanwhile, on a machine that has a bad minute.
const STREAMS: Steady<'_> = Steady { keepers: 3, threads: 0, ..LOAD };
const STREAM: &str = "/big/100";

/// What of a thousand connections that came to the selector may be packets of connections that are gone: of those that died
/// with their worker.
const STRAY_PERMILLE: u64 = 20;

/// And what of a thousand may have passed the selector by: where all workers have been killed at once, the next one that listens
/// is alone until it has joined, and nobody chooses.
const ALONE_PERMILLE: u64 = 5;

/// Workers are replaced after so many requests, each few seconds.
const ARGS: &str = "-n 4 --drain-timeout 3s --drain-idle 300ms --respawn 1ms --backoff 50ms --max-requests 300";

#[test]
fn a_storm_loses_nothing_but_what_killed_workers_had_begun() {
    let stage = Stage::new();
    // Those in odd slots catch SIGTERM.
    let command = [&stage.keepalive_server(), "127.0.0.1", "8080", "no-such-file", "odd"];
    let args: Vec<&str> = ARGS.split(' ').collect();
    let mut storm = Storm::new(&args, &command);
    let mut fleet = stage.start(&args, &command);
    let (seen, (streams, ())) = steady(LOAD, |_| steady_at(STREAMS, STREAM, |_| storm.rage(&mut fleet, 60)));
    let both = [&seen, &streams];
    both.into_iter().for_each(|seen| report(&storm, seen));

    let broken: u64 = both.iter().flat_map(|seen| seen.errors().into_values()).sum();
    assert!(broken <= storm.lost, "{broken} broke, and the killed held {}", storm.lost);
    let status = fleet.status();
    let recycled: u32 = status.slots.iter().filter_map(|slot| slot.restart_causes.get("recycled")).sum();
    eprintln!("{recycled} recycled in the slots that are left");
    let made: u64 = both.iter().map(|seen| seen.made.load(Relaxed)).sum();
    let (least, most) = (made - made * ALONE_PERMILLE / 1000, made + made * STRAY_PERMILLE / 1000);
    assert!((least..=most).contains(&status.connections), "{made} were made, {} counted", status.connections);
    until("every slot serves", || serves(&fleet.status()));
    assert_balanced(&fleet, ADDRESS);
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn a_storm_over_tls_loses_no_more() {
    let stage = Stage::new();
    stage.certify();
    let script = fixture("tls.py");
    let command = ["python3", &script, "8080", "blocking", "1.3", "2"];
    let args: Vec<&str> = ARGS.split(' ').collect();
    let mut storm = Storm::new(&args, &command);
    let mut fleet = stage.start(&args, &command);
    let said = stage.path().join("clients");
    let mut clients = Command::new("python3");
    clients.args([&fixture("tls_steady.py"), "8080", "6"]).stdin(Stdio::piped());
    let mut clients = clients.stdout(File::create(&said).expect("a file")).spawn().expect("python3");
    storm.rage(&mut fleet, 20);
    // The end of their input is theirs.
    drop(clients.stdin.take());
    assert!(clients.wait().expect("a child").success());

    let mut text = String::new();
    File::open(&said).and_then(|mut said| said.read_to_string(&mut text)).expect("a file");
    eprintln!("{:?}; {text}the killed held {}", storm.blows, storm.lost);
    let counts: Vec<u64> =
        text.lines().next().expect("counts").split(' ').map(|n| n.parse().expect("a number")).collect();
    let [answered, broken] = counts[..] else { panic!("{text}") };
    assert!(answered > 0 && broken <= storm.lost, "{broken} broke, and the killed held {}: {text}", storm.lost);
    until("every slot serves", || serves(&fleet.status()));
    fleet.wait_until_quiet();
    assert_eq!(fleet.stop().code, Some(0));
}

/// Whether every slot has a worker that serves, and nobody is left over.
fn serves(status: &Status) -> bool {
    let serving = status.workers.iter().filter(|worker| worker.state == "serving").count();
    serving == status.slots.len() && status.workers.len() == serving
}

fn report(storm: &Storm, seen: &Seen) {
    eprintln!(
        "{:?}; {} connections made, {} answered, {} requests on kept ones, {} crossed with a close; {} broke, where the killed \
         held {}: {:?}",
        storm.blows,
        seen.made.load(Relaxed),
        seen.answered.load(Relaxed),
        seen.kept.load(Relaxed),
        seen.crossed.load(Relaxed),
        seen.errors().values().sum::<u64>(),
        storm.lost,
        seen.errors(),
    );
}
