//! Listeners end while handshakes are under way to them: at a hand-over from the line, in a rescue, in a reload, and when a
//! standby listener gives up who waits there. Whichever instant is hit, no client is reset.
//!
//! `LLB_HAND_OVERS` and `LLB_RESCUES` say how many of each are to be made.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::harness::{
    Client, Far, Fleet, Stage, far::NEAR, holds_within, stage::fixture, stopped::Stopped, try_get, until,
};
use llb::internals::{clock, socket};
use nix::unistd::Pid;
use socket2::{Domain, SockRef, Socket, Type};

const ADDRESS: &str = "0.0.0.0:8080";

/// How long a packet is on its way: far longer than the moment that is looked for, so that a handshake may be anywhere.
const DELAY: Duration = Duration::from_millis(2);

/// And longer than a connection may take to be accepted.
const FAR_AWAY: Duration = Duration::from_millis(30);

/// Who asks at once, from afar.
const CLIENTS: usize = 32;

/// Connections to a port at which a listener ends so often.
const ASKED: u64 = 20_000;
const BETWEEN_ENDS: Duration = Duration::from_micros(500);

/// As long as that goes on at most, until some connections had to move.
const ENOUGH_WITHIN: Duration = Duration::from_secs(60);

/// How long a worker stands still at most, if nobody waits for it.
const STILL: Duration = Duration::from_millis(300);

/// Reloads under load.
const RELOADS: usize = 5;

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |number| number.parse().expect("a number"))
}

/// What became of the clients' connections.
#[derive(Debug, Default)]
struct Tally {
    answered: AtomicU64,
    failed: AtomicU64,
    ends: AtomicBool,
}

