//! What a worker says of itself, and what it hears.

use std::{
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    Disconnected, Error, Request, channel,
    link::{Link, now},
};

/// The worker's link to llb. A copy costs nothing; without llb it says nothing and hears nothing.
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
pub struct Reporter(Option<&'static Link>);

impl Reporter {
    /// The link of this process, the same however often it is asked for. It takes a thread, which sleeps unless llb speaks.
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
        static LINK: Mutex<Option<Reporter>> = Mutex::new(None);
        let mut link = LINK.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reporter) = *link {
            return Ok(reporter);
        }
        let reporter = match channel::from_env()? {
            Some(channel) => Self::over(channel)?,
            None => Reporter(None),
        };
        *link = Some(reporter);
        Ok(reporter)
    }

    /// A link over this channel, for as long as the process lives. For a worker whose channel is not named by `LLB_FD`, and for
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
        let commands = channel.try_clone().map_err(Error::Thread)?;
        let link: &'static Link = Box::leak(Box::new(Link::over(channel)));
        thread::Builder::new()
            .name("llb".to_owned())
            .spawn(move || channel::listen(commands, |command| link.on_command(command)))
            .map_err(Error::Thread)?;
        Ok(Reporter(Some(link)))
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
        Request::begin(self.0)
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
        if let Some(link) = self.0 {
            link.latency(now(), latency);
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
        if let Some(link) = self.0 {
            link.disconnect.call(callback);
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
        Disconnected::new(self.0.map(|link| &link.disconnect))
    }

    /// Has pings answered by [`pong`](Self::pong) elsewhere: as long as `pass_on` says that it took them.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a runtime's probe is the one who does"))]
    pub(super) fn pass_pings_on(&self, pass_on: impl Fn(u64) -> bool + Send + 'static) {
        if let Some(link) = self.0 {
            link.pass_pings_on(pass_on);
        }
    }

    /// Answers a ping, with how late the event loop is.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a runtime's probe is the one who does"))]
    pub(super) fn pong(&self, id: u64, lag: Duration) {
        if let Some(link) = self.0 {
            link.pong(&format!("{{\"cmd\":\"pong\",\"id\":{id},\"lag_us\":{}}}\n", lag.as_micros()));
        }
    }

    fn say(&self, line: &'static str) -> Result<(), Error> {
        let said = self.0.map_or(Ok(()), |to| channel::say(&to.channel, line.as_bytes()));
        said.map_err(|source| Error::Say { line: line.trim_end(), source })
    }
}

#[cfg(test)]
mod tests;
