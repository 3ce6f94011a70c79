//! A storm: workers are killed and stopped, the fleet is reloaded, scaled, drained, its master killed and taken over, at random
//! and under load. At the end every connection is accounted for, the books are at zero, and nothing is left.
//!
//! It lasts a minute, or `LLB_STORM_SECONDS`. `LLB_STORM_SEED` replays the blows of a run that failed; what the machine makes
//! of them is its own.

mod harness;

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::Duration,
};

use harness::{
    DEADLINE, Fleet, Stage,
    balance::assert_balanced,
    holds_within,
    steady::{Seen, Steady, steady},
    stopped::Stopped,
    until,
};
use llb::{internals::clock, observe::status::Status};
use llb_kit::random::Random;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";
const SLOTS_MAX: u64 = 6;

/// The times of a worker that is stopped, and of peace between two blows, ms at the most.
const STOPPED_MS: u64 = 700;
const PEACE_MS: u64 = 250;

const LOAD: Steady<'_> =
    Steady { address: ADDRESS, rate: 300, threads: 12, keepers: 8, think: Duration::from_millis(25) };

/// What of a thousand connections that came to the selector may be packets of connections that are gone: of those that died
/// with their worker.
const STRAY_PERMILLE: u64 = 20;

/// And what of a thousand may have passed the selector by: where all workers have been killed at once, the next one that listens
/// is alone until it has joined, and nobody chooses.
const ALONE_PERMILLE: u64 = 5;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

#[test]
fn a_storm_loses_nothing_but_what_killed_workers_had_begun() {
    let seed = number("LLB_STORM_SEED", clock::now().0);
    let lasts = Duration::from_secs(number("LLB_STORM_SECONDS", 60));
    // Shown if the test fails.
    println!("LLB_STORM_SEED={seed}");
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let mut storm = Storm {
        random: Random::stream(seed, 0),
        command: vec![server, "127.0.0.1".into(), "8080".into()],
        lost: 0,
        blows: BTreeMap::new(),
    };
    let command: Vec<&str> = storm.command.iter().map(String::as_str).collect();
    let mut fleet = stage.start(&args(), &command);
    let (seen, ()) = steady(LOAD, |_| {
        let until = clock::now().after(lasts);
        while clock::now() < until {
            storm.strike(&mut fleet);
            thread::sleep(Duration::from_millis(storm.random.below(PEACE_MS)));
        }
    });
    report(&storm, &seen);

    let broken: u64 = seen.errors().values().sum();
    assert!(broken <= storm.lost, "{broken} broke, and the killed held {}: {:?}", storm.lost, seen.errors());
    let status = fleet.status();
    let made = seen.made.load(Relaxed);
    let (least, most) = (made - made * ALONE_PERMILLE / 1000, made + made * STRAY_PERMILLE / 1000);
    assert!((least..=most).contains(&status.connections), "{made} were made, {} counted", status.connections);
    until("every slot serves", || serves(&fleet.status()));
    assert_balanced(&fleet, ADDRESS);
    assert_eq!(fleet.stop().code, Some(0));
}

fn args() -> Vec<&'static str> {
    vec!["-n", "4", "--drain-timeout", "1s", "--respawn", "1ms", "--backoff", "50ms"]
}

/// Whether every slot has a worker that serves, and nobody is left over.
fn serves(status: &Status) -> bool {
    let serving = status.workers.iter().filter(|worker| worker.state == "serving").count();
    serving == status.slots.len() && status.workers.len() == serving
}

struct Storm {
    random: Random,
    command: Vec<String>,
    /// Connections that workers held when they were killed: accepted, or waiting, which others answer.
    lost: u64,
    blows: BTreeMap<&'static str, u64>,
}

impl Storm {
    fn strike(&mut self, fleet: &mut Fleet) {
        let blow = match self.random.below(12) {
            0..3 => self.kill_worker(fleet),
            3..6 => self.stop_worker(fleet),
            6 => self.reload(fleet, &[]),
            7 => self.reload(fleet, &["--rolling"]),
            8 => self.reload_and_kill(fleet),
            9 => self.scale(fleet),
            10 => self.drain(fleet),
            _ => self.kill_master(fleet),
        };
        *self.blows.entry(blow).or_default() += 1;
    }

    /// A worker that serves, if any does just now.
    fn victim(&mut self, fleet: &Fleet) -> Option<Pid> {
        let status = fleet.status();
        let serving: Vec<_> = status.workers.iter().filter(|worker| worker.state == "serving").collect();
        let picked = serving.get(self.random.below(serving.len().max(1) as u64) as usize)?;
        Some(Pid::from_raw(picked.pid.cast_signed()))
    }

    /// Stopped first, so that what it holds can be counted.
    fn kill_worker(&mut self, fleet: &Fleet) -> &'static str {
        if let Some(victim) = self.victim(fleet) {
            let stopped = Stopped::stop(victim);
            let workers = fleet.status().workers;
            let held = workers.iter().find(|worker| worker.pid == victim.as_raw().cast_unsigned());
            self.lost += held.map_or(0, |worker| worker.open.unwrap_or(0));
            kill(victim, Signal::SIGKILL).expect("a worker");
            drop(stopped);
        }
        "kill"
    }

    fn stop_worker(&mut self, fleet: &Fleet) -> &'static str {
        if let Some(victim) = self.victim(fleet) {
            let stopped = Stopped::stop(victim);
            thread::sleep(Duration::from_millis(self.random.below(STOPPED_MS)));
            drop(stopped);
        }
        "stop"
    }

    fn reload(&mut self, fleet: &Fleet, args: &[&str]) -> &'static str {
        assert_code(fleet.command("reload").args(args), &[0]);
        if args.is_empty() { "reload" } else { "rolling reload" }
    }

    /// The one that is killed may be a new one: once it is ready that does not end the reload.
    fn reload_and_kill(&mut self, fleet: &Fleet) -> &'static str {
        let mut reload = quietly(fleet.command("reload").stdin(Stdio::null())).spawn().expect("llb");
        self.kill_worker(fleet);
        let ended = reload.wait().expect("a child");
        assert!(ended.success(), "llb reload: {ended}");
        "reload and kill"
    }

    fn scale(&mut self, fleet: &Fleet) -> &'static str {
        let workers = (2 + self.random.below(SLOTS_MAX - 1)).to_string();
        assert_code(fleet.command("scale").arg(workers), &[0]);
        "scale"
    }

    /// And filled again. It is refused where no other slot serves just now.
    fn drain(&mut self, fleet: &Fleet) -> &'static str {
        let slot = self.random.below(2).to_string();
        assert_code(fleet.command("drain").arg(&slot), &[0, 7]);
        assert_code(fleet.command("restart").arg(&slot), &[0]);
        "drain"
    }

    fn kill_master(&mut self, fleet: &mut Fleet) -> &'static str {
        fleet.kill_master();
        thread::sleep(Duration::from_millis(self.random.below(PEACE_MS)));
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        fleet.take_over(&args(), &command);
        "kill the master"
    }
}

/// Runs a command to its end, which comes, and comes with one of these codes.
#[track_caller]
fn assert_code(command: &mut Command, codes: &[i32]) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the llb binary");
    let mut ended = None;
    let in_time = holds_within(DEADLINE, || {
        ended = child.try_wait().expect("a child");
        ended.is_some()
    });
    if !in_time {
        // A failing test leaves nobody behind.
        let _ = child.kill();
        let _ = child.wait();
    }
    let code = ended.and_then(|ended| ended.code());
    assert!(code.is_some_and(|code| codes.contains(&code)), "{command:?}: {ended:?}");
}

fn quietly(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
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
