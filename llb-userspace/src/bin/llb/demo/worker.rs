//! The demo's worker: a single-threaded, blocking server that knows nothing of llb, like many that llb serves.

use std::{
    convert::Infallible,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::wire;
use llb::model::Slot;

/// How many times longer the slow worker's work takes: a throttled core or a cold cache, not a hang.
pub(crate) const SLOW_FACTOR: u32 = 10;

/// How long a peer may keep the worker waiting for a byte: this worker serves nobody else meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most work that a request may ask for: a stray number must not look like a hang.
const WORK_MAX: Duration = Duration::from_secs(2);

/// Why a demo worker ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The port could not be had.
    #[error("demo worker {slot} cannot listen on 127.0.0.1:{port}: is llb's bind hook at work, and the port free?")]
    Listen {
        /// The worker's slot.
        slot: Slot,
        /// The port that all workers share.
        port: u16,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The listener broke.
    #[error("demo worker {slot} cannot accept connections any more")]
    Accept {
        /// The worker's slot.
        slot: Slot,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Serves `127.0.0.1:port` as `slot` until something breaks; a `slow` worker takes [`SLOW_FACTOR`] times as long.
///
/// It does not set `SO_REUSEPORT`: that is llb's work, so that any program can be a worker.
///
/// # Errors
/// If it cannot listen, or no longer accept.
pub(crate) fn serve(port: u16, slot: Slot, slow: bool) -> Result<Infallible, WorkerError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| WorkerError::Listen { slot, port, source })?;
    let Err(source) = serve_on(&listener, slot, slow);
    Err(WorkerError::Accept { slot, source })
}

/// Serves the connections of `listener`, one after the other.
pub(super) fn serve_on(listener: &TcpListener, slot: Slot, slow: bool) -> io::Result<Infallible> {
    loop {
        match listener.accept() {
            // A peer that leaves, stalls or breaks off harms its own connection only.
            Ok((peer, _)) => drop(serve_one(peer, slot, slow)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

fn serve_one(mut peer: TcpStream, slot: Slot, slow: bool) -> io::Result<()> {
    peer.set_read_timeout(Some(PATIENCE))?;
    peer.set_write_timeout(Some(PATIENCE))?;
    let Some(head) = read_head(&mut peer)? else { return Ok(()) };
    let Some(work_ms) = wire::parse_request(&head) else { return peer.write_all(wire::refusal().as_bytes()) };
    work(Duration::from_millis(work_ms).min(WORK_MAX), slow);
    peer.write_all(wire::answer(slot).as_bytes())
}

/// The head of a request; `None` if the peer left before it was whole. What is longer than a head may be comes back
/// cut, and will not be understood.
fn read_head(peer: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(256);
    let mut chunk = [0; 512];
    while !wire::head_is_whole(&head) && head.len() < wire::HEAD_MAX {
        match peer.read(&mut chunk)? {
            0 => return Ok(None),
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(Some(head))
}

/// Blocks the worker. Sleeping stands for computing: eight workers that computed would measure the demo machine's cores.
fn work(time: Duration, slow: bool) {
    thread::sleep(if slow { time * SLOW_FACTOR } else { time });
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, thread};

    use tokio::time::Instant;

    use super::*;

    fn start(slow: bool) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || serve_on(&listener, Slot(4), slow));
        addr
    }

    fn ask(addr: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_works_then_says_who_it_is_and_closes() {
        let begun = Instant::now();
        let answer = ask(start(false), b"GET /?work_ms=5 HTTP/1.1\r\n\r\n");
        assert!(begun.elapsed() >= Duration::from_millis(5));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nx-llb-slot: 4\r\n"), "{answer}");
    }

    #[test]
    fn a_slow_one_takes_ten_times_as_long() {
        let begun = Instant::now();
        ask(start(true), b"GET /?work_ms=5 HTTP/1.1\r\n\r\n");
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn it_outlives_garbage_an_endless_head_and_an_early_close() {
        let addr = start(false);
        assert!(ask(addr, b"\xff\x00 what\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask(addr, &[b'a'; wire::HEAD_MAX]).starts_with("HTTP/1.1 400 "));
        drop(TcpStream::connect(addr).unwrap());
        TcpStream::connect(addr).unwrap().write_all(b"GET /?wor").unwrap();
        assert!(ask(addr, b"GET / HTTP/1.1\r\n\r\n").contains("worker 4"));
    }
}
