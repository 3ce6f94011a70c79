//! What a worker says of itself, and what it hears.

use std::{
    fmt,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    Disconnected, Error,
    batch::{Batch, Summary},
    channel::{self, Heard},
    disconnect::Disconnect,
};

/// The worker's line to llb. A copy costs nothing; without llb it says nothing and hears nothing.
///
/// Whatever it says, it never waits: what llb does not read is dropped.
///
/// ```
/// use llb::worker::Reporter;
///
/// # fn main() -> Result<(), llb::worker::Error> {
/// let reporter = Reporter::from_env()?;
/// reporter.ready()?;
/// let answer = reporter.time(|| "hello");
/// # assert_eq!(answer, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reporter(Option<&'static Line>);

/// There is one in a process, and it lasts as long.
#[derive(Debug)]
struct Line {
    channel: UnixStream,
    /// What the clock is read against.
    begun: Instant,
    batch: Batch,
    disconnect: Disconnect,
    pings: Mutex<Option<PassOn>>,
}

/// Who answers pings in place of the thread that hears them; returns whether it does.
struct PassOn(Box<dyn Fn(u64) -> bool + Send>);

impl Reporter {
    /// The line of this process, the same however often it is asked for. It takes a thread, which sleeps unless llb speaks.
    ///
    /// # Errors
    /// [`Error::Variable`] or [`Error::Channel`] if what `LLB_FD` names is not llb's channel; [`Error::Thread`] if the process may
    /// have no more files or threads. Without that variable there is no llb, which is no error.
    ///
    /// ```
    /// use llb::worker::{Error, Reporter};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let reporter = Reporter::from_env()?;
    /// assert!(!reporter.is_under_llb(), "LLB_FD is not set");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_env() -> Result<Self, Error> {
        static LINE: Mutex<Option<Reporter>> = Mutex::new(None);
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reporter) = *line {
            return Ok(reporter);
        }
        let reporter = match channel::from_env()? {
            Some(channel) => Self::over(channel)?,
            None => Reporter(None),
        };
        *line = Some(reporter);
        Ok(reporter)
    }

    /// A line over this channel, for as long as the process lives. For a worker whose channel is not named by `LLB_FD`, and for
    /// tests: the other end is llb's.
    ///
    /// # Errors
    /// [`Error::Thread`] if the process may have no more files or threads.
    ///
    /// ```
    /// use std::{io::{BufRead, BufReader}, os::unix::net::UnixStream};
    /// use llb::worker::Reporter;
    ///
    /// let (llbs, ours) = UnixStream::pair()?;
    /// let reporter = Reporter::over(ours)?;
    /// reporter.ready()?;
    /// let mut said = String::new();
    /// BufReader::new(llbs).read_line(&mut said)?;
    /// assert_eq!(said, "{\"cmd\":\"ready\"}\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over(channel: UnixStream) -> Result<Self, Error> {
        let hears = channel.try_clone().map_err(Error::Thread)?;
        let line: &'static Line = Box::leak(Box::new(Line {
            channel,
            begun: now(),
            batch: Batch::default(),
            disconnect: Disconnect::default(),
            pings: Mutex::new(None),
        }));
        thread::Builder::new()
            .name("llb".to_owned())
            .spawn(move || channel::hear(hears, |heard| line.heard(heard)))
            .map_err(Error::Thread)?;
        Ok(Reporter(Some(line)))
    }

    /// Whether there is an llb, or was when the process began: it may have died since.
    ///
    /// ```
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// let reporter = llb::worker::Reporter::from_env()?;
    /// if !reporter.is_under_llb() {
    ///     eprintln!("llb did not start this worker: nobody replaces it");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_under_llb(&self) -> bool {
        self.0.is_some()
    }

    /// This worker can take connections. [`listen`](super::listen()) says it too; twice does no harm. Under `--ready-when ready`
    /// llb gives it none before.
    ///
    /// # Errors
    /// [`Error::Say`] if llb has ended, or does not read. A worker may well serve on: then llb goes by what the kernel sees.
    ///
    /// ```
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// # let warm_up = || {};
    /// let reporter = llb::worker::Reporter::from_env()?;
    /// let listener = llb::worker::bind("127.0.0.1:0")?;
    /// warm_up();
    /// reporter.ready()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ready(&self) -> Result<(), Error> {
        self.say("{\"cmd\":\"ready\"}\n")
    }

    /// Replace me. A successor is started, and when that is ready this worker is told to finish up. Until then it gets
    /// connections as before.
    ///
    /// # Errors
    /// [`Error::Say`] if llb has ended, or does not read: then nobody replaces this worker, and it should serve on.
    ///
    /// ```
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// # let (used, most) = (0, 1);
    /// let reporter = llb::worker::Reporter::from_env()?;
    /// if used > most {
    ///     reporter.disconnect()?;
    /// }
    /// # reporter.disconnect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn disconnect(&self) -> Result<(), Error> {
        self.say("{\"cmd\":\"disconnect\"}\n")
    }

    /// A request begins. It ends when the returned guard is dropped, and how long it took is reported. Never fails, and never waits.
    ///
    /// ```
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// let reporter = llb::worker::Reporter::from_env()?;
    /// {
    ///     let _request = reporter.request();
    ///     // Answer here.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn request(&self) -> Request {
        let begun = self.0.and_then(|line| line.batch.times_next().then(now));
        Request { line: self.0, begun }
    }

    /// Reports how long `answer` takes, and returns what it returns. If it panics that is reported as well.
    ///
    /// ```
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// let reporter = llb::worker::Reporter::from_env()?;
    /// assert_eq!(reporter.time(|| 6 * 7), 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn time<T>(&self, answer: impl FnOnce() -> T) -> T {
        let _request = self.request();
        answer()
    }

    /// A request took so long, as the worker has measured it itself: llb reads it as microseconds with fractions, and takes more
    /// than an hour for a fault. It counts with those that [`request`](Self::request) times: llb is told the middle one of them,
    /// and how many they are.
    ///
    /// ```
    /// use std::{io::{BufRead, BufReader}, os::unix::net::UnixStream, time::Duration};
    /// use llb::worker::Reporter;
    ///
    /// let (llbs, ours) = UnixStream::pair()?;
    /// let reporter = Reporter::over(ours)?;
    /// reporter.latency(Duration::from_millis(5));
    /// // The first is said at once; later ones together, five to ten times a second.
    /// let mut said = String::new();
    /// BufReader::new(llbs).read_line(&mut said)?;
    /// assert_eq!(said, "{\"cmd\":\"latency\",\"us\":5000,\"n\":1}\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn latency(&self, latency: Duration) {
        if let Some(line) = self.0 {
            line.latency(now(), latency);
        }
    }

    /// Calls `callback` when llb says that this worker is to finish up: no connection is given to it any more, and SIGTERM
    /// follows when it holds none. At once, if llb has said so; never, without llb. It is called from a thread of the
    /// reporter's, in which pings are answered, so it should not take long.
    ///
    /// Close the listener then, after a moment, and nothing else: a framework's graceful shutdown may close connections whose first
    /// request has not come yet.
    ///
    /// ```
    /// use std::{io::Write, os::unix::net::UnixStream, sync::mpsc};
    /// use llb::worker::Reporter;
    ///
    /// let (mut llbs, ours) = UnixStream::pair()?;
    /// let reporter = Reporter::over(ours)?;
    /// let (finish, finished) = mpsc::channel();
    /// reporter.on_disconnect(move || finish.send(()).expect("somebody waits"));
    /// llbs.write_all(b"{\"cmd\":\"disconnect\"}\n")?;
    /// finished.recv()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_disconnect(&self, callback: impl FnOnce() + Send + 'static) {
        if let Some(line) = self.0 {
            line.disconnect.call(callback);
        }
    }

    /// A future that ends when [`on_disconnect`](Self::on_disconnect) would call. Any runtime can wait for it, as often as it likes.
    ///
    /// ```
    /// # fn block_on(future: impl Future<Output = ()>) {
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     let mut future = std::pin::pin!(future);
    /// #     while future.as_mut().poll(&mut context).is_pending() {}
    /// # }
    /// use std::{io::Write, os::unix::net::UnixStream};
    /// use llb::worker::{Disconnected, Reporter};
    ///
    /// let (mut llbs, ours) = UnixStream::pair()?;
    /// let reporter = Reporter::over(ours)?;
    /// let disconnected: Disconnected = reporter.disconnected();
    /// llbs.write_all(b"{\"cmd\":\"disconnect\"}\n")?;
    /// block_on(disconnected);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn disconnected(&self) -> Disconnected {
        Disconnected::new(self.0.map(|line| &line.disconnect))
    }

    /// Has pings answered by [`pong`](Self::pong) elsewhere: as long as `pass_on` says that it took them.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a runtime's probe is the one who does"))]
    pub(super) fn pass_pings_on(&self, pass_on: impl Fn(u64) -> bool + Send + 'static) {
        if let Some(line) = self.0 {
            *line.pings.lock().unwrap_or_else(PoisonError::into_inner) = Some(PassOn(Box::new(pass_on)));
        }
    }

    /// Answers a ping, with how late the event loop is.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a runtime's probe is the one who does"))]
    pub(super) fn pong(&self, id: u64, lag: Duration) {
        if let Some(line) = self.0 {
            line.pong(&format!("{{\"cmd\":\"pong\",\"id\":{id},\"lag_us\":{}}}\n", lag.as_micros()));
        }
    }

    fn say(&self, line: &'static str) -> Result<(), Error> {
        let said = self.0.map_or(Ok(()), |to| channel::say(&to.channel, line.as_bytes()));
        said.map_err(|source| Error::Say { line: line.trim_end(), source })
    }
}

