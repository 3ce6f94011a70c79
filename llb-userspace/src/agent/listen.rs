//! Where HAProxy's agent-check connects to: each connection gets one line, and is closed.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::{sleep, timeout},
};

/// Connections at once: a few balancers. The next ones wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// How long one may take to read a line.
const CONNECTION_WITHIN: Duration = Duration::from_secs(2);

/// Before the next attempt when accepting fails, as without a free descriptor.
const PAUSE: Duration = Duration::from_secs(1);

/// Why agent checks cannot be answered. It names the address.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer agent checks at {address} (--agent)")]
pub struct AgentError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Listener(std::net::TcpListener);

impl Listener {
    /// Opens it.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn open(address: SocketAddr) -> Result<Self, AgentError> {
        let open = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        open().map(Listener).map_err(|source| AgentError { address, source })
    }
}

/// Tells `word` to whoever connects, for ever, inside a [`LocalSet`](tokio::task::LocalSet); unless the runtime does not take
/// the socket.
pub(crate) async fn serve(Listener(listener): Listener, word: impl Fn() -> String) -> io::Error {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let places = Rc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there is a place in the end.
        let Ok(place) = places.acquire().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => {
                place.forget();
                let (line, places) = (word() + "\n", places.clone());
                spawn_local(async move {
                    // One that hangs up, or does not read, has only itself to blame.
                    let _ = timeout(CONNECTION_WITHIN, tell(stream, &line)).await;
                    places.add_permits(1);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept agent checks");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Says the line, and reads what the other side may say (`agent-send`): unread it would make the end a reset.
async fn tell(mut stream: TcpStream, line: &str) -> io::Result<()> {
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
