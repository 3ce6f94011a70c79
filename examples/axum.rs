//! An axum server that reports each request through a tower layer, has its runtime answer pings, and finishes when llb says
//! so. Without llb it is a plain server.
//!
//!     cargo build --example axum
//!     PORT=8080 sudo -E llb run --ready-when ready -- target/debug/examples/axum

use std::{env, error::Error, future::pending, io, net::SocketAddr, pin::Pin, time::Duration};

use axum::{Router, routing::get, serve::Listener};
use llb::worker::{self, Reporter, tower::ReportLayer};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::sleep,
};

/// When llb says that we are to finish it has left us out already: what still waits in the queue is accepted before the
/// listener goes.
const QUEUE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let reporter = Reporter::from_env()?;
    worker::tokio::answer_pings(reporter);
    let listener = worker::tokio::listen(format!("127.0.0.1:{}", env::var("PORT")?))?;
    let finish = Box::pin(async move {
        reporter.disconnected().await;
        sleep(QUEUE).await;
    });
    let app = Router::new().route("/", get(hello)).layer(ReportLayer::new(reporter));
    axum::serve(Until { finish, listener: Some(listener) }, app).await?;
    Ok(())
}

async fn hello() -> String {
    format!("worker {}\n", env::var("WORKER_ID").unwrap_or_default())
}

/// Closes the listener when it is time to. Whoever is connected is answered until SIGTERM, which llb sends when nobody is:
/// axum's own graceful shutdown would close connections on which the first request has not come yet.
struct Until<F> {
    finish: Pin<Box<F>>,
    listener: Option<TcpListener>,
}

impl<F: Future<Output = ()> + Send + 'static> Listener for Until<F> {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            select! {
                accepted = Listener::accept(listener) => return accepted,
                () = &mut self.finish => self.listener = None,
            }
        }
        pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), TcpListener::local_addr)
    }
}
