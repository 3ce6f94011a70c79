//! axum on one thread.

use axum::{Router, body::Body, body::Bytes, http::Uri, response::Response};
use servers::{Asked, address, answer, asked, check, parts};
use tokio::signal::unix::{SignalKind, signal};

async fn serve(uri: Uri, _body: Bytes) -> Response {
    match asked(uri.path()) {
        Asked::Stream(number) => Response::new(Body::from_stream(parts::<Bytes>(number))),
        Asked::Wait(time) => {
            tokio::time::sleep(time).await;
            Response::new(Body::from(answer()))
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    check();
    let listener = tokio::net::TcpListener::bind(address()).await.expect("cannot listen");
    let served = axum::serve(listener, Router::new().fallback(serve));
    // What axum's documentation tells a server to do when it is to end; without it SIGTERM ends the process at once.
    if std::env::args().nth(1).as_deref() == Some("graceful") {
        let mut term = signal(SignalKind::terminate()).expect("cannot catch SIGTERM");
        let ended = async move {
            term.recv().await;
        };
        served.with_graceful_shutdown(ended).await.expect("cannot serve");
    } else {
        served.await.expect("cannot serve");
    }
}
