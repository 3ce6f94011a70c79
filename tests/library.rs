//! Library mode: a master of one's own, and the active workers that it names.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::harness::{Client, Stage, Tally, example::built, get, until};
use llb::{
    balancer::{Balancer, BalancerError, BalancerHandle, Settings},
    config::Tracking,
    internals::{FleetCgroup, socket},
    kernel::{Options, Steering},
    model::{Address, Generation, Seat, Slot, WorkerId},
    now,
    registry::{Registry, Socket as Seated, State},
    report::Report,
    updater::Updater,
};
use llb_common::policy::Policy;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

const ADDR: &str = "127.0.0.1:8080";

fn shared() -> TcpListener {
    let address: SocketAddr = ADDR.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(64).expect("a listener");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket.into()
}

/// Without the kernel's books nothing is attached to the cgroup that this test happens to be in.
fn settings(policy: Policy) -> Settings {
    Settings { policy, tracking: Tracking::Reports, cgroup: None }
}

/// How many of `count` connections came to each listener.
fn spread(listeners: &[&TcpListener], count: u32) -> Vec<u32> {
    let mut accepted = vec![0; listeners.len()];
    for _ in 0..count {
        let _client = Client::connect(ADDR);
        until("somebody has it", || {
            let taken = listeners.iter().position(|listener| listener.accept().is_ok());
            taken.inspect(|place| accepted[*place] += 1).is_some()
        });
    }
    accepted
}

#[test]
fn an_empty_slot_is_never_chosen_and_slots_may_come_and_go() {
    let _stage = Stage::new();
    let listeners = [shared(), shared(), shared()];
    let [zero, one, two] = &listeners;
    let all = [zero, one, two];
    let mut balancer = Balancer::load(settings(Policy::RoundRobin)).expect("root's rights");
    balancer.set_active(&[Some(zero), None, Some(two)], now()).unwrap();
    balancer.update(now());
    assert_eq!(spread(&all, 20), [10, 0, 10]);
    balancer.set_active(&[None, Some(one)], now()).unwrap();
    balancer.update(now());
    assert_eq!(spread(&all, 20), [0, 20, 0]);
    balancer.set_active(&[Some(zero), Some(one), Some(two)], now()).unwrap();
    balancer.update(now());
    assert_eq!(spread(&all, 30), [10, 10, 10]);
    let status = balancer.status().unwrap();
    assert_eq!((status.connections, status.slots.len()), (70, 3));
    balancer.set_active::<TcpListener>(&[], now()).unwrap();
    balancer.update(now());
    assert_eq!(spread(&all, 20).iter().sum::<u32>(), 20, "without anybody the kernel's hash chooses");
}

#[test]
fn reports_decide_and_what_is_not_reported_any_more_is_forgotten_with_its_worker() {
    let _stage = Stage::new();
    let (zero, one) = (shared(), shared());
    let slots = [Some(&zero), Some(&one)];
    let mut balancer = Balancer::load(settings(Policy::LeastLatency)).expect("root's rights");
    balancer.set_active(&slots, now()).unwrap();
    let reports = balancer.reports();
    for _ in 0..10 {
        reports.report(0, Duration::from_millis(20));
        reports.report(1, Duration::from_millis(1));
        reports.report(7, Duration::from_millis(1));
    }
    balancer.update(now());
    assert_eq!(balancer.status().unwrap().least_slot, Some(1));
    let mut spread = vec![0, 0];
    for _ in 0..10 {
        // Each choice is charged for a while, as nobody sees it answered.
        let charged_at = now();
        until("the charge is forgotten", || now().since(charged_at) > 50_000_000);
        balancer.update(now());
        let one_more = self::spread(&[&zero, &one], 1);
        (0..2).for_each(|slot| spread[slot] += one_more[slot]);
    }
    assert_eq!(spread, [0, 10]);
    balancer.leave(1, now()).unwrap();
    balancer.set_active(&slots, now()).unwrap();
    balancer.update(now());
    assert_eq!(balancer.status().unwrap().slots[1].cost_us, 0.0, "nothing is known of it");
}

#[test]
fn who_owes_an_answer_to_a_ping_is_passed_over() {
    let _stage = Stage::new();
    let (zero, one) = (shared(), shared());
    let mut balancer = Balancer::load(settings(Policy::LeastLatency)).expect("root's rights");
    let start = now();
    balancer.set_active(&[Some(&zero), Some(&one)], start).unwrap();
    for slot in [0, 1] {
        (0..10).for_each(|_| balancer.report(slot, Duration::from_millis(5), start));
    }
    let answer = |balancer: &mut Balancer, pings: &[(u32, u64)], of: &[u32], now| {
        for (slot, id) in pings.iter().filter(|(slot, _)| of.contains(slot)) {
            balancer.on_report(*slot, &Report::Pong { id: *id, lag_ns: 0 }, now);
        }
    };
    let pings = balancer.pings(start);
    assert_eq!(pings.iter().map(|(slot, _)| *slot).collect::<BTreeSet<_>>(), [0, 1].into());
    answer(&mut balancer, &pings, &[0, 1], start);
    let later = start.after(Duration::from_millis(200));
    let pings = balancer.pings(later);
    assert_eq!(pings.len(), 2, "both have answered, and are asked again");
    answer(&mut balancer, &pings, &[1], later);
    balancer.update(later.after(Duration::from_millis(500)));
    let status = balancer.status().unwrap();
    let costs: Vec<f64> = status.slots.iter().map(|slot| slot.cost_us).collect();
    assert!(costs[0] >= 500e3 && costs[1] < 10e3, "{costs:?}");
    assert_eq!(status.least_slot, Some(1));
}

