//! The closed-loop load: so many clients, each with one request at a time on a connection of its own, as fast as they are
//! answered. It measures what a connection costs, not what waiting does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::load::TIMEOUT;
use super::wire;
use crate::clock::now;

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// One per answer, ns.
    pub(crate) latencies: Vec<u64>,
    pub(crate) failed: usize,
}

/// Asks for no work from `clients` threads for `duration`.
pub(crate) fn run(addr: SocketAddr, clients: usize, duration: Duration) -> Seen {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(addr, duration))).collect();
        let mut all = Seen::default();
        for client in clients {
            let seen = client.join().expect("a client does not panic");
            all.latencies.extend(seen.latencies);
            all.failed += seen.failed;
        }
        all
    })
}

fn client(addr: SocketAddr, duration: Duration) -> Seen {
    let request = wire::request(0);
    let mut seen = Seen::default();
    let end = now() + duration;
    loop {
        let begun = now();
        if begun >= end {
            return seen;
        }
        match exchange(addr, request.as_bytes()) {
            Ok(true) => seen.latencies.push(begun.elapsed().as_nanos() as u64),
            Ok(false) | Err(_) => {
                seen.failed += 1;
                // A refusal comes at once; without a pause failures would be all that this machine does.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Whether the answer was one. Reads to the end: the server closes first, so the client's port is free at once.
fn exchange(addr: SocketAddr, request: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut answer = [0; wire::HEAD_MAX];
    let mut length = 0;
    while length < answer.len() {
        match stream.read(&mut answer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(wire::is_answer(&answer[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::worker;

    #[test]
    fn it_asks_again_and_again_and_counts_answers_and_failures() {
        let listener = worker::listen(0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || worker::serve(&listener, 1));
        let seen = run(addr, 2, Duration::from_millis(100));
        assert!(seen.latencies.len() > 2 && seen.failed == 0, "{seen:?}");

        let closed = worker::listen(0, false).unwrap().local_addr().unwrap();
        let seen = run(closed, 1, Duration::from_millis(20));
        assert!(seen.latencies.is_empty() && seen.failed > 0, "{seen:?}");
    }
}
