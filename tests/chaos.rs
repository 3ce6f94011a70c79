//! Everything that can become of a connection, in any order and at once, while workers stop and die: when all is over
//! the books are at zero, and every connection has been counted once.
//!
//! `LLB_CHAOS_SEED` replays the clients and the blows of a run that failed; what the machine makes of them is its own.

use std::{
    env, io,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::harness::{
    Client, Fleet, Stage, balance::assert_balanced, books::count, http::reset, stage::fixture, until,
};
use llb::internals::clock;
use llb_common::outcome::{Outcome, Stage as Counted};
use llb_kit::{random::Random, stop::StopOnDrop};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SLOTS: u32 = 5;
const CLIENTS: u64 = 12;

/// Workers that are stopped, and of how many each is the one that is killed then.
const STOPS: u32 = 9;
const KILL_EVERY: u32 = 3;

/// How long a worker stays stopped, and how long it is left in peace between two blows, ms at the most.
const STOPPED_MS: u64 = 150;
const PEACE_MS: u64 = 150;

const LISTENING: [&str; 6] =
    ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "[::1]:8080", "[::1]:8081", "[::1]:8082"];

#[test]
fn the_books_balance_whatever_happens() {
    chaos(&[]);
}

/// The other way to choose goes by counts alone: wrong ones would do it more harm.
#[test]
fn the_books_balance_whatever_happens_by_counts_alone() {
    chaos(&["--policy", "least-inflight"]);
}

#[track_caller]
fn chaos(args: &[&str]) {
    let seed =
        env::var("LLB_CHAOS_SEED").map_or(clock::now().0, |seed| seed.parse().expect("LLB_CHAOS_SEED: a number"));
    // Shown if the test fails.
    println!("LLB_CHAOS_SEED={seed}");
    let stage = Stage::new();
    // A worker that is killed is started again at once.
    let slots = SLOTS.to_string();
    let args = [&["-n", &slots, "--respawn", "1ms", "--backoff", "50ms"], args].concat();
    let fleet = stage.start(&args, &["python3", &fixture("kinds.py"), "8080"]);
    fleet.wait_for_groups(&LISTENING, SLOTS);

    let world = World::default();
    let dead = thread::scope(|scope| {
        for client in 1..=CLIENTS {
            let world = &world;
            scope.spawn(move || Conversation { random: Random::stream(seed, client), world }.hold_many());
        }
        // Also if it fails, or the clients would never end.
        let _over = StopOnDrop(&world.over);
        strike(&fleet, &world, &mut Random::stream(seed, 0))
    });

    let status = fleet.status();
    let made = world.made.load(Relaxed);
    let of_stage = |stage: Counted| -> u64 {
        Outcome::ALL.iter().filter(|outcome| outcome.stage() == stage).map(|outcome| count(&status, *outcome)).sum()
    };
    eprintln!(
        "{made} connections, {} broken; {} migrated, {} of them by the hash; the dead: {dead:?}; {:?}",
        world.broken.load(Relaxed),
        of_stage(Counted::Migrate),
        count(&status, Outcome::MigratedByHash),
        status.selector,
    );
    assert!(
        status.workers.iter().all(|worker| worker.chosen <= made && worker.open <= Some(made)),
        "wrapped: {status:#?}"
    );
    assert_eq!(status.connections, of_stage(Counted::Select), "{status:#?}");
    // A packet of a connection that its worker has reset meanwhile comes to the selector as if it were a new one.
    assert!((made..made + made / 100).contains(&status.connections), "{made} were made: {status:#?}");
    let chosen =
        status.workers.iter().map(|worker| worker.chosen).sum::<u64>() + dead.iter().map(|d| d.chosen).sum::<u64>();
    let placed: u64 = Outcome::ALL.iter().filter(|outcome| outcome.is_chosen()).map(|o| count(&status, *o)).sum();
    assert_eq!(chosen, placed, "{dead:?} {status:#?}");
    // A killed worker takes along what it has accepted; everything else is answered.
    let lost: u64 = dead.iter().map(|dead| dead.open).sum();
    let broken = world.broken.load(Relaxed);
    assert!(broken <= lost, "{broken} connections broke, where the dead held {lost}");
    assert_balanced(&fleet, LISTENING[0]);
    assert_balanced(&fleet, LISTENING[3]);
}

/// What all clients share.
#[derive(Default)]
struct World {
    /// Held for reading by whoever connects, and for writing by whoever wants that nobody does.
    gate: RwLock<()>,
    made: AtomicU64,
    /// Connections that ended without an answer although nothing in the conversation says so.
    broken: AtomicU64,
    over: AtomicBool,
}

/// A worker when it was killed.
#[derive(Debug)]
struct Dead {
    chosen: u64,
    open: u64,
}

