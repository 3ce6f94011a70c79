//! Asks a running master.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Refusal, Request, SOCKET};
use crate::observe::status::Status;

/// A master answers within milliseconds; one that has not after this hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a master could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is none.
    #[error("no llb named {name} runs here ({})", path.display())]
    NotRunning {
        /// The fleet's name.
        name: String,
        /// Its control socket.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("the llb named {name} does not answer")]
    NoAnswer {
        /// The fleet's name.
        name: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// It answers something else.
    #[error("the llb named {name} does not understand, is it of another version? It says: {says}")]
    Refused {
        /// The fleet's name.
        name: String,
        /// Its words.
        says: String,
    },
}

/// Asks the master of a fleet for its status.
///
/// # Errors
/// [`ControlError`].
pub fn status(runtime_dir: &Path, name: &str) -> Result<Status, ControlError> {
    let line = ask(runtime_dir, name, Request::Status)?;
    serde_json::from_str(&line).map_err(|_| ControlError::Refused {
        name: name.into(),
        says: serde_json::from_str::<Refusal>(&line).map_or(line, |refusal| refusal.error),
    })
}

fn ask(runtime_dir: &Path, name: &str, request: Request) -> Result<String, ControlError> {
    let path = runtime_dir.join(name).join(SOCKET);
    let mut stream =
        UnixStream::connect(&path).map_err(|source| ControlError::NotRunning { name: name.into(), path, source })?;
    let mut exchange = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        serde_json::to_writer(&stream, &request)?;
        stream.write_all(b"\n")?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        Ok(line)
    };
    exchange().map_err(|source| ControlError::NoAnswer { name: name.into(), source })
}
