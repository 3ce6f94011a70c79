//! Answers who may ask.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::{AbortHandle, spawn_local},
    time::sleep,
};

use super::{Refusal, Request, SOCKET};

/// A request is a short line; more than this is garbage.
const MAX_REQUEST_BYTES: u64 = 4096;

/// Connections that are open at once. The oldest makes way for one more: who asks and leaves is never the oldest for
/// long, and one that only holds its connection may lose it. Far below the 1024 files that llb may have open.
const MAX_ASKERS: usize = 256;

/// Before the next attempt when accepting fails, as without a free descriptor.
const BREATH: Duration = Duration::from_secs(1);

/// Why the control socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the control socket {}", path.display())]
pub struct ServerError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The control socket of one master; removed when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Opens the socket in the fleet's own directory, whose lock the caller holds: what lies there is a leftover.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn open(directory: &Path) -> Result<Self, ServerError> {
        let path = directory.join(SOCKET);
        let open = || -> io::Result<UnixListener> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        match open() {
            Ok(listener) => Ok(Server { listener, path }),
            Err(source) => Err(ServerError { path, source }),
        }
    }

    /// Answers whoever may ask, for ever: inside a [`LocalSet`](tokio::task::LocalSet). Nothing that an asker does,
    /// or does not, is in the way of the others.
    pub async fn run(self, answer: impl AsyncFn(Request) -> Option<String> + Clone + 'static) -> Infallible {
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let stream = match self.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    sleep(BREATH).await;
                    continue;
                }
            };
            open.retain(|asker| !asker.is_finished());
            if open.len() == MAX_ASKERS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            let answer = answer.clone();
            // One that hangs up in the middle has only itself to blame.
            let asker = spawn_local(async move { drop(serve(stream, answer).await) });
            open.push_back(asker.abort_handle());
        }
    }

    /// Waits for somebody who may ask: root, or the user that the master runs as.
    async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == 0 || uid == nix::unistd::geteuid().as_raw() {
                return Ok(stream);
            }
            tracing::warn!(uid, "refused on the control socket");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The directory goes with the lock; a socket that is already gone is what was wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads requests and writes what `answer` makes of them, until the other side has had enough.
async fn serve(mut stream: UnixStream, answer: impl AsyncFn(Request) -> Option<String>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut lines).take(MAX_REQUEST_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.len() as u64 == MAX_REQUEST_BYTES && !line.ends_with('\n') {
            // What follows is the rest of this line, and no request.
            let refusal = Refusal { error: format!("a request of over {MAX_REQUEST_BYTES} bytes") };
            write.write_all(serde_json::to_string(&refusal)?.as_bytes()).await?;
            return write.write_all(b"\n").await;
        }
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(request).await.ok_or(io::ErrorKind::BrokenPipe)?,
            Err(error) => serde_json::to_string(&Refusal { error: error.to_string() })?,
        };
        write.write_all(reply.as_bytes()).await?;
        write.write_all(b"\n").await?;
    }
}
