//! Copies of a DNS server behind one port: they answer on while one of them stands still, and while they are reloaded.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::harness::{Stage, plain::Plain, stopped::Stopped, until};
use llb::{internals::clock, model::Instant};
use llb_kit::{quantiles::at, stop::StopOnDrop};
use nix::unistd::Pid;

const SHARED: u16 = 9053;
const PLAIN: u16 = 9054;

/// A query for `test.example`'s address.
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\x07example\0\0\x01\0\x01";

/// What is not answered for so long is lost: libc's resolver waits five seconds, stub resolvers one.
const LOST: Duration = Duration::from_secs(1);

/// As the answers say.
const ADDRESS: [u8; 4] = [192, 0, 2, 7];

fn client(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("a server's address");
    socket.set_read_timeout(Some(LOST)).expect("a timeout");
    socket
}

fn is_answered(socket: &UdpSocket) -> bool {
    let mut answer = [0; 512];
    socket.recv(&mut answer).is_ok_and(|length| answer[..length].ends_with(&ADDRESS))
}

fn resolves(port: u16) -> bool {
    let socket = client(port);
    socket.send(QUERY).is_ok() && is_answered(&socket)
}

/// The command of an unbound that answers for itself.
fn unbound(stage: &Stage, port: u16) -> [String; 5] {
    let conf = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         do-daemonize: no\n  verbosity: 0\n  access-control: 127.0.0.0/8 allow\n  local-zone: \"example.\" static\n  \
         local-data: \"test.example. A 192.0.2.7\"\nremote-control:\n  control-enable: no\n",
    );
    let conf = stage.write(&format!("unbound.{port}.conf"), &conf).display().to_string();
    ["unbound", "-d", "-p", "-c", &conf].map(str::to_owned)
}

/// Queries of as many clients, as stub resolvers send them, each when it is due.
struct Queries {
    port: u16,
    every: Duration,
    count: u32,
}

impl Queries {
    /// How long each took since it was due; what is lost took [`LOST`].
    fn run(&self) -> Vec<Duration> {
        let (begun, mut took) = (clock::now(), Vec::new());
        let (mut sent, mut pending) = (0, VecDeque::<(UdpSocket, Instant)>::new());
        while sent < self.count || !pending.is_empty() {
            while sent < self.count && clock::now() >= self.due(begun, sent) {
                let socket = client(self.port);
                socket.set_nonblocking(true).expect("a socket");
                socket.send(QUERY).expect("a datagram");
                pending.push_back((socket, self.due(begun, sent)));
                sent += 1;
            }
            let now = clock::now();
            pending.retain(|(socket, due)| {
                let waited = Duration::from_nanos(now.since(*due));
                let is_over = is_answered(socket) || waited >= LOST;
                took.extend(is_over.then_some(waited.min(LOST)));
                !is_over
            });
            thread::sleep(Duration::from_millis(1));
        }
        took.sort();
        took
    }

    fn due(&self, begun: Instant, number: u32) -> Instant {
        begun.after(self.every * number)
    }
}

/// 1,500 queries a second while one copy stands still: their sorted times.
fn times_while_one_is_stopped(port: u16, pid: Pid) -> Vec<Duration> {
    let _stopped = Stopped::stop(pid);
    Queries { port, every: Duration::from_micros(667), count: 3_000 }.run()
}

fn p99(sorted: &[Duration]) -> Duration {
    at(sorted, 0.99)
}

#[test]
fn a_stopped_copy_of_unbound_delays_few() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "3", "--rescue", "off"], &unbound(&stage, SHARED).each_ref().map(String::as_str));
    fleet.wait_for_groups(&["127.0.0.1:9053"], 3);
    // Each answers once, so that it is known to.
    until("all have answered", || {
        (0..20).for_each(|_| assert!(resolves(SHARED)));
        (0..3).all(|slot| fleet.worker(slot).udp.is_some_and(|udp| udp.datagrams > 0))
    });
    // The control: the kernel's hash alone. unbound itself sets SO_REUSEPORT.
    let [program, args @ ..] = unbound(&stage, PLAIN);
    let plain: [Plain; 3] = std::array::from_fn(|_| Plain::spawn(Command::new(&program).args(&args)));
    until("all of the others answer", || (0..50).all(|_| resolves(PLAIN)));
    let (shared, hashed) = thread::scope(|scope| {
        let hashed = scope.spawn(|| times_while_one_is_stopped(PLAIN, plain[1].pid()));
        let shared = times_while_one_is_stopped(SHARED, Pid::from_raw(fleet.worker(1).pid.cast_signed()));
        (shared, hashed.join().expect("clients"))
    });
    let lost = |times: &[Duration]| times.iter().filter(|took| **took == LOST).count();
    println!(
        "p99 {:?}, lost {} of {}; by the hash {:?}, {}",
        p99(&shared),
        lost(&shared),
        shared.len(),
        p99(&hashed),
        lost(&hashed)
    );
    // A third of all, beside what came before it was late.
    assert!(p99(&hashed) == LOST && lost(&hashed) > 500, "the control shows nothing: {}", lost(&hashed));
    assert!(p99(&shared) < LOST / 10, "{:?}, lost {}", p99(&shared), lost(&shared));
    until("it answers again", || (0..50).all(|_| resolves(SHARED)));
}

#[test]
fn a_reload_of_unbound_loses_no_query() {
    let stage = Stage::new();
    let command = unbound(&stage, SHARED);
    let fleet = stage.start(&["-n", "3", "--drain-timeout", "3s"], &command.each_ref().map(String::as_str));
    fleet.wait_for_groups(&["127.0.0.1:9053"], 3);
    let (stop, begun) = (AtomicBool::new(false), clock::now());
    let (asked, lost) = thread::scope(|scope| {
        let stops = StopOnDrop(&stop);
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| resolve_until(&stop))).collect();
        assert!(fleet.command("reload").output().expect("llb reload").status.success());
        until("the old ones are gone", || fleet.status().workers.len() == 3);
        drop(stops);
        let each = asking.into_iter().map(|asking| asking.join().expect("a client"));
        each.fold((0, 0), |(asked, lost), (more, also)| (asked + more, lost + also))
    });
    let rate = f64::from(asked) / Duration::from_nanos(clock::now().since(begun)).as_secs_f64();
    println!("{rate:.0} queries a second, lost {lost} of {asked}");
    assert_eq!(lost, 0, "of {asked}");
    // 20,000 a second where nothing else runs.
    assert!(rate > 3_000.0, "{rate:.0} queries a second");
}

/// A quarter of 20,000 queries a second, or as many as this machine does, of flows that go on for a while: how many, and how many
/// had no answer.
fn resolve_until(stop: &AtomicBool) -> (u32, u32) {
    const AT_ONCE: u32 = 16;
    const EVERY: Duration = Duration::from_micros(3_200);
    let (mut asked, mut lost, mut clients) = (0, 0, Vec::new());
    let mut next = clock::now();
    while !stop.load(Relaxed) {
        if asked % (AT_ONCE * 50) == 0 {
            clients = (0..AT_ONCE).map(|_| client(SHARED)).collect();
        }
        clients.iter().for_each(|socket| drop(socket.send(QUERY)));
        asked += AT_ONCE;
        lost += clients.iter().filter(|socket| !is_answered(socket)).count() as u32;
        next = next.after(EVERY);
        thread::sleep(Duration::from_nanos(next.since(clock::now())));
    }
    (asked, lost)
}
