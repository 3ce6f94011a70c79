//! An axum server that reports each request through a tower layer, has its runtime answer pings, and finishes when llb says
//! so. Without llb it is a plain server.
//!
//!     cargo build --example axum
//!     PORT=8080 sudo -E llb run --ready-when ready -- target/debug/examples/axum

use std::{env, error::Error, time::Duration};

use axum::{Router, routing::get};
use llb::worker::{self, Reporter, tower::ReportLayer};
use tokio::time::sleep;

/// When llb says that we are to finish it has left us out already: what still waits in the queue is accepted before the
/// listener goes. SIGTERM comes a second later at the soonest.
const QUEUE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let reporter = Reporter::from_env()?;
    worker::tokio::answer_pings(reporter);
    let app = Router::new().route("/", get(hello)).layer(ReportLayer::new(reporter));
    let listener = worker::tokio::listen(format!("127.0.0.1:{}", env::var("PORT")?))?;
    let finish = async move {
        reporter.disconnected().await;
        sleep(QUEUE).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(finish).await?;
    Ok(())
}

async fn hello() -> String {
    format!("worker {}\n", env::var("WORKER_ID").unwrap_or_default())
}
