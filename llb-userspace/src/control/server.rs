//! Answers who may ask.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::{Refusal, Request, SOCKET};

/// A request is a short line; more than this is garbage.
const MAX_REQUEST_BYTES: u64 = 4096;

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

    /// Waits for somebody who may ask: root, or the user that the master runs as.
    ///
    /// # Errors
    /// The listener's.
    pub async fn accept(&self) -> io::Result<UnixStream> {
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
///
/// # Errors
/// The connection's.
pub async fn serve<F>(mut stream: UnixStream, answer: impl Fn(Request) -> F) -> io::Result<()>
where
    F: Future<Output = Option<String>>,
{
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut lines).take(MAX_REQUEST_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(request).await.ok_or(io::ErrorKind::BrokenPipe)?,
            Err(error) => serde_json::to_string(&Refusal { error: error.to_string() })?,
        };
        write.write_all(reply.as_bytes()).await?;
        write.write_all(b"\n").await?;
    }
}
