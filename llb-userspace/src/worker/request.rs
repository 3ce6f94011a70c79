//! One request of a worker's.

use std::time::Instant;

use super::line::{Line, now};

/// A request that has begun; made by [`Reporter::request`](super::Reporter::request). When it is dropped, how long it took is reported.
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
    #[inline]
    pub(super) fn begin(line: Option<&'static Line>) -> Self {
        let begun = line.and_then(|line| line.batch.times_next().then(now));
        Request { line, begun }
    }

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
