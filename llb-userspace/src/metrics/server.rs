//! Answers over HTTP/1: one request a connection, and a limited time and number of them, so that nobody who asks, or who only
//! holds a connection, is in the way of the fleet.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Format, Listener};

/// Connections at once: a few scrapers and probes, and some that hang. The next ones wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// How long a request may take to arrive.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may take in all; Prometheus gives up after ten seconds.
const CONNECTION_WITHIN: Duration = Duration::from_secs(15);

/// Before the next attempt when accepting fails, as without a free descriptor.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `/metrics`.
    Metrics(Format),
    /// `/ready`.
    Ready,
    /// `/live`.
    Live,
    /// `/workers`.
    Workers,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether all is well: 200, or else 503.
    pub ok: bool,
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    /// A line of text.
    pub(crate) fn line(ok: bool, text: &str) -> Self {
        Answer { ok, content_type: "text/plain; charset=utf-8", body: format!("{text}\n") }
    }
}

/// Answers whoever asks, for ever, inside a [`LocalSet`](tokio::task::LocalSet); unless the runtime does not take the socket.
/// `/workers` is there if it `scrapes` them.
pub(crate) async fn serve(
    listener: Listener,
    scrapes: bool,
    answer: impl AsyncFn(Question) -> Answer + Clone + 'static,
) -> io::Error {
    let accepting = match Accepting::of(&listener) {
        Ok(accepting) => accepting,
        Err(error) => return error,
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Never closed, so there is a place in the end.
        let Ok(place) = places.clone().acquire_owned().await else { continue };
        let answer = answer.clone();
        match accepting.accept().await {
            Ok(stream) => {
                connections.spawn_local(async move {
                    // A client that hangs up in the middle has only itself to blame.
                    let _ = timeout(CONNECTION_WITHIN, converse(stream, scrapes, answer)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept where metrics are served");
                sleep(PAUSE).await;
            }
        }
    }
}

/// The socket, as the runtime has it.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Accepting {
    fn of(listener: &Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(tcp) => Accepting::Tcp(TcpListener::from_std(tcp.try_clone()?)?),
            Listener::Unix(unix, _) => Accepting::Unix(UnixListener::from_std(unix.try_clone()?)?),
        })
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Accepting::Tcp(tcp) => Box::new(tcp.accept().await?.0),
            Accepting::Unix(unix) => Box::new(unix.accept().await?.0),
        })
    }
}

async fn converse(
    stream: Box<dyn Stream>,
    scrapes: bool,
    answer: impl AsyncFn(Question) -> Answer,
) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    // A connection that is kept would take a place for nothing.
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).keep_alive(false);
    let respond = async |request: Request<Incoming>| Ok::<_, Infallible>(respond(&request, scrapes, &answer).await);
    let service = service_fn(respond);
    http.serve_connection(TokioIo::new(stream), service).await
}

async fn respond<Body>(
    request: &Request<Body>,
    scrapes: bool,
    answer: &impl AsyncFn(Question) -> Answer,
) -> Response<Full<Bytes>> {
    let accepted = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let question = match request.uri().path() {
        "/metrics" => Question::Metrics(Format::accepted(accepted)),
        "/ready" => Question::Ready,
        "/live" => Question::Live,
        "/workers" if scrapes => Question::Workers,
        _ => {
            let workers = if scrapes { "/workers, " } else { "" };
            let paths = Answer::line(false, &format!("/metrics, {workers}/ready and /live are here"));
            return response(StatusCode::NOT_FOUND, paths);
        }
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, Answer::line(false, "GET or HEAD"));
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let answer = answer(question).await;
    response(if answer.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, answer)
}

fn response(status: StatusCode, answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}