#[test]
fn a_seat_that_could_not_be_taken_is_begun_anew_by_the_next() {
    let _stage = Stage::new();
    let options = Options { cgroup_level: None, limits: Vec::new(), keeps_books: false, sticky: None };
    let steering = Steering::load(&options).expect("root's rights");
    let mut updater = Updater::new(steering, Policy::LeastLatency, Tracking::Reports);
    let (worker, seat, address) = (WorkerId(0), Seat(0), Address(ADDR.parse().expect("an address")));
    let mut registry = Registry::default();
    registry.hold(seat, worker, Slot(0));
    let mut sits = |registry: &mut Registry, listener: OwnedFd| {
        let cookie = socket::cookie(&listener).expect("a socket");
        registry.enter(Seated { cookie, address, udp: false, worker, seat: Some(seat), state: State::Joined });
        let done = updater.reconcile(registry, |_| Ok(listener.try_clone()?), now());
        (cookie, done.entered.len(), done.failed.len(), updater.baseline(worker, seat).is_some())
    };
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let (cookie, entered, failed, has_begun) = sits(&mut registry, idle.into());
    assert_eq!((entered, failed, has_begun), (0, 1, false));
    registry.remove(cookie);
    let (_, entered, failed, has_begun) = sits(&mut registry, shared().into());
    assert_eq!((entered, failed, has_begun), (1, 0, true));
}

#[test]
fn a_member_that_is_dropped_leaves_its_slot() {
    let _stage = Stage::new();
    let (zero, one) = (shared(), shared());
    let balancer = BalancerHandle::spawn(settings(Policy::RoundRobin)).expect("root's rights");
    let first = balancer.join(0, &zero).unwrap();
    let second = balancer.join(1, &one).unwrap();
    assert!(matches!(balancer.join(1, &zero), Err(BalancerError::Taken { slot: 1 })));
    until("it is published", || balancer.status().unwrap().least_slot.is_some());
    assert_eq!(spread(&[&zero, &one], 20), [10, 10]);
    // Whoever has a member may drop it, on any thread.
    std::thread::spawn(move || drop(second)).join().unwrap();
    until("nobody is sent there", || spread(&[&zero, &one], 4) == [4, 0]);
    assert_eq!(spread(&[&zero, &one], 20), [20, 0]);
    let again = balancer.join(1, &one).unwrap();
    again.report(Duration::from_millis(1));
    until("it is chosen again", || spread(&[&zero, &one], 4) == [2, 2]);
    drop((first, again, balancer));
    assert_eq!(spread(&[&zero, &one], 20).iter().sum::<u32>(), 20, "the kernel's hash goes on");
}

#[test]
fn what_cannot_be_joined_is_named() {
    let _stage = Stage::new();
    let mut balancer = Balancer::load(settings(Policy::LeastLatency)).expect("root's rights");
    let lone = TcpListener::bind(ADDR).unwrap();
    let error = balancer.join(3, &lone).unwrap_err();
    assert!(matches!(error, BalancerError::NotShared { slot: 3, .. }), "{error}");
    assert!(error.to_string().contains("SO_REUSEPORT"), "{error}");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(balancer.join(0, &udp).is_err());
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert!(matches!(balancer.join(0, &idle).unwrap_err(), BalancerError::NotListening { .. }));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(balancer.join(0, &file).unwrap_err(), BalancerError::NoSocket { .. }));
}

/// The example, in a cgroup of its own: what it attaches is for its own connections.
struct Prefork {
    child: Child,
    _cgroup: FleetCgroup,
}

impl Prefork {
    fn start(workers: &str) -> Self {
        let name = format!("library-{}", std::process::id());
        let mut cgroup = FleetCgroup::create(&name.parse().expect("a name")).expect("a cgroup");
        let inner = cgroup.worker(Slot(0), Generation(1), llb::config::Resources::default()).expect("a cgroup");
        let script = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", inner.path().display());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(built("prefork")).args([ADDR, workers]).stdin(Stdio::null());
        let child = command.spawn().expect("sh");
        // The directory is removed with the fleet's.
        std::mem::forget(inner);
        Prefork { child, _cgroup: cgroup }
    }

    /// The workers that live, by slot and pid.
    fn workers(&self) -> Vec<(u32, Pid)> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let text = std::fs::read_to_string(children).unwrap_or_default();
        let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
        let slot = |pid: i32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let slot = line.split('\0').skip_while(|word| *word != "worker").nth(1)?.parse().ok()?;
            Some((slot, Pid::from_raw(pid)))
        };
        pids.filter_map(slot).collect()
    }
}

impl Drop for Prefork {
    fn drop(&mut self) {
        // Its workers are in its cgroup, and go with that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_prefork_server_steers_and_replaces() {
    let _stage = Stage::new();
    let server = Prefork::start("4");
    until("all answer", || server.workers().len() == 4 && std::net::TcpStream::connect(ADDR).is_ok());
    let mut tally = Tally::default();
    until("the kernel steers", || {
        let mut held = Client::connect(ADDR);
        held.send_last("/ms/300");
        tally = Tally::default();
        tally.ask(ADDR, "/", 40);
        let busy = held.receive().slot();
        tally.of(busy) == 0
    });
    assert!(tally.0.len() >= 2, "others share the rest, whoever has not just taken long: {tally:?}");

    let (slot, victim) = server.workers()[0];
    kill(victim, Signal::SIGKILL).expect("a worker");
    until("it is replaced", || server.workers().iter().any(|(other, pid)| *other == slot && *pid != victim));
    until("it answers", || get(ADDR, "/").slot() == slot);
}
