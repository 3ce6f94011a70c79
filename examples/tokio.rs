//! A server on tokio that reports each request through a tower layer, lets its runtime answer pings, and finishes when llb
//! says so. Without llb it is a plain server.
//!
//!     cargo build --example tokio
//!     PORT=8080 sudo -E llb run --ready-when ready -- target/debug/examples/tokio

use std::{
    convert::Infallible,
    env,
    error::Error,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use llb::worker::{self, Reporter, tower::ReportLayer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    select,
    task::JoinSet,
    time::sleep,
};
use tower_layer::Layer;
use tower_service::Service;

/// When llb says that we are to finish it has left us out already: what still waits in the queue is accepted before the
/// listener goes. SIGTERM comes a second later at the soonest.
const QUEUE: Duration = Duration::from_millis(100);

/// The service: hyper's, axum's or tonic's would stand here.
#[derive(Clone, Copy)]
struct Hello;

impl Service<String> for Hello {
    type Response = String;
    type Error = Infallible;
    type Future = Ready<Result<String, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _path: String) -> Self::Future {
        ready(Ok(format!("worker {}\n", env::var("WORKER_ID").unwrap_or_default())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let reporter = Reporter::from_env()?;
    worker::tokio::answer_pings(reporter);
    let service = ReportLayer::new(reporter).layer(Hello);
    let listener = worker::tokio::listen(format!("127.0.0.1:{}", env::var("PORT")?))?;

    let mut connections = JoinSet::new();
    let mut finish = pin!(async {
        reporter.disconnected().await;
        sleep(QUEUE).await;
    });
    loop {
        select! {
            accepted = listener.accept() => drop(connections.spawn(serve(accepted?.0, service))),
            Some(_) = connections.join_next() => {}
            () = &mut finish => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// One request of HTTP/1.
async fn serve(mut connection: TcpStream, mut service: impl Service<String, Response = String, Error = Infallible>) {
    let (reader, mut writer) = connection.split();
    let mut lines = BufReader::new(reader).lines();
    let Ok(Some(request)) = lines.next_line().await else { return };
    while lines.next_line().await.is_ok_and(|line| line.is_some_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let Ok(body) = service.call(path).await;
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // The client may have gone.
    let _ = writer.write_all(answer.as_bytes()).await;
}
