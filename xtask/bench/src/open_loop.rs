//! The open-loop load: a request is sent when it is due and its latency counts from then, whether or not those before
//! it have been answered. A closed loop would send less to a slow worker and so hide the very waiting it causes.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time;

use super::arrivals::Arrival;
use super::wire::{self, Came};
use llb_kit::clock::now;

/// How long after it was due a request is given up. What fails counts as this long, however soon it failed. Longer than
/// the slow worker's 2 s for a long request.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Whether its latency counts.
    pub(super) counts: bool,
    /// How long after it was due it was handed to its connection, ns: the load generator's own fault.
    pub(super) late_ns: u64,
    /// From the moment it was due to its answer, ns; `None` if there was none.
    pub(super) latency_ns: Option<u64>,
}

/// A request that is due.
struct Due {
    arrival: Arrival,
    at: Instant,
    late_ns: u64,
}

/// Sends every request to `addr` on its connection, and waits until each has its outcome.
///
/// # Errors
/// If the kernel grants no thread or no event queue.
pub(super) fn run(addr: SocketAddr, arrivals: &[Arrival]) -> io::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = now();
    thread::scope(|scope| {
        let (sender, mut due) = mpsc::unbounded_channel();
        thread::Builder::new().name("pacer".to_owned()).spawn_scoped(scope, move || pace(start, arrivals, &sender))?;
        runtime.block_on(async {
            let mut open: HashMap<usize, UnboundedSender<Due>> = HashMap::new();
            let mut connections = JoinSet::new();
            while let Some(arrival) = due.recv().await {
                let at = start + Duration::from_nanos(arrival.due_ns);
                let request = Due { arrival, at, late_ns: at.elapsed().as_nanos() as u64 };
                let connection = open.entry(arrival.connection).or_insert_with(|| {
                    let (sender, requests) = mpsc::unbounded_channel();
                    connections.spawn(serve(addr, requests));
                    sender
                });
                // A connection takes requests until it is closed below.
                let _ = connection.send(request);
                if arrival.is_last {
                    open.remove(&arrival.connection);
                }
            }
            Ok(connections.join_all().await.into_iter().flatten().collect())
        })
    })
}

/// Hands out each arrival once it is due. The runtime's own timer counts whole milliseconds, too coarse for requests of
/// five; so a thread sleeps.
fn pace(start: Instant, arrivals: &[Arrival], due: &UnboundedSender<Arrival>) {
    for arrival in arrivals {
        let moment = start + Duration::from_nanos(arrival.due_ns);
        thread::sleep(moment.saturating_duration_since(now()));
        if due.send(*arrival).is_err() {
            return;
        }
    }
}

/// One connection's requests, one after the other; after a failure on a new connection.
async fn serve(addr: SocketAddr, mut requests: UnboundedReceiver<Due>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut stream = None;
    while let Some(Due { arrival, at, late_ns }) = requests.recv().await {
        let answered = time::timeout_at((at + TIMEOUT).into(), exchange(stream.take(), addr, &arrival)).await;
        let latency_ns = matches!(answered, Ok(Ok(Some(_)))).then(|| at.elapsed().as_nanos() as u64);
        stream = answered.ok().and_then(Result::ok).flatten();
        outcomes.push(Outcome { counts: arrival.counts, late_ns, latency_ns });
    }
    outcomes
}

/// The connection, if the answer was one. By hand, and without a client of HTTP: what this takes counts as latency.
async fn exchange(open: Option<TcpStream>, addr: SocketAddr, arrival: &Arrival) -> io::Result<Option<TcpStream>> {
    let mut stream = match open {
        Some(stream) => stream,
        None => TcpStream::connect(addr).await?,
    };
    stream.write_all(wire::request(arrival.work_us, arrival.is_last).as_bytes()).await?;
    let mut heard = Vec::with_capacity(256);
    while wire::came(&heard) == Came::Part && heard.len() < wire::HEAD_MAX {
        if stream.read_buf(&mut heard).await? == 0 {
            break;
        }
    }
    Ok((wire::came(&heard) == Came::Answer).then_some(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event_worker, worker};

    fn arrival(work_us: u64, connection: usize, is_last: bool) -> Arrival {
        Arrival { due_ns: 1_000_000, work_us, counts: true, connection, is_last }
    }

    #[test]
    fn latency_counts_from_when_the_request_was_due() {
        // Five of 5 ms due at once at one worker: the last has waited for the four before it.
        for kept in [false, true] {
            let listener = worker::listen(0, false).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::spawn(move || {
                let work = &mut worker::Work::new(1.0, 0);
                if kept { event_worker::serve(&listener, work) } else { worker::serve(&listener, work) }
            });
            let arrivals: Vec<_> =
                (0..5).map(|at| arrival(5_000, if kept { 0 } else { at }, !kept || at == 4)).collect();
            let outcomes = run(addr, &arrivals).unwrap();
            let worst = outcomes.iter().map(|outcome| outcome.latency_ns.unwrap()).max().unwrap();
            assert!(outcomes.len() == 5 && worst >= 25_000_000, "{outcomes:?}");
        }
    }

    #[test]
    fn who_hangs_up_has_not_answered() {
        let listener = worker::listen(0, false).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || while listener.accept().is_ok() {});
        let outcomes = run(addr, &[arrival(0, 0, false), arrival(0, 0, true)]).unwrap();
        assert_eq!(outcomes.iter().map(|outcome| outcome.latency_ns).collect::<Vec<_>>(), [None, None]);
    }
}
