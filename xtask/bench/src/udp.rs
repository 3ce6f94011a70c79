//! `cargo xtask bench --set udp`: datagrams of flows that go on, and of new ones while a worker stands still, beside plain
//! `SO_REUSEPORT`, which every program of several processes can set itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

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

/// Rounds, in each of which both peers are asked so often by turns, for so long. The first is a warm-up of the machine. Its speed
/// changes by a tenth from one second to the next, so the turns are short and many.
const ROUNDS: usize = 7;
const TURNS: usize = 10;
const SLICE: Duration = Duration::from_millis(400);

/// What is not answered by then is given up: as long as a resolver waits before it asks again.
const GIVEN_UP: Duration = Duration::from_millis(200);

/// New flows that are begun while a worker stands still. The first that it is given is lost, as nobody knows yet, so a hundredth must
/// be more than that one.
const NEW_FLOWS: usize = 300;

/// A worker of a benchmark that answers datagrams with what they say.
pub(super) fn serve(port: u16, shares: bool, announce: impl FnOnce() -> Result<()>) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_port(shares)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).context("cannot bind the port")?;
    let socket = UdpSocket::from(socket);
    announce()?;
    let mut datagram = [0; 2048];
    loop {
        // An error here is an earlier answer's, which came to nobody.
        if let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], from);
        }
    }
}

/// Workers that answer datagrams, with or without llb.
pub(crate) struct Echo {
    addr: SocketAddr,
    workers: Vec<Pid>,
    llb: Option<Fleet>,
    _plain: Processes,
}

impl Echo {
    /// Under llb, or as they are.
    pub(crate) fn start(bench: &Bench, is_steered: bool) -> Result<Self> {
        let ready = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let ready_port = ready.local_addr()?.port().to_string();
        let worker = |port: u16| {
            let mut worker = Command::new(&bench.this);
            worker.args(["bench-worker", "--udp", "--ready", &ready_port, "--port", &port.to_string()]);
            worker
        };
        let (mut plain, mut llb) = (Processes::default(), None);
        let addr = if is_steered {
            let fleet = llb.insert(Fleet::of_program(bench, 0, "least-latency", WORKERS, worker)?);
            fleet.addr
        } else {
            let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            for _ in 0..WORKERS {
                plain.start(worker(port).arg("--reuseport"), Stdio::null(), &bench.scratch.join("udp.log"))?;
            }
            (Ipv4Addr::LOCALHOST, port).into()
        };
        let workers = (0..WORKERS).map(|_| pid(&ready.accept()?.0)).collect::<Result<_>>()?;
        Ok(Self { addr, workers, llb, _plain: plain })
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
    let peers = [Echo::start(bench, false)?, Echo::start(bench, true)?];
    let (mut rates, mut latencies) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 0..ROUNDS {
        for _ in 0..TURNS {
            for (peer, rates) in peers.iter().zip(&mut rates) {
                let rate = peer.exchange(SLICE)? as f64 / SLICE.as_secs_f64();
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        if round > 0 {
            for (peer, latencies) in peers.iter().zip(&mut latencies) {
                latencies.extend(peer.latencies_while_one_stands_still()?);
            }
        }
    }
    // Of neighbours in time, so that a machine that is slower for a while is so for both.
    let ratio = median(rates[1].iter().zip(&rates[0]).map(|(llb, plain)| llb / plain).collect());
    let quantiles = latencies.map(|latencies| Quantiles::of(&sorted(latencies)));
    writeln!(out, "peer   answers/s  new flows while a worker stands still: p50 us  p99 us")?;
    for (name, (rates, quantiles)) in ["plain", "llb"].iter().zip(rates.into_iter().zip(&quantiles)) {
        let (p50, p99) = (quantiles.p50 / 1_000, quantiles.p99 / 1_000);
        writeln!(out, "{name:5}  {:9.0}  {p50:46}  {p99:6}", median(rates))?;
    }
    let better = quantiles[0].p99 as f64 / quantiles[1].p99.max(1) as f64;
    writeln!(
        out,
        "llb has {ratio:.3} of plain's answers a second (target 0.97), and {better:.0} times its p99 (target 10)"
    )?;
    Ok(())
}
