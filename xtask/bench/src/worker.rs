//! One worker, single-threaded like many servers that share a port: blocking here, an event loop in
//! [`event_worker`]. It knows nothing of its peers, llb among them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use llb::worker::Reporter;
use socket2::{Domain, Socket, Type};

use super::wire::{self, Wish};
use super::{event_worker, udp};

/// How long a peer may keep the worker waiting for a byte: this worker serves nobody else meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that may wait for a worker. More than any scenario sends before its requests are given up, so that no
/// peer looks better by refusing.
pub(super) const BACKLOG: i32 = 4096;

/// Between two bursts of reports: often enough that each line speaks for several of them.
const REPORT_EVERY: Duration = Duration::from_millis(10);

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
    let slowness = args.slowness.get(slot()).copied().unwrap_or(1.0);
    announce(args)?;
    if args.reports > 0 {
        let reporter = Reporter::from_env()?;
        let per_tick = f64::from(args.reports) * REPORT_EVERY.as_secs_f64();
        thread::spawn(move || report(reporter, per_tick));
    }
    if args.events { event_worker::serve(&listener, slowness) } else { serve(&listener, slowness) }
}

/// Says that this worker listens.
fn announce(args: &WorkerArgs) -> Result<()> {
    let mut ready = TcpStream::connect((Ipv4Addr::LOCALHOST, args.ready)).context("nobody hears that we listen")?;
    writeln!(ready, "{} {}", slot(), std::process::id()).context("cannot say that this worker listens")
}

fn slot() -> usize {
    std::env::var("WORKER_ID").unwrap_or_default().parse().unwrap_or(0)
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

pub(crate) fn serve(listener: &TcpListener, slowness: f64) -> Result<()> {
    loop {
        match listener.accept() {
            // A client that left is its own affair.
            Ok((mut peer, _)) => drop(answer(&mut peer, slowness)),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error).context("cannot accept connections any more"),
        }
    }
}

/// Whether the listener is as good as before.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::WouldBlock)
}

fn answer(peer: &mut TcpStream, slowness: f64) -> io::Result<()> {
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
    pretend(work_us, slowness);
    peer.write_all(wire::LAST_ANSWER)
}

/// Sleeping stands for computing: eight workers that computed would measure the machine's cores.
pub(super) fn pretend(work_us: u64, slowness: f64) {
    if work_us > 0 {
        thread::sleep(Duration::from_micros(work_us).mul_f64(slowness));
    }
}

#[cfg(test)]
mod tests {
    use llb_kit::http::Client;

    use super::*;

    #[test]
    fn it_works_as_long_as_asked_times_its_slowness_and_outlives_garbage() {
        for serve in [serve, event_worker::serve] {
            let listener = listen(0, false).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::spawn(move || serve(&listener, 4.0));
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
