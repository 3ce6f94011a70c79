//! The load: open-loop, so a request is sent when it is due and its latency counts from then, whether or not those before
//! it have been answered. A closed loop would send less to a slow worker and so hide the very waiting it causes.
//!
//! The benchmark's load generator (`xtask/bench`) is another one: this is part of the binary, which depends on no chore.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{self as aio, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    arrivals::{Arrival, Work},
    pacer, wire,
};
use llb::model::Slot;

/// How long after it was due a request is given up: few people wait longer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked, and how an answer's head is read.
#[derive(Clone)]
pub(crate) struct Talk {
    request: Arc<dyn Fn(Work) -> String + Send + Sync>,
    read: fn(&[u8]) -> Result<Slot, Failure>,
}

impl Talk {
    pub(crate) fn new(
        request: impl Fn(Work) -> String + Send + Sync + 'static,
        read: fn(&[u8]) -> Result<Slot, Failure>,
    ) -> Self {
        Talk { request: Arc::new(request), read }
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) work: Work,
    /// How long after it was due the request was begun, ns: the load generator's own fault.
    pub(crate) late_ns: u64,
    /// From the moment the request was due to its answer's head or its failure, ns.
    pub(crate) latency_ns: u64,
    /// Who answered.
    pub(crate) answer: Result<Slot, Failure>,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens.
    #[error("refused")]
    Refused,
    /// The worker closed or reset the connection before it had answered.
    #[error("reset")]
    Reset,
    /// No answer within the time that the load waits.
    #[error("timed out")]
    TimedOut,
    /// The answer was not a demo worker's, or not HTTP.
    #[error("not understood")]
    NotUnderstood,
    /// The server answers that it fails.
    #[error("answered with an error")]
    Error,
    /// The connection failed in another way.
    #[error("failed: {0}")]
    Broken(io::ErrorKind),
}

/// Sends every request of `arrivals` to `addr` on a connection of its own, and waits until each has its outcome. They come
/// in the order in which they ended.
///
/// # Errors
/// If the kernel grants no thread. What befalls a request is an outcome.
pub(crate) async fn run(addr: SocketAddr, arrivals: Vec<Arrival>, talk: Talk) -> io::Result<Vec<Outcome>> {
    let start = Instant::now();
    let mut due = pacer::pace(start, arrivals)?;
    let mut requests = JoinSet::new();
    while let Some(Arrival { due_ns, work }) = due.recv().await {
        let (talk, due) = (talk.clone(), start + Duration::from_nanos(due_ns));
        requests.spawn(async move { ask(addr, &talk, work, due, TIMEOUT).await });
    }
    Ok(requests.join_all().await)
}

/// One request that is due now.
pub(crate) async fn ask_now(addr: SocketAddr, talk: &Talk) -> Outcome {
    ask(addr, talk, Work::Short, Instant::now(), TIMEOUT).await
}

async fn ask(addr: SocketAddr, talk: &Talk, work: Work, due: Instant, timeout: Duration) -> Outcome {
    let late_ns = ns_since(due);
    let answered = match time::timeout_at(due + timeout, exchange(addr, talk, work)).await {
        Ok(answered) => answered,
        Err(_) => Err(Failure::TimedOut),
    };
    let latency_ns = ns_since(due);
    let answer = match answered {
        Ok((slot, mut stream)) => {
            // A server whose client goes in the midst of an answer may take that for a failure.
            let _ = time::timeout_at(due + timeout, aio::copy(&mut stream, &mut aio::sink())).await;
            Ok(slot)
        }
        Err(failure) => Err(failure),
    };
    Outcome { work, late_ns, latency_ns, answer }
}

async fn exchange(addr: SocketAddr, talk: &Talk, work: Work) -> Result<(Slot, TcpStream), Failure> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all((talk.request)(work).as_bytes()).await?;
    let mut head = Vec::with_capacity(256);
    while !wire::head_is_whole(&head) {
        if head.len() >= wire::HEAD_MAX {
            return Err(Failure::NotUnderstood);
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(Failure::Reset);
        }
    }
    Ok(((talk.read)(&head)?, stream))
}

fn ns_since(due: Instant) -> u64 {
    u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::Reset,
            kind => Failure::Broken(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use super::*;

    fn one() -> Vec<Arrival> {
        vec![Arrival { due_ns: 1_000_000, work: Work::Short }]
    }

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    /// The outcome of one request to a server that reads it, says `bytes` and closes.
    async fn ask_one_that_says(bytes: &'static [u8]) -> Result<Slot, Failure> {
        let (listener, addr) = listen();
        let server = thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            peer.read_exact(&mut vec![0; wire::request(Work::Short).len()]).unwrap();
            peer.write_all(bytes).unwrap();
        });
        let outcomes = run(addr, one(), wire::talk()).await.unwrap();
        server.join().unwrap();
        outcomes[0].answer
    }

    #[tokio::test]
    async fn each_way_to_fail_has_its_name() {
        assert_eq!(ask_one_that_says(&[b'a'; wire::HEAD_MAX]).await, Err(Failure::NotUnderstood));
        assert_eq!(ask_one_that_says(b"").await, Err(Failure::Reset));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_times_out() {
        let (_listener, addr) = listen();
        let outcome = ask(addr, &wire::talk(), Work::Short, Instant::now(), Duration::from_millis(20)).await;
        assert_eq!(outcome.answer, Err(Failure::TimedOut));
        assert!(outcome.latency_ns >= 20_000_000);
    }

    #[tokio::test]
    async fn latency_counts_from_when_the_request_was_due() {
        // Five of 5 ms due at once at one worker: the last has waited for the four before it.
        let (listener, addr) = listen();
        thread::spawn(move || super::super::worker::serve_on(&listener, Slot(6), false));
        let outcomes = run(addr, vec![Arrival { due_ns: 0, work: Work::Short }; 5], wire::talk()).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.answer == Ok(Slot(6))));
        let worst = outcomes.iter().map(|outcome| outcome.latency_ns).max().unwrap();
        assert!(worst >= 25_000_000, "{worst}");
    }
}
