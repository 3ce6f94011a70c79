//! What a program that is not llb's own does by way of the library alone: it runs a fleet (`examples/fleet.rs`), and asks and
//! tells it; or it steers by hand.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::harness::{
    DEADLINE, Plain, Stage, example::built, fleet::LLB, get, identity::is_gone, output, stage::fixture, until,
};
use llb::{
    Fleet, FleetBuilder,
    balancer::{Policy, Tracking},
    control::{Client, ControlError, Reload},
    internals::{fleet_path, socket},
    kernel::{Member, Options, Outcome as Counted, Stage as Counting, Steering},
    model::{Address, Seat, Slot, WorkerId},
    now,
    registry::{Registry, Socket as Seated, State},
    updater::Updater,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

const ADDRESS: &str = "127.0.0.1:8080";

/// Where a fleet of the example is, and its file.
fn fleet_file(stage: &Stage, word: &str, more: &str) -> (String, PathBuf, PathBuf) {
    let (name, runtime_dir) = (format!("embedded-{word}-{}", std::process::id()), stage.path().join("run"));
    let text = format!(
        "name = {name:?}\nruntime-dir = {runtime_dir:?}\nworkers = 2\nport = [8080]\n{more}\
         command = [\"python3\", {:?}, \"127.0.0.1\", \"8080\"]\n",
        fixture("asyncio_server.py")
    );
    let file = stage.write("llb.toml", &text);
    (name, runtime_dir, file)
}

#[test]
fn workers_end_with_another_program_too_if_that_is_asked_for() {
    let stage = Stage::new();
    let (name, runtime_dir, file) = fleet_file(&stage, "ends", "on-master-exit = \"stop\"\n");
    let mut program = Command::new(built("fleet"));
    let mut program = Plain::spawn(program.arg(&file).arg(LLB).stdin(Stdio::null()).stdout(Stdio::null()));
    let fleet = Client::new(&runtime_dir, &name);
    let mut workers = Vec::new();
    until("it serves", || {
        workers = fleet.status().map_or_else(|_| Vec::new(), |status| status.workers);
        workers.len() == 2 && workers.iter().all(|worker| worker.state == "serving")
    });
    kill(program.pid(), Signal::SIGKILL).expect("the program");
    let cgroup = fleet_path(&name.parse().expect("a name")).expect("a cgroup");
    until("its workers are gone, and their cgroup", || {
        workers.iter().all(|worker| is_gone(Pid::from_raw(worker.pid.cast_signed()))) && !cgroup.exists()
    });
    assert!(!program.wait(DEADLINE).success());
}

#[test]
fn a_fleet_runs_in_another_program_and_is_asked_by_the_library() {
    let stage = Stage::new();
    let (name, runtime_dir, file) = fleet_file(&stage, "asked", "");
    let mut program = Command::new(built("fleet"));
    program.arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Plain::spawn(&mut program);
    let mut input = program.take_stdin();
    let said = output::Output::of(program.take_stdout());
    until("it serves", || said.text().contains(&format!("serving {ADDRESS}")));

    let fleet = Client::new(&runtime_dir, &name);
    let status = fleet.status().expect("an answer");
    assert_eq!((status.workers.len(), status.pid), (2, program.pid().as_raw().cast_unsigned()));
    assert!(get(ADDRESS, "/").slot() < 2);
    input.write_all(b"one\n").expect("a program that reads");
    until("one worker is left", || fleet.status().expect("an answer").workers.len() == 1);
    until("it has said so", || said.text().contains("scaled None"));
    let events = fleet.events(false).expect("an answer");
    assert!(events.map(|told| format!("{:?}", told.expect("an event"))).any(|event| event.contains("scaled")));

    fleet.stop().expect("it ends in order");
    assert!(program.wait(DEADLINE).success(), "{}", said.text());
    assert!(matches!(fleet.status(), Err(ControlError::NotRunning { .. })));
    assert!(!fleet_path(&name.parse().expect("a name")).expect("a cgroup").exists());
}

/// A fleet in this process, in a thread of its own.
fn builder(stage: &Stage, word: &str, command: &[&str]) -> FleetBuilder {
    let name = format!("embedded-{word}-{}", std::process::id());
    let builder = Fleet::builder(command[0], &command[1..]).workers(2).name(&name);
    builder.option("runtime-dir", stage.path().join("run"))
}

#[test]
fn a_fleet_has_a_thread_of_its_own_and_ends_with_its_handle() {
    let stage = Stage::new();
    let server = fixture("asyncio_server.py");
    let builder = builder(&stage, "thread", &["python3", &server, "127.0.0.1", "8080"]);
    let fleet = builder.clone().spawn().expect("it serves");
    assert_eq!((fleet.up().serving, fleet.up().addresses.len()), (2, 1));
    assert!(get(ADDRESS, "/").slot() < 2);
    // Any thread may have it.
    let generation = std::thread::spawn(move || {
        let generation = fleet.control().reload(Reload::rolling(1)).expect("a reload");
        fleet.control().scale(1).expect("one worker less");
        assert_eq!(get(ADDRESS, "/").slot(), 0);
        fleet.stop().expect("it ends in order");
        generation
    });
    assert_eq!(generation.join().expect("no panic"), 2);
    assert!(TcpStream::connect(ADDRESS).is_err(), "nothing is left of it");

    let fleet = builder.clone().spawn().expect("its name is free again");
    let taken = builder.spawn().expect_err("its name is taken").to_string();
    assert!(taken.contains("runs already"), "{taken}");
    drop(fleet);
    assert!(TcpStream::connect(ADDRESS).is_err(), "nothing is left of it");
}

#[test]
fn a_fleet_that_cannot_come_up_says_why() {
    let stage = Stage::new();
    let failed = builder(&stage, "fails", &["sh", "-c", "echo no such table >&2; exit 3"]).spawn();
    let error = failed.expect_err("it exits").to_string();
    assert!(error.contains("exited with code 3") && error.ends_with("its last lines:\n  | no such table"), "{error}");
}

fn shared() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.bind(&ADDRESS.parse::<SocketAddr>().expect("an address").into()).expect("a free port");
    socket.listen(64).expect("a listener");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket.into()
}

