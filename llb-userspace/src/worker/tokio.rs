//! For workers on tokio: a listener, and pings answered by the runtime.

use std::{
    net::ToSocketAddrs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Error, Reporter};

/// How often the runtime is tried: ten times between two pings, for some microseconds of work.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// What a timer of tokio's is late by itself: its wheel and epoll each round up to a millisecond.
const GRAIN: Duration = Duration::from_millis(2);

/// Tries that are kept: those between two pings, and some more.
const KEPT: usize = 16;

/// Listens, as [`super::listen()`] does.
///
/// # Errors
/// As those of [`super::listen()`].
///
/// # Panics
/// Outside of a runtime of tokio's that has its I/O enabled.
///
/// ```
/// # #[::tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = llb::worker::tokio::listen("127.0.0.1:0")?;
/// # let _client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
/// let (connection, client) = listener.accept().await?;
/// # Ok(())
/// # }
/// ```
pub fn listen(address: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    let reporter = Reporter::from_env()?;
    let listener = bind(address)?;
    reporter.ready()?;
    Ok(listener)
}

/// Listens, and tells nobody; see [`super::bind()`].
///
/// # Errors
/// As those of [`super::bind()`].
///
/// # Panics
/// Outside of a runtime of tokio's that has its I/O enabled.
///
/// ```
/// # #[::tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), llb::worker::Error> {
/// let admin = llb::worker::tokio::bind("127.0.0.1:0")?;
/// let public = llb::worker::tokio::listen("127.0.0.1:0")?;
/// # Ok(())
/// # }
/// ```
pub fn bind(address: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    let listener = super::bind(address)?;
    let address = listener.local_addr().map_err(Error::Resolve)?;
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    listener.map_err(|source| Error::Listen { address, source })
}

/// Has the runtime answer llb's pings, until the returned task is aborted or the runtime ends. Without llb there are none, and
/// the task ends at once.
///
/// A [`Reporter`] answers pings from a thread of its own, so that they only say that the process runs. Answered by the
/// runtime they say how soon it turns to something new, and how late it is with its timers. Both are a lower bound of what
/// llb takes a request to cost here, whatever else it knows; a runtime that is blocked does not answer at all, and is passed
/// over. How late it is goes out in microseconds: the middle one of a try every 10 ms, less the 2 ms by which a timer of tokio's
/// may be late by itself.
///
/// # Panics
/// Outside of a runtime of tokio's; one without timers panics at the first try.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use llb::worker::Reporter;
/// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
///
/// # #[::tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (llbs, ours) = UnixStream::pair()?;
/// llb::worker::tokio::answer_pings(Reporter::over(ours)?);
///
/// # llbs.set_nonblocking(true)?;
/// let mut llbs = BufReader::new(tokio::net::UnixStream::from_std(llbs)?);
/// llbs.write_all(b"{\"cmd\":\"ping\",\"id\":7}\n").await?;
/// let mut said = String::new();
/// llbs.read_line(&mut said).await?;
/// assert!(said.starts_with("{\"cmd\":\"pong\",\"id\":7,\"lag_us\":"));
/// # Ok(())
/// # }
/// ```
pub fn answer_pings(reporter: Reporter) -> JoinHandle<()> {
    let (pass_on, mut pings) = mpsc::unbounded_channel();
    reporter.pass_pings_on(move |id| pass_on.send(id).is_ok());
    ::tokio::spawn(async move {
        let lags = Arc::new(Mutex::new(Lags::default()));
        // Aborted when this task ends.
        let mut tries = ::tokio::task::JoinSet::new();
        tries.spawn(watch(lags.clone()));
        while let Some(id) = pings.recv().await {
            let lag = lags.lock().unwrap_or_else(PoisonError::into_inner).take();
            reporter.pong(id, lag);
        }
    })
}

async fn watch(lags: Arc<Mutex<Lags>>) {
    loop {
        let due = now() + TRY_EVERY;
        sleep_until(due).await;
        let late = now().duration_since(due).saturating_sub(GRAIN);
        lags.lock().unwrap_or_else(PoisonError::into_inner).add(late);
    }
}

/// How late the runtime was, since the last ping.
#[derive(Debug, Default)]
struct Lags {
    last: [Duration; KEPT],
    added: usize,
}

impl Lags {
    fn add(&mut self, lag: Duration) {
        self.last[self.added % KEPT] = lag;
        self.added += 1;
    }

    /// The middle one: what is usual. One long pause is said by the ping that it holds up.
    fn take(&mut self) -> Duration {
        let kept = &mut self.last[..self.added.min(KEPT)];
        kept.sort_unstable();
        self.added = 0;
        kept.get(kept.len() / 2).copied().unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "how late a worker's timers are is what it reports; llb decides by it")]
fn now() -> Instant {
    std::time::Instant::now().into()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixStream,
        thread,
    };

    use super::*;

    #[test]
    fn the_middle_of_the_last_lags_is_said_once() {
        let mut lags = Lags::default();
        assert_eq!(lags.take(), Duration::ZERO);
        (0..100).for_each(|ms| lags.add(Duration::from_millis(ms)));
        assert_eq!(lags.take(), Duration::from_millis(92));
        lags.add(Duration::from_millis(3));
        assert_eq!((lags.take(), lags.take()), (Duration::from_millis(3), Duration::ZERO));
    }

    #[test]
    fn pings_wait_for_the_runtime_and_do_not_when_it_is_gone() {
        let (llbs, workers) = UnixStream::pair().unwrap();
        llbs.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let reporter = Reporter::over(workers).unwrap();
        let mut llbs = BufReader::new(llbs);
        let mut ask = move |id: u64| {
            writeln!(llbs.get_mut(), "{{\"cmd\":\"ping\",\"id\":{id}}}").unwrap();
            let mut line = String::new();
            llbs.read_line(&mut line).expect("a pong");
            line
        };

        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            answer_pings(reporter);
            ::tokio::task::yield_now().await;
        });
        // Nobody drives it now, so nobody answers.
        let (said, hears) = std::sync::mpsc::channel();
        let asker = thread::spawn(move || {
            said.send(ask(1)).unwrap();
            ask
        });
        assert!(hears.recv_timeout(Duration::from_millis(100)).is_err(), "the runtime does not turn");
        runtime.block_on(async {
            while !asker.is_finished() {
                ::tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(hears.recv().unwrap().starts_with("{\"cmd\":\"pong\",\"id\":1,\"lag_us\":"));
        drop(runtime);
        let mut ask = asker.join().unwrap();
        assert_eq!(ask(2), "{\"cmd\":\"pong\",\"id\":2}\n");
    }
}
