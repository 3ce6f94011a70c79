//! The closed-loop load: so many clients, each with one request at a time, as fast as they are answered. It measures what
//! a connection or a request costs, not what waiting does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::busy::Idle;
use super::open_loop::TIMEOUT;
use super::wire::{self, Came};
use llb_kit::clock::now;

/// Not measured at the start of each slice: the clients come one after the other, and a fleet that has rested wakes up.
const RAMP: Duration = Duration::from_millis(40);

/// After a failure: a refusal comes at once, and without a pause refusals would be all that this machine does.
const AFTER_FAILURE: Duration = Duration::from_millis(1);

/// What the clients saw, and what it took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// One per answer, ns.
    pub(crate) latencies: Vec<u64>,
    pub(super) failed: usize,
    pub(super) lasted: Duration,
    /// The whole machine's CPU time.
    pub(super) busy: Duration,
}

impl Seen {
    pub(super) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.lasted.as_secs_f64()
    }

    /// CPU time for an answer, ns.
    pub(super) fn cpu_ns(&self) -> f64 {
        self.busy.as_nanos() as f64 / self.latencies.len().max(1) as f64
    }
}

/// Asks for no work from `clients` threads; what is answered within `duration` counts.
///
/// # Errors
/// If /proc/stat cannot be read.
pub(crate) fn run(addr: SocketAddr, clients: usize, requests_each: usize, duration: Duration) -> Result<Seen> {
    thread::scope(|scope| {
        let start = now() + RAMP;
        let end = start + duration;
        let clients: Vec<_> =
            (0..clients).map(|_| scope.spawn(move || client(addr, requests_each, start, end))).collect();
        thread::sleep(start.saturating_duration_since(now()));
        let before = Idle::read(now());
        thread::sleep(end.saturating_duration_since(now()));
        let after = Idle::read(now());
        let mut all = Seen { lasted: duration, ..Seen::default() };
        for client in clients {
            let (latencies, failed) = client.join().expect("a client does not panic");
            all.latencies.extend(latencies);
            all.failed += failed;
        }
        all.busy = after?.busy_since(&before?);
        Ok(all)
    })
}

fn client(addr: SocketAddr, requests_each: usize, start: Instant, end: Instant) -> (Vec<u64>, usize) {
    let requests = [wire::request(0, false), wire::request(0, true)];
    let (mut latencies, mut failed) = (Vec::new(), 0);
    let mut open = None;
    let mut asked = 0;
    loop {
        let begun = now();
        if begun >= end {
            return (latencies, failed);
        }
        asked += 1;
        let is_last = asked == requests_each;
        let answered = exchange(open.take(), addr, requests[usize::from(is_last)].as_bytes(), is_last);
        let done = now();
        let counts = (start..end).contains(&done);
        match answered {
            Ok(Some(stream)) => {
                open = (!is_last).then_some(stream);
                if counts {
                    latencies.push((done - begun).as_nanos() as u64);
                }
            }
            Ok(None) | Err(_) => {
                failed += usize::from(counts);
                thread::sleep(AFTER_FAILURE);
            }
        }
        if open.is_none() {
            asked = 0;
        }
    }
}

/// The connection, if the answer was one. By hand, and without a client of HTTP: what this takes is taken from the servers. Reads the last answer to the connection's end: the server closes first, so the
/// client's port is free at once.
fn exchange(open: Option<TcpStream>, addr: SocketAddr, request: &[u8], is_last: bool) -> io::Result<Option<TcpStream>> {
    let mut stream = match open {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream
        }
    };
    stream.write_all(request)?;
    let mut heard = [0; wire::HEAD_MAX];
    let mut length = 0;
    while length < heard.len() && (is_last || wire::came(&heard[..length]) == Came::Part) {
        match stream.read(&mut heard[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok((wire::came(&heard[..length]) == Came::Answer).then_some(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event_worker, worker};

    /// What was seen once there was something to see: on a busy machine a client may sleep through its time.
    fn seen(addr: SocketAddr, requests_each: usize) -> Seen {
        let deadline = now() + Duration::from_secs(30);
        loop {
            let seen = run(addr, 2, requests_each, Duration::from_millis(50)).unwrap();
            if seen.latencies.len() + seen.failed > 2 * requests_each || now() >= deadline {
                return seen;
            }
        }
    }

    #[test]
    fn it_asks_again_and_again_and_counts_answers_and_failures() {
        for requests_each in [1, 3] {
            let listener = worker::listen(0, false).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::spawn(move || event_worker::serve(&listener, &mut worker::Work::new(1.0, 0)));
            let seen = seen(addr, requests_each);
            assert!(seen.latencies.len() > 2 * requests_each && seen.failed == 0, "{seen:?}");
        }
        let closed = worker::listen(0, false).unwrap().local_addr().unwrap();
        let seen = seen(closed, 1);
        assert!(seen.latencies.is_empty() && seen.failed > 2, "{seen:?}");
    }
}
