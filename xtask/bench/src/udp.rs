//! `cargo xtask bench --set udp`: datagrams of flows that go on, and of new ones while a worker stands still, beside plain
//! `SO_REUSEPORT`, which every program of several processes can set itself, and the same with programs that do nothing on llb's
//! hooks: what the kernel's hooks cost.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

use crate::command_lines;
use crate::empty::Hooked;
use crate::fleet::{Bench, Fleet};
use crate::process::Processes;
use llb_kit::clock::now;
use llb_kit::quantiles::{Quantiles, median, sorted};

/// As many as a small server has, and more than this machine has cores, so that none is idle for want of work.
pub(crate) const WORKERS: usize = 4;

/// Threads that ask, and flows of each: enough that every worker has some.
const CLIENTS: usize = 2;
const FLOWS: usize = 16;

/// Datagrams that a flow has under way. The socket's buffer holds more of either side.
const AT_ONCE: usize = 32;

/// All peers are asked by turns, so often and for so long. The first turns warm the machine up. Its speed changes by a tenth from one
/// second to the next, so the turns are short and many: the median of so many ratios is off by half a hundredth.
const WARM_UP: usize = 20;
const TURNS: usize = 180;
const SLICE: Duration = Duration::from_millis(200);

/// What is not answered by then is given up: as long as a resolver waits before it asks again.
const GIVEN_UP: Duration = Duration::from_millis(200);

/// New flows that are begun while a worker stands still. The first that it is given is lost, as nobody knows yet, so a hundredth must
/// be more than that one.
const NEW_FLOWS: usize = 600;

/// A worker of a benchmark that answers datagrams with what they say.
pub(super) fn serve(port: u16, shares: bool, announce: impl FnOnce() -> Result<()>) -> Result<()> {
    let socket = bind(port, shares)?;
    announce()?;
    let mut datagram = [0; 2048];
    loop {
        // An error here is an earlier answer's, which came to nobody.
        if let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], from);
        }
    }
}

fn bind(port: u16, shares: bool) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_port(shares)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).context("cannot bind the port")?;
    Ok(socket.into())
}

/// How the workers share the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Plain,
    /// With empty programs on llb's hooks.
    Hooked,
    Llb,
}

const PEERS: [(&str, Peer); 3] = [("plain", Peer::Plain), ("empty programs", Peer::Hooked), ("llb", Peer::Llb)];

/// Workers that answer datagrams.
pub(crate) struct Echo {
    addr: SocketAddr,
    workers: Vec<Pid>,
    llb: Option<Fleet>,
    _plain: Processes,
    // Removed after the processes in it.
    _hooked: Option<Hooked>,
}

impl Echo {
    pub(crate) fn start(bench: &Bench, peer: Peer) -> Result<Self> {
        let ready = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let ready_port = ready.local_addr()?.port().to_string();
        let worker = |port: u16| {
            let mut worker = Command::new(&bench.this);
            worker.args(["bench-worker", "--udp", "--ready", &ready_port, "--port", &port.to_string()]);
            worker
        };
        let (mut plain, mut llb, mut hooked) = (Processes::default(), None, None);
        let addr = if peer == Peer::Llb {
            let fleet = llb.insert(Fleet::of_program(bench, 0, "least-latency", WORKERS, worker)?);
            fleet.addr
        } else {
            let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let mut worker = worker(port);
            worker.arg("--reuseport");
            // The program stays with the group when the socket goes with which it has come.
            let mut first = None;
            if peer == Peer::Hooked {
                Hooked::choose(first.insert(bind(port, true)?))?;
                worker = command_lines::inside(hooked.insert(Hooked::new(port)?).path(), &worker);
            }
            for _ in 0..WORKERS {
                plain.start(&worker, Stdio::null(), &bench.scratch.join("udp.log"))?;
            }
            (Ipv4Addr::LOCALHOST, port).into()
        };
        let workers = (0..WORKERS).map(|_| pid(&ready.accept()?.0)).collect::<Result<_>>()?;
        Ok(Self { addr, workers, llb, _plain: plain, _hooked: hooked })
    }

