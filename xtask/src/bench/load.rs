//! The open-loop load: a request is sent when it is due and its latency counts from then, whether or not those before
//! it have been answered. A closed loop would send less to a slow worker and so hide the very waiting it causes.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio::time;

use super::arrivals::Arrival;
use super::wire;
use crate::clock::now;

/// How long after it was due a request is given up. What fails counts as this long, however soon it failed. Longer than
/// the slow worker's 2 s for a long request.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) arrival: Arrival,
    /// How long after it was due the request was begun, ns: the load generator's own fault.
    pub(super) late_ns: u64,
    /// From the moment it was due to its answer's head, ns; `None` if there was none.
    pub(super) latency_ns: Option<u64>,
}

/// Sends every request to `addr` on a connection of its own, and waits until each has its outcome.
///
/// # Errors
/// If the kernel grants no thread or no event queue.
pub(super) fn run(addr: SocketAddr, arrivals: Vec<Arrival>) -> io::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = now();
        let mut due = pace(start, arrivals)?;
        let mut requests = JoinSet::new();
        while let Some(arrival) = due.recv().await {
            requests.spawn(ask(addr, arrival, start + Duration::from_nanos(arrival.due_ns)));
        }
        Ok(requests.join_all().await)
    })
}

/// Hands out each arrival once it is due. The runtime's own timer counts whole milliseconds, too coarse for requests of
/// five; so a thread sleeps.
fn pace(start: Instant, arrivals: Vec<Arrival>) -> io::Result<UnboundedReceiver<Arrival>> {
    let (due, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        for arrival in arrivals {
            let moment = start + Duration::from_nanos(arrival.due_ns);
            thread::sleep(moment.saturating_duration_since(now()));
            if due.send(arrival).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

async fn ask(addr: SocketAddr, arrival: Arrival, due: Instant) -> Outcome {
    let late_ns = due.elapsed().as_nanos() as u64;
    let answered = time::timeout_at((due + TIMEOUT).into(), exchange(addr, arrival.work_ms)).await;
    let latency_ns = matches!(answered, Ok(Ok(true))).then(|| due.elapsed().as_nanos() as u64);
    Outcome { arrival, late_ns, latency_ns }
}

/// Whether the answer was one.
async fn exchange(addr: SocketAddr, work_ms: u64) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(wire::request(work_ms).as_bytes()).await?;
    let mut head = Vec::with_capacity(256);
    while !wire::head_is_whole(&head) && head.len() < wire::HEAD_MAX {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(wire::is_answer(&head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{arrivals::SHORT_MS, worker};

    #[test]
    fn latency_counts_from_when_the_request_was_due() {
        // Five of 5 ms due at once at one worker: the last has waited for the four before it.
        let listener = worker::listen(0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || worker::serve(&listener, 1));
        let outcomes = run(addr, vec![Arrival { due_ns: 1_000_000, work_ms: SHORT_MS }; 5]).unwrap();
        let worst = outcomes.iter().map(|outcome| outcome.latency_ns.unwrap()).max().unwrap();
        assert!(worst >= 25_000_000, "{worst}");
    }

    #[test]
    fn who_hangs_up_has_not_answered() {
        let listener = worker::listen(0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || while listener.accept().is_ok() {});
        let outcomes = run(addr, vec![Arrival { due_ns: 0, work_ms: SHORT_MS }]).unwrap();
        assert_eq!(outcomes[0].latency_ns, None);
    }
}
