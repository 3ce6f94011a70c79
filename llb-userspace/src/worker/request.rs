//! One request of a worker's.

use std::time::Instant;

use super::link::{Link, now};

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
    link: Option<&'static Link>,
    /// None of one that is only counted.
    begun: Option<Instant>,
}

impl Request {
    #[inline]
    pub(super) fn begin(link: Option<&'static Link>) -> Self {
        let begun = link.and_then(|link| link.batch.times_next().then(now));
        Request { link, begun }
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
        self.link = None;
    }
}

impl Drop for Request {
    #[inline]
    fn drop(&mut self) {
        match (self.link, self.begun) {
            (Some(link), Some(begun)) => {
                let now = now();
                link.latency(now, now.duration_since(begun));
            }
            (Some(link), None) => link.batch.count(),
            (None, _) => {}
        }
    }
}
