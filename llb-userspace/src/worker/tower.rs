//! A layer for tower's services, and so for axum, hyper and tonic: it reports how long each request takes.
//!
//! ```
//! use std::{convert::Infallible, future::{Ready, ready}, task::{Context, Poll}};
//! use llb::worker::{Reporter, tower::{ReportLayer, Reported, ReportedFuture}};
//! use tower_layer::Layer;
//! use tower_service::Service;
//!
//! struct Double;
//!
//! impl Service<u32> for Double {
//!     type Response = u32;
//!     type Error = Infallible;
//!     type Future = Ready<Result<u32, Infallible>>;
//!
//!     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, request: u32) -> Self::Future {
//!         ready(Ok(2 * request))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service: Reported<Double> = ReportLayer::new(Reporter::from_env()?).layer(Double);
//! let response: ReportedFuture<_> = service.call(21);
//! assert_eq!(response.await?, 42);
//! # Ok(())
//! # }
//! ```

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Reporter, Request};

/// Reports each request of a service, from the call to the response; the response's body does not count.
///
/// A request that fails, or is given up, is not reported: a worker that fails fast is not a fast one. That is one whose service
/// returns an error; an answer with the status 500 is an answer.
///
/// ```
/// use axum::{Router, routing::get};
/// use llb::worker::{Reporter, tower::ReportLayer};
///
/// # fn main() -> Result<(), llb::worker::Error> {
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(ReportLayer::new(Reporter::from_env()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReportLayer(Reporter);

impl ReportLayer {
    /// Reports on this line; without llb it costs nothing, and reports nothing.
    ///
    /// ```
    /// use llb::worker::{Reporter, tower::ReportLayer};
    ///
    /// # fn main() -> Result<(), llb::worker::Error> {
    /// let layer = ReportLayer::new(Reporter::from_env()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(reporter: Reporter) -> Self {
        ReportLayer(reporter)
    }
}

impl<S> Layer<S> for ReportLayer {
    type Service = Reported<S>;

    fn layer(&self, inner: S) -> Reported<S> {
        Reported { inner, reporter: self.0 }
    }
}

/// A service whose requests are reported; made by [`ReportLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Reported<S> {
    inner: S,
    reporter: Reporter,
}

impl<R, S: Service<R>> Service<R> for Reported<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReportedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let begun = Begun(Some(self.reporter.request()));
        ReportedFuture { inner: self.inner.call(request), begun }
    }
}

pin_project! {
    /// The answer of a [`Reported`] service.
    #[derive(Debug)]
    pub struct ReportedFuture<F> {
        #[pin]
        inner: F,
        begun: Begun,
    }
}

/// Reports nothing unless it is told to.
#[derive(Debug)]
struct Begun(Option<Request>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(request) = self.0.take() {
            request.cancel();
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for ReportedFuture<F> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.project();
        let result = ready!(this.inner.poll(context));
        if result.is_ok() {
            drop(this.begun.0.take());
        }
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, pending, ready},
        io::Read,
        os::unix::net::UnixStream,
        pin::pin,
        task::Waker,
    };

    use super::*;

    struct Echo;

    impl Service<Result<u8, u8>> for Echo {
        type Response = u8;
        type Error = u8;
        type Future = Ready<Result<u8, u8>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), u8>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Result<u8, u8>) -> Self::Future {
            ready(request)
        }
    }

    #[test]
    fn answers_are_reported_and_failures_and_those_given_up_are_not() {
        let (mut llbs, workers) = UnixStream::pair().unwrap();
        llbs.set_nonblocking(true).unwrap();
        let reporter = Reporter::over(workers).unwrap();
        let mut service = ReportLayer::new(reporter).layer(Echo);
        let mut context = Context::from_waker(Waker::noop());
        let mut said = [0; 256];

        let given_up = ReportedFuture { inner: pending::<Result<(), ()>>(), begun: Begun(Some(reporter.request())) };
        assert!(pin!(given_up).poll(&mut context).is_pending());
        assert_eq!(pin!(service.call(Err(7))).poll(&mut context), Poll::Ready(Err(7)));
        assert!(llbs.read(&mut said).is_err(), "nothing is said");

        assert_eq!(pin!(service.call(Ok(7))).poll(&mut context), Poll::Ready(Ok(7)));
        let length = llbs.read(&mut said).expect("the first is said at once");
        assert!(said[..length].ends_with(b",\"n\":1}\n"));
    }
}