    /// llb's process, if it is there.
    pub(crate) fn llb(&self) -> Option<Pid> {
        self.llb.as_ref().and_then(Fleet::first)
    }

    /// Answers within this time, of flows that go on.
    pub(crate) fn exchange(&self, duration: Duration) -> Result<usize> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| client(self.addr, duration))).collect();
            clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum()
        })
    }

    /// How long first datagrams of new flows wait for their answer while a worker stands still, ns.
    fn latencies_while_one_stands_still(&self) -> Result<Vec<u64>> {
        // It was known to answer.
        self.exchange(Duration::from_millis(100))?;
        kill(self.workers[0], Signal::SIGSTOP)?;
        let latencies = (0..NEW_FLOWS).map(|_| {
            let (socket, begun) = (flow(self.addr)?, now());
            socket.send(b"new")?;
            // An answer that is not there by then counts as long as that.
            let _ = socket.recv(&mut [0; 64]);
            Ok(begun.elapsed().as_nanos() as u64)
        });
        let latencies = latencies.collect();
        kill(self.workers[0], Signal::SIGCONT)?;
        latencies
    }
}

/// What a worker says of itself: slot and process.
fn pid(mut stream: &TcpStream) -> Result<Pid> {
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    let (_, pid) = said.trim().split_once(' ').with_context(|| format!("a worker said {said:?}"))?;
    Ok(Pid::from_raw(pid.parse()?))
}

fn flow(to: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(GIVEN_UP))?;
    Ok(socket)
}

fn client(to: SocketAddr, duration: Duration) -> Result<usize> {
    let flows = (0..FLOWS).map(|_| flow(to)).collect::<Result<Vec<_>>>()?;
    let (end, mut answers) = (now() + duration, 0);
    for flow in flows.iter().cycle() {
        if now() >= end {
            break;
        }
        for _ in 0..AT_ONCE {
            flow.send(&[0; 64])?;
        }
        // What is lost is not asked again.
        answers += (0..AT_ONCE).take_while(|_| flow.recv(&mut [0; 64]).is_ok()).count();
    }
    Ok(answers)
}

/// Runs it, and prints what came of it.
pub(super) fn run(bench: &Bench, out: &mut impl Write) -> Result<()> {
    let peers = PEERS.iter().map(|(_, peer)| Echo::start(bench, *peer)).collect::<Result<Vec<_>>>()?;
    let mut rates = [const { Vec::new() }; PEERS.len()];
    for turn in 0..WARM_UP + TURNS {
        for (peer, rates) in peers.iter().zip(&mut rates) {
            let rate = peer.exchange(SLICE)? as f64 / SLICE.as_secs_f64();
            if turn >= WARM_UP {
                rates.push(rate);
            }
        }
    }
    // Of neighbours in time, so that a machine that is slower for a while is so for all.
    let to_plain =
        |rates: &[f64], plain: &[f64]| median(rates.iter().zip(plain).map(|(one, plain)| one / plain).collect());
    writeln!(out, "peer            answers/s  to plain's  new flows while a worker stands still: p50 us  p99 us")?;
    let mut p99 = [0; PEERS.len()];
    for (index, ((name, _), peer)) in PEERS.iter().zip(&peers).enumerate() {
        let quantiles = Quantiles::of(&sorted(peer.latencies_while_one_stands_still()?));
        let (rate, ratio) = (median(rates[index].clone()), to_plain(&rates[index], &rates[0]));
        p99[index] = quantiles.p99;
        let (p50, p99) = (quantiles.p50 / 1_000, quantiles.p99 / 1_000);
        writeln!(out, "{name:14}  {rate:9.0}  {ratio:10.3}  {p50:46}  {p99:6}")?;
    }
    let better = p99[0] as f64 / p99[PEERS.len() - 1].max(1) as f64;
    writeln!(out, "target: llb at least 0.97 of plain's answers a second, p99 10 times better: {better:.0} times")?;
    Ok(())
}