/// Stops and kills workers at random; while one is killed nobody connects, so that what it was given is known.
#[track_caller]
fn strike(fleet: &Fleet, world: &World, random: &mut Random) -> Vec<Dead> {
    let mut dead = Vec::new();
    for turn in 1..=STOPS {
        pass(Duration::from_millis(random.below(PEACE_MS)));
        // Without any listener connections would be refused, and a group that begins anew has no selector at first.
        fleet.wait_for_groups(&LISTENING, SLOTS);
        let victim = fleet.worker(random.below(u64::from(SLOTS)) as u32);
        let pid = Pid::from_raw(victim.pid.cast_signed());
        kill(pid, Signal::SIGSTOP).expect("a worker");
        pass(Duration::from_millis(random.below(STOPPED_MS)));
        if turn % KILL_EVERY == 0 {
            let _nobody_connects = world.gate.write().expect("nobody panics in the gate");
            let status = fleet.status();
            let last = status.workers.iter().find(|worker| worker.pid == victim.pid).expect("a stopped worker");
            dead.push(Dead { chosen: last.chosen, open: last.open.expect("what the kernel counts") });
            kill(pid, Signal::SIGKILL).expect("a worker");
            until("it is dead", || fleet.status().workers.iter().all(|worker| worker.pid != victim.pid));
        } else {
            kill(pid, Signal::SIGCONT).expect("a worker");
        }
    }
    fleet.wait_for_groups(&LISTENING, SLOTS);
    dead
}

/// One client.
struct Conversation<'a> {
    random: Random,
    world: &'a World,
}

impl Conversation<'_> {
    fn hold_many(mut self) {
        while !self.world.over.load(Relaxed) {
            if self.hold().is_err() {
                self.world.broken.fetch_add(1, Relaxed);
            }
        }
    }

    /// One connection. An error is an end that it did not ask for.
    fn hold(&mut self) -> io::Result<()> {
        let kind = self.random.below(14);
        let port = match kind {
            0 => 8081,
            1 => 8082,
            _ => 8080,
        };
        let mut client = self.connect(port)?;
        match kind {
            0 => {
                client.line()?;
                for _ in 0..self.random.below(3) {
                    client.try_write("a line\n")?;
                    client.line()?;
                }
            }
            1 => drop(client.is_closed()),
            // It never sends.
            2 => self.pass(),
            // It shuts down its side, with or without a request.
            3 => {
                let asks = self.random.below(2) == 1;
                if asks {
                    client.try_write(&self.request("GET", ""))?;
                }
                client.shut_down_sending();
                if asks {
                    client.try_receive()?;
                }
                client.await_close();
            }
            // It resets, before the first byte, in a request, in an upload, or after an answer.
            4 => reset(client),
            5 => {
                client.try_write(&self.request("GET", ""))?;
                self.pass();
                reset(client);
            }
            6 => {
                client.try_write("POST /upload HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")?;
                self.pass();
                // Its worker may have died meanwhile, and it has been told to break off in any case.
                let _ = client.try_write(&"x".repeat(50_000));
                reset(client);
            }
            7 => {
                client.try_write("GET / HTTP/1.1\r\n\r\n")?;
                client.try_receive()?;
                reset(client);
            }
            // Its worker gives no answer.
            8 => {
                let path = if self.random.below(2) == 1 { "close" } else { "reset" };
                client.try_write(&format!("GET /{path} HTTP/1.1\r\n\r\n"))?;
                let _ = client.try_receive();
            }
            9 => {
                client.try_write("POST /upload HTTP/1.1\r\nContent-Length: 300000\r\n\r\n")?;
                for _ in 0..3 {
                    client.try_write(&"x".repeat(100_000))?;
                    self.pass();
                }
                client.try_receive()?;
            }
            10 => {
                let path = if self.random.below(2) == 1 { "early" } else { "last-early" };
                client.try_write(&format!("POST /{path} HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf."))?;
                client.try_receive()?;
                if self.random.below(2) == 1 {
                    client.try_write("half.")?;
                    self.pass();
                }
            }
            11 => {
                let pipelined = 2 + self.random.below(3) as usize;
                let requests: String = (0..pipelined).map(|_| self.request("GET", "")).collect();
                client.try_write(&requests)?;
                for _ in 0..pipelined {
                    client.try_receive()?;
                }
            }
            12 => {
                for _ in 0..1 + self.random.below(4) {
                    client.try_write(&self.request("GET", ""))?;
                    client.try_receive()?;
                    self.pass();
                }
            }
            _ => {
                client.try_write(&self.request("GET", "Connection: close\r\n"))?;
                client.try_receive()?;
                client.await_close();
            }
        }
        Ok(())
    }

    fn connect(&mut self, port: u16) -> io::Result<Client> {
        let address = if self.random.below(2) == 1 { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
        let _gate = self.world.gate.read().expect("nobody panics in the gate");
        let client = Client::try_connect(&address)?;
        self.world.made.fetch_add(1, Relaxed);
        Ok(client)
    }

    fn request(&mut self, method: &str, header: &str) -> String {
        let path = if self.random.below(3) == 0 { "/".into() } else { format!("/wait/{}", self.random.below(20)) };
        format!("{method} {path} HTTP/1.1\r\n{header}\r\n")
    }

    fn pass(&mut self) {
        pass(Duration::from_millis(self.random.below(20)));
    }
}

/// Lets time pass, which is part of what happens, and waits for nothing.
fn pass(time: Duration) {
    thread::sleep(time);
}
