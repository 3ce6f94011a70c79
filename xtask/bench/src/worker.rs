//! One worker, single-threaded like many servers that share a port: blocking here, an event loop in
//! [`event_worker`]. It knows nothing of its peers, llb among them.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use llb::worker::Reporter;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use socket2::{Domain, SockRef, Socket, Type};

use super::wire::{self, Wish};
use super::{event_worker, udp};

/// How long a peer may keep the worker waiting for a byte: this worker serves nobody else meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that may wait for a worker. More than any scenario sends before its requests are given up, so that no
/// peer looks better by refusing.
pub(super) const BACKLOG: i32 = 4096;

/// Between two bursts of reports: often enough that each line speaks for several of them.
const REPORT_EVERY: Duration = Duration::from_millis(10);

/// So often a worker that computes goes through its memory for a request: tens of microseconds.
const WALKS: usize = 4;

const CACHE_LINE: usize = 64;

/// What a worker is told.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Port on 127.0.0.1; without it the standard input is the listener
    #[arg(long)]
    port: Option<u16>,
    /// Set SO_REUSEPORT before binding
    #[arg(long)]
    reuseport: bool,
    /// Serve many connections in an event loop
    #[arg(long)]
    events: bool,
    /// Answer datagrams, and listen to none
    #[arg(long)]
    udp: bool,
    /// Port on 127.0.0.1 that hears of this worker once it listens
    #[arg(long)]
    ready: u16,
    /// Report so many requests a second to llb, beside what is asked
    #[arg(long, default_value_t = 0)]
    reports: u32,
    /// Compute for each request, on so much memory of this worker's own
    #[arg(long, default_value_t = 0)]
    walks_kib: usize,
    /// Run on one CPU: the slot's among those that there are
    #[arg(long)]
    pinned: bool,
    /// Have the kernel prefer this worker for connections that come to its CPU
    #[arg(long, requires = "pinned")]
    incoming_cpu: bool,
    /// How many times longer than usual work takes, for each WORKER_ID
    #[arg(long, value_delimiter = ',', default_value = "1")]
    slowness: Vec<f64>,
}

/// Serves until the listener breaks.
pub(crate) fn work(args: &WorkerArgs) -> Result<()> {
    if args.udp {
        return udp::serve(args.port.context("a worker for datagrams needs a port")?, args.reuseport, || {
            announce(args)
        });
    }
    let listener = match args.port {
        Some(port) => listen(port, args.reuseport).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?,
        None => TcpListener::from(io::stdin().as_fd().try_clone_to_owned().context("no listener was inherited")?),
    };
    if args.pinned {
        let cpu = pin().context("cannot run on one CPU")?;
        if args.incoming_cpu {
            SockRef::from(&listener).set_cpu_affinity(cpu).context("cannot set SO_INCOMING_CPU")?;
        }
    }
    let mut work = Work::new(args.slowness.get(slot()).copied().unwrap_or(1.0), args.walks_kib);
    announce(args)?;
    if args.reports > 0 {
        let reporter = Reporter::from_env()?;
        let per_tick = f64::from(args.reports) * REPORT_EVERY.as_secs_f64();
        thread::spawn(move || report(reporter, per_tick));
    }
    if args.events { event_worker::serve(&listener, &mut work) } else { serve(&listener, &mut work) }
}

/// Says that this worker listens.
fn announce(args: &WorkerArgs) -> Result<()> {
    let mut ready = TcpStream::connect((Ipv4Addr::LOCALHOST, args.ready)).context("nobody hears that we listen")?;
    writeln!(ready, "{} {}", slot(), std::process::id()).context("cannot say that this worker listens")
}

fn slot() -> usize {
    std::env::var("WORKER_ID").unwrap_or_default().parse().unwrap_or(0)
}

/// Stays on a CPU, and returns its number.
fn pin() -> Result<usize> {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this)?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu) == Ok(true)).collect();
    let cpu = cpus[slot() % cpus.len()];
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(this, &one)?;
    Ok(cpu)
}

/// Reports requests that nobody has asked for, evenly.
fn report(reporter: Reporter, per_tick: f64) {
    let mut owed = 0.0;
    loop {
        thread::sleep(REPORT_EVERY);
        owed += per_tick;
        while owed >= 1.0 {
            drop(reporter.request());
            owed -= 1.0;
        }
    }
}

/// A listener on this port, 0 for any.
pub(crate) fn listen(port: u16, reuseport: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if reuseport {
        socket.set_reuse_port(true)?;
    }
    // The port's last connections may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub(crate) fn serve(listener: &TcpListener, work: &mut Work) -> Result<()> {
    loop {
        match listener.accept() {
            // A client that left is its own affair.
            Ok((mut peer, _)) => drop(answer(&mut peer, work)),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error).context("cannot accept connections any more"),
        }
    }
}

/// Whether the listener is as good as before.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::WouldBlock)
}

fn answer(peer: &mut TcpStream, work: &mut Work) -> io::Result<()> {
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut head = [0; wire::HEAD_MAX];
    let mut length = 0;
    while !wire::head_is_whole(&head[..length]) && length < head.len() {
        match peer.read(&mut head[length..])? {
            0 => return Ok(()),
            read => length += read,
        }
    }
    let Some(Wish { work_us, .. }) = wire::wish(&head[..length]) else { return peer.write_all(wire::REFUSAL) };
    work.serve(work_us);
    peer.write_all(wire::LAST_ANSWER)
}

/// What a request takes of a worker.
pub(crate) struct Work {
    slowness: f64,
    memory: Vec<u8>,
}

impl Work {
    pub(crate) fn new(slowness: f64, walks_kib: usize) -> Self {
        Self { slowness, memory: vec![0; walks_kib << 10] }
    }

    /// Sleeping stands for computing: eight workers that computed would measure the machine's cores. Unless it is those
    /// that matter.
    pub(super) fn serve(&mut self, work_us: u64) {
        if work_us > 0 {
            thread::sleep(Duration::from_micros(work_us).mul_f64(self.slowness));
        }
        for _ in 0..WALKS {
            black_box(&mut self.memory).iter_mut().step_by(CACHE_LINE).for_each(|byte| *byte = byte.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use llb_kit::http::Client;

    use super::*;

    #[test]
    fn it_works_as_long_as_asked_times_its_slowness_and_outlives_garbage() {
        for serve in [serve as fn(&TcpListener, &mut Work) -> Result<()>, event_worker::serve] {
            let listener = listen(0, false).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::spawn(move || serve(&listener, &mut Work::new(4.0, 1)));
            drop(TcpStream::connect(addr).unwrap());
            let asked = wire::request(5_000, true);
            for (sent, expected) in [("what\r\n\r\n", 400), (&asked, 200)] {
                let begun = llb_kit::clock::now();
                let mut client = Client::connect(&addr.to_string());
                client.write(sent);
                assert_eq!(client.receive().status, expected);
                assert!(client.is_closed() && (expected == 400 || begun.elapsed() >= Duration::from_millis(20)));
            }
        }
    }
}