#[test]
fn the_kernel_is_steered_by_hand() {
    let _stage = Stage::new();
    let listeners = [shared(), shared()];
    let address = Address(ADDRESS.parse().expect("an address"));
    let options = Options { cgroup_level: None, limits: Vec::new(), keeps_books: false, sticky: None };
    let steering = Steering::load(&options).expect("root's rights");
    let mut updater = Updater::new(steering, Policy::RoundRobin, Tracking::Reports);
    let mut registry = Registry::default();
    let cookies = listeners.each_ref().map(|listener| socket::cookie(listener).expect("a socket"));
    for (number, cookie) in (0..).zip(cookies) {
        let (worker, seat) = (WorkerId(number.into()), Seat(number));
        registry.hold(seat, worker, Slot(number));
        registry.enter(Seated { cookie, address, udp: false, worker, seat: Some(seat), state: State::Joined });
    }
    let copy = |wanted: &Seated| {
        let of = cookies.iter().position(|cookie| *cookie == wanted.cookie).expect("one of the two");
        Ok(listeners[of].try_clone()?.into())
    };
    let came = |updater: &mut Updater| {
        updater.update(now());
        let _clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(ADDRESS).expect("an answer")).collect();
        listeners.each_ref().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count())
    };
    assert_eq!(updater.reconcile(&registry, copy, now()).entered.len(), 2);
    assert_eq!(came(&mut updater), [10, 10]);

    registry.withdraw(cookies[0]);
    updater.reconcile(&registry, copy, now());
    assert_eq!(updater.steering().members(address), [Member { seat: Seat(1), cookie: cookies[1] }]);
    assert_eq!(came(&mut updater), [0, 20]);
    until("what was chosen is forgotten", || updater.is_drained(Seat(0), now()));
    registry.remove(cookies[0]);
    updater.reconcile(&registry, copy, now());
    let later = now().after(Duration::from_secs(5));
    assert!(updater.is_due(later), "a listener that is gone is forgotten after a while");
    assert_eq!(updater.reconcile(&registry, copy, later).forgotten, [cookies[0]]);
    let counters = updater.steering().counters().expect("a map");
    assert_eq!((counters.total(Counting::Select), counters.get(Counted::First)), (40, 40));
}