impl Line {
    fn heard(&self, heard: Heard) {
        match heard {
            Heard::Ping { id } => {
                let pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
                if !pings.as_ref().is_some_and(|PassOn(pass_on)| pass_on(id)) {
                    self.pong(&format!("{{\"cmd\":\"pong\",\"id\":{id}}}\n"));
                }
            }
            Heard::Disconnect => self.disconnect.said(),
        }
    }

    #[inline]
    fn latency(&self, now: Instant, latency: Duration) {
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(summary) = self.batch.add(self.ns(now), latency_ns) {
            self.report(&summary);
        }
    }

    /// Answers a ping; what there is to say of requests goes with it, so that llb wakes up once for both.
    fn pong(&self, pong: &str) {
        let mut lines = self.batch.rest(self.ns(now())).as_ref().map(text).unwrap_or_default();
        lines += pong;
        // llb pings again if it misses the answer.
        let _ = channel::say(&self.channel, lines.as_bytes());
    }

    #[cold]
    fn report(&self, summary: &Summary) {
        // Dropped when llb does not read; there will be others.
        let _ = channel::say(&self.channel, text(summary).as_bytes());
    }

    fn ns(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn text(Summary { median_ns, requests }: &Summary) -> String {
    format!("{{\"cmd\":\"latency\",\"us\":{},\"n\":{requests}}}\n", *median_ns as f64 / 1e3)
}

impl fmt::Debug for PassOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassOn")
    }
}