impl Tally {
    /// Clients that connect anew for each request, until the end.
    fn ask(self: &Arc<Self>) -> impl FnOnce() + Send + 'static {
        let tally = self.clone();
        move || {
            let address = format!("{NEAR}:8080");
            thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    scope.spawn(|| {
                        while !tally.ends.load(Relaxed) {
                            tally.count(&address);
                        }
                    });
                }
            });
        }
    }

    fn count(&self, address: &str) {
        match try_get(address, "/") {
            Ok(_) => self.answered.fetch_add(1, Relaxed),
            Err(error) => {
                eprintln!("after {} answers: {error}", self.answered.load(Relaxed));
                self.failed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// Does something to a fleet of serial workers while distant clients ask it; how many were answered; none failed.
#[track_caller]
fn under_load(args: &[&str], work_ms: &str, act: impl FnOnce(&Fleet)) -> u64 {
    let stage = Stage::new();
    let far = Far::distant(DELAY);
    let server = stage.faulty_server();
    let fleet = stage.start(&[&["-n", "4"], args].concat(), &[&server, "0.0.0.0", "8080", work_ms]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    let tally = Arc::new(Tally::default());
    thread::scope(|scope| {
        let load = scope.spawn(|| far.run(tally.ask()));
        // Whatever becomes of it the clients must end.
        let acted = catch_unwind(AssertUnwindSafe(|| act(&fleet)));
        tally.ends.store(true, Relaxed);
        load.join().expect("a load");
        acted.unwrap_or_else(|panic| resume_unwind(panic));
    });
    fleet.wait_until_quiet();
    assert_eq!(tally.failed.load(Relaxed), 0, "{tally:?}");
    tally.answered.load(Relaxed)
}

#[test]
fn hand_overs_to_distant_clients_reset_nobody() {
    let hand_overs = number("LLB_HAND_OVERS", 1_000);
    let handed_over = |fleet: &Fleet| fleet.status().line.map_or(0, |line| line.handed_over);
    let mut made = 0;
    let answered = under_load(&["--concurrency", "1"], "2", |fleet| {
        while made < hand_overs {
            let before = made;
            until("more are handed over", || {
                made = handed_over(fleet);
                made > before
            });
        }
    });
    eprintln!("{made} hand-overs, {answered} answers, 0 failed");
}

/// Every now and then a worker stands still, and those who wait for it are given to others.
#[test]
fn rescues_of_distant_clients_reset_nobody() {
    let rescues = number("LLB_RESCUES", 30);
    let mut moved = 0;
    // In line they would wait at llb and not at a worker.
    let answered = under_load(&["--concurrency", "off"], "2", |fleet| {
        let rescued = |slot: u32| fleet.worker(slot).rescued.unwrap_or(0);
        for turn in 0..rescues {
            let slot = u32::try_from(turn % 4).expect("four");
            let before = rescued(slot);
            // Where nobody waits nothing is moved: it is stopped anew.
            while rescued(slot) == before {
                let stopped = Stopped::stop(Pid::from_raw(fleet.worker(slot).pid.cast_signed()));
                let _ = holds_within(STILL, || rescued(slot) > before);
                drop(stopped);
            }
            moved += rescued(slot) - before;
        }
    });
    eprintln!("{rescues} rescues moved {moved} connections; {answered} answers, 0 failed");
}

#[test]
fn reloads_under_distant_clients_reset_nobody() {
    let answered = under_load(&[], "2", |fleet| {
        for _ in 0..RELOADS {
            let reloaded = fleet.command("reload").output().expect("the llb binary");
            assert!(reloaded.status.success(), "{reloaded:?}");
        }
    });
    eprintln!("{RELOADS} reloads, {answered} answers, 0 failed");
}

/// Their connections come to the accept queue long after the choice.
#[test]
fn who_waits_at_a_stopped_greeter_from_afar_moves() {
    let stage = Stage::new();
    let far = Far::distant(FAR_AWAY);
    let fleet = stage.start(&["-n", "2"], &["python3", &fixture("greeting.py"), "0.0.0.0", "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 2);
    let _stopped = Stopped::stop(Pid::from_raw(fleet.worker(1).pid.cast_signed()));
    // One after the other, so that none is found with the help of the next.
    let greet = |_| Client::connect(&format!("{NEAR}:8080")).line().expect("a greeting");
    let greetings = far.run(move || (0..6).map(greet).collect::<Vec<String>>());
    assert_eq!(greetings, ["220 0"; 6]);
}

/// The kernel resets a handshake that ends at the moment in which a worker closes the listener itself, and llb cannot help it: this
/// says how many.
#[test]
fn workers_that_close_listeners_reset_few() {
    let stage = Stage::new();
    let server = fixture("reopening.py");
    // In line they would wait at llb and not at a worker.
    let fleet = stage.start(&["-n", "4", "--concurrency", "off"], &["python3", &server, "127.0.0.1", "8080"]);
    let (wanted, asked, reset) = (number("LLB_CONNECTIONS", 20_000), AtomicU64::new(0), AtomicU64::new(0));
    let address = "127.0.0.1:8080".parse().expect("an address");
    let moved = || fleet.status().selector["migrated"];
    let (are_enough, until_then) = (AtomicBool::new(false), clock::now().after(2 * ENOUGH_WITHIN));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !are_enough.load(Relaxed) && clock::now() < until_then {
                    asked.fetch_add(1, Relaxed);
                    if exchange(address).is_err() {
                        reset.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        // A quick machine's listeners end with nobody in them, mostly.
        let _ = holds_within(ENOUGH_WITHIN, || asked.load(Relaxed) >= wanted && moved() > 10);
        are_enough.store(true, Relaxed);
    });
    let (moved, asked) = (moved(), asked.into_inner());
    eprintln!("{asked} connections, {moved} moved, {reset:?} reset");
    assert!(asked >= wanted && moved > 10, "{moved} of {asked}");
    assert!(reset.into_inner() <= asked / 1_000);
}

/// Two listeners share a port, and one of them, at which nobody accepts, ends all the time. Without what `relisten` does first
/// one connection in some hundred is reset here.
#[test]
fn a_listener_that_ends_resets_no_handshake() {
    let _stage = Stage::new();
    // The kernel moves what waits in a listener that ends, also without a selector.
    fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1").expect("a namespace of our own");
    let serving = listener("127.0.0.1:0".parse().expect("an address"));
    let address = serving.local_addr().expect("an address");
    let ending = listener(address);
    let (asked, reset, clients) = (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(CLIENTS));
    let mut ends = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok((mut client, _)) = serving.accept() {
                // One that has been reset is counted by its client.
                let _ = client.write_all(b"x");
            }
        });
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while asked.fetch_add(1, Relaxed) < ASKED {
                    if exchange(address).is_err() {
                        reset.fetch_add(1, Relaxed);
                    }
                }
                clients.fetch_sub(1, Relaxed);
            });
        }
        while clients.load(Relaxed) > 0 {
            thread::sleep(BETWEEN_ENDS);
            if socket::accept_queue(&ending).expect("a listener").length > 0 {
                socket::relisten(&ending).expect("a listener");
                ends += 1;
            }
        }
        SockRef::from(&serving).shutdown(Shutdown::Both).expect("a listener");
    });
    eprintln!("{ASKED} connections, {ends} ends, {reset:?} reset");
    assert!(ends > 100, "{ends}");
    assert_eq!(reset.into_inner(), 0);
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    socket.bind(&address.into()).expect("a port");
    socket.listen(1_024).expect("a listener");
    socket.into()
}

/// One connection: a byte there, and one back.
fn exchange(address: SocketAddr) -> io::Result<()> {
    let mut client = TcpStream::connect(address)?;
    client.write_all(b"x")?;
    client.read_exact(&mut [0])
}
