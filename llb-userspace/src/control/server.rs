//! Answers requests at the control socket, of those that may ask.

use std::{
    cell::Cell,
    collections::VecDeque,
    convert::Infallible,
    fs,
    future::pending,
    io,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{UnixListener, UnixStream, unix::ReadHalf},
    task::{AbortHandle, spawn_local},
    time::sleep,
};

use super::{AnswerWriter, Failed, Request, SOCKET};

/// A request is a short line; more than this is garbage.
const MAX_REQUEST_BYTES: u64 = 4096;

/// Connections that are open at once, far below the 1024 files that llb may have open. For one more the oldest makes
/// way that waits for no answer: one that only holds its connection may lose it, and one that follows events or waits for
/// a reload keeps it. If all are being answered, the oldest of those goes.
pub(super) const MAX_ASKERS: usize = 256;

/// Before the next attempt when accepting fails, as without a free descriptor.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the control socket could not be opened. It names the socket; its source is the system's word.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the control socket {}", path.display())]
pub struct ServerError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// One that has connected.
struct Asker {
    task: AbortHandle,
    /// Whether an answer is on its way to it.
    is_answered: Rc<Cell<bool>>,
}

/// The control socket of one master; removed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Opens the socket in the fleet's own directory, whose lock the caller holds: what lies there is a leftover.
    ///
    /// # Errors
    /// [`ServerError`].
    pub(crate) fn open(directory: &Path) -> Result<Self, ServerError> {
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
    pub(crate) async fn run(
        self,
        answer: impl AsyncFn(Request, &mut AnswerWriter<'_>) -> io::Result<()> + Clone + 'static,
    ) -> Infallible {
        let mut open: VecDeque<Asker> = VecDeque::new();
        loop {
            let stream = match self.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            open.retain(|asker| !asker.task.is_finished());
            if open.len() == MAX_ASKERS {
                let oldest_idle = open.iter().position(|asker| !asker.is_answered.get());
                if let Some(asker) = open.remove(oldest_idle.unwrap_or(0)) {
                    asker.task.abort();
                }
            }
            let (answer, is_answered) = (answer.clone(), Rc::new(Cell::new(false)));
            let answering = is_answered.clone();
            // One that hangs up in the middle has only itself to blame.
            let task = spawn_local(async move { drop(serve(stream, answer, &answering).await) });
            open.push_back(Asker { task: task.abort_handle(), is_answered });
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

/// Reads requests and has them answered, until the other side has had enough.
async fn serve(
    mut stream: UnixStream,
    answer: impl AsyncFn(Request, &mut AnswerWriter<'_>) -> io::Result<()>,
    is_answered: &Cell<bool>,
) -> io::Result<()> {
    let (read, write) = stream.split();
    let (mut read, mut lines) = (BufReader::new(read), AnswerWriter::new(write));
    loop {
        is_answered.set(false);
        let mut line = String::new();
        if (&mut read).take(MAX_REQUEST_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        is_answered.set(true);
        if line.len() as u64 == MAX_REQUEST_BYTES && !line.ends_with('\n') {
            // What follows is the rest of this line, and no request.
            return lines.write(&Failed::not_understood(format!("a request of over {MAX_REQUEST_BYTES} bytes"))).await;
        }
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                tokio::select! {
                    answered = answer(request, &mut lines) => answered?,
                    () = hung_up(&mut read) => return Ok(()),
                }
                if request.is_last() {
                    return Ok(());
                }
            }
            Err(error) => lines.write(&Failed::not_understood(error.to_string())).await?,
        }
    }
}

/// Done when the other side has closed the connection, also while nothing is said to it. One that says more meanwhile
/// waits for its turn; one that has only ended what it says still listens.
async fn hung_up(read: &mut BufReader<ReadHalf<'_>>) {
    let is_over = match read.fill_buf().await {
        Ok([]) => {
            let stream: &UnixStream = read.get_ref().as_ref();
            // Asked for nothing, poll(2) reports a connection that is closed both ways.
            let mut polled = [PollFd::new(stream.as_fd(), PollFlags::empty())];
            poll(&mut polled, PollTimeout::ZERO).is_ok_and(|found| found > 0)
        }
        Ok(_) => false,
        Err(_) => true,
    };
    if !is_over {
        pending().await
    }
}