/// A request that has begun; made by [`Reporter::request`]. When it is dropped, how long it took is reported.
///
/// It may be sent to another thread, and be dropped there.
///
/// ```
/// # fn main() -> Result<(), llb::worker::Error> {
/// use llb::worker::{Reporter, Request};
///
/// let request: Request = Reporter::from_env()?.request();
/// std::thread::spawn(move || drop(request)).join().expect("no panic");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the request ends when this is dropped"]
pub struct Request {
    line: Option<&'static Line>,
    /// None of one that is only counted.
    begun: Option<Instant>,
}

impl Request {
    /// Reports nothing of it: of one that failed, or that its client gave up, the time says nothing about the next.
    ///
    /// ```
    /// # fn answer() -> Result<(), std::io::Error> { Err(std::io::ErrorKind::BrokenPipe.into()) }
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// use llb::worker::{Reporter, Request};
    ///
    /// let request: Request = Reporter::from_env()?.request();
    /// match answer() {
    ///     Ok(()) => drop(request),
    ///     Err(_) => request.cancel(),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(mut self) {
        self.line = None;
    }
}

impl Drop for Request {
    #[inline]
    fn drop(&mut self) {
        match (self.line, self.begun) {
            (Some(line), Some(begun)) => {
                let now = now();
                line.latency(now, now.duration_since(begun));
            }
            (Some(line), None) => line.batch.count(),
            (None, _) => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a worker's requests take is what it reports; llb decides by it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        sync::mpsc,
    };

    use serde_json::{Value, json};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Llb(BufReader<UnixStream>);

    impl Llb {
        fn of() -> (Self, Reporter) {
            let (llbs, workers) = UnixStream::pair().unwrap();
            llbs.set_read_timeout(Some(PATIENCE)).unwrap();
            (Llb(BufReader::new(llbs)), Reporter::over(workers).unwrap())
        }

        fn hears(&mut self) -> Value {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line");
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
        }

        fn says(&mut self, message: &Value) {
            writeln!(self.0.get_mut(), "{message}").unwrap();
        }
    }

    #[test]
    fn requests_are_reported_with_their_count_and_a_cancelled_one_is_not() {
        let (mut llb, reporter) = Llb::of();
        reporter.latency(Duration::from_millis(5));
        assert_eq!(llb.hears(), json!({"cmd": "latency", "us": 5000, "n": 1}));
        reporter.request().cancel();
        assert_eq!(reporter.time(|| 7), 7);
        drop(reporter.request());
        // What is left is said with the answer to a ping, unless the machine was so slow that it was said before.
        llb.says(&json!({"cmd": "ping", "id": 7}));
        let mut requests = 0;
        loop {
            let heard = llb.hears();
            requests += heard["n"].as_u64().unwrap_or(0);
            if heard["cmd"] == "pong" {
                break;
            }
        }
        assert_eq!(requests, 2);
    }

    #[test]
    fn both_words_are_said_and_llbs_own_are_heard() {
        let (mut llb, reporter) = Llb::of();
        reporter.ready().unwrap();
        reporter.disconnect().unwrap();
        assert_eq!((llb.hears(), llb.hears()), (json!({"cmd": "ready"}), json!({"cmd": "disconnect"})));
        let (told, hears) = mpsc::channel();
        reporter.on_disconnect(move || told.send(()).unwrap());
        llb.says(&json!({"cmd": "ping", "id": 9}));
        assert_eq!(llb.hears(), json!({"cmd": "pong", "id": 9}));
        assert!(hears.try_recv().is_err());
        llb.says(&json!({"cmd": "disconnect"}));
        hears.recv_timeout(PATIENCE).expect("it is called");
    }

    #[test]
    fn a_worker_outlives_llb_and_is_told_that_it_is_gone() {
        let (llb, reporter) = Llb::of();
        drop(llb);
        reporter.latency(Duration::from_millis(5));
        let error = reporter.ready().unwrap_err();
        assert_eq!(error.to_string(), "cannot tell llb {\"cmd\":\"ready\"}");
    }

    #[test]
    fn without_llb_nothing_is_said_and_nothing_fails() {
        let reporter = Reporter(None);
        assert!(!reporter.is_under_llb());
        reporter.ready().unwrap();
        reporter.disconnect().unwrap();
        assert_eq!(reporter.time(|| 7), 7);
        reporter.latency(Duration::MAX);
        reporter.on_disconnect(|| unreachable!());
    }
}
