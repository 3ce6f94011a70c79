//! One worker: single-threaded and blocking, like many servers that share a port. It knows nothing of its peers, llb
//! among them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use super::wire;

/// How long a peer may keep the worker waiting for a byte: this worker serves nobody else meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that may wait for a worker. More than any scenario sends before its requests are given up, so that no
/// peer looks better by refusing.
pub(crate) const BACKLOG: i32 = 4096;

/// What a worker is told.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Port on 127.0.0.1; without it the standard input is the listener
    #[arg(long)]
    port: Option<u16>,
    /// Set SO_REUSEPORT before binding
    #[arg(long)]
    reuseport: bool,
    /// Port on 127.0.0.1 that is connected to once this worker listens
    #[arg(long)]
    ready: u16,
    /// The worker whose WORKER_ID is this is slow
    #[arg(long)]
    slow_slot: Option<String>,
    /// How many times longer the slow worker's work takes
    #[arg(long, default_value_t = 1)]
    slow_factor: u32,
}

/// Serves until the listener breaks.
pub(crate) fn work(args: &WorkerArgs) -> Result<()> {
    let listener = match args.port {
        Some(port) => listen(port, args.reuseport).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?,
        None => TcpListener::from(io::stdin().as_fd().try_clone_to_owned().context("no listener was inherited")?),
    };
    let is_slow = args.slow_slot.is_some() && args.slow_slot == std::env::var("WORKER_ID").ok();
    TcpStream::connect((Ipv4Addr::LOCALHOST, args.ready)).context("cannot say that this worker is ready")?;
    serve(&listener, if is_slow { args.slow_factor } else { 1 })
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

pub(crate) fn serve(listener: &TcpListener, slowness: u32) -> Result<()> {
    loop {
        match listener.accept() {
            // A client that left is its own affair.
            Ok((mut peer, _)) => drop(answer(&mut peer, slowness)),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(error).context("cannot accept connections any more"),
        }
    }
}

fn answer(peer: &mut TcpStream, slowness: u32) -> io::Result<()> {
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut head = [0; wire::HEAD_MAX];
    let mut length = 0;
    while !wire::head_is_whole(&head[..length]) && length < head.len() {
        match peer.read(&mut head[length..])? {
            0 => return Ok(()),
            read => length += read,
        }
    }
    let Some(work_ms) = wire::work_of(&head[..length]) else { return peer.write_all(wire::REFUSAL) };
    if work_ms > 0 {
        // Sleeping stands for computing: eight workers that computed would measure the machine's cores.
        thread::sleep(Duration::from_millis(work_ms) * slowness);
    }
    peer.write_all(wire::ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works_as_long_as_asked_times_its_slowness_and_outlives_garbage() {
        let listener = listen(0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, 4));
        drop(TcpStream::connect(addr).unwrap());
        for (sent, expected) in [("what\r\n\r\n".to_owned(), "HTTP/1.1 400 "), (wire::request(5), "HTTP/1.1 200 ")] {
            let begun = crate::clock::now();
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            assert!(heard.starts_with(expected), "{heard}");
            assert!(expected.contains("400") || begun.elapsed() >= Duration::from_millis(20));
        }
    }
}
