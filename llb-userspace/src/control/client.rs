//! Asks a running master.

mod error;
mod reach;

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::error::ControlError;
pub(crate) use self::reach::Connected;
use super::{Failed, Missed, Reply, Request, SOCKET};
use crate::{
    observe::{event::Event, status::Status},
    why::Seen,
};

/// A master answers a question within milliseconds; one that has not after this hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which fleet to ask. Examples are [there](super).
#[derive(Clone, Debug)]
pub struct Client {
    runtime_dir: PathBuf,
    pub(crate) name: String,
}

impl Client {
    /// The fleet of this name, of those that have their control sockets in `runtime_dir`: mostly `/run/llb`.
    pub fn new(runtime_dir: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Client { runtime_dir: runtime_dir.into(), name: name.into() }
    }

    /// The fleet as it is.
    ///
    /// # Errors
    /// [`ControlError`]: also if it has not answered within 5 s.
    pub fn status(&self) -> Result<Status, ControlError> {
        let mut answer = self.ask(Request::Status {}, Some(PATIENCE))?;
        self.line(&mut answer)?.ok_or_else(|| self.ended())
    }

    /// What has happened lately, oldest first, and what happens from then on if that is to be followed: then the iterator
    /// waits for each event, and ends with the fleet.
    ///
    /// # Errors
    /// [`ControlError`], here and from the iterator.
    pub fn events(&self, follow: bool) -> Result<Events, ControlError> {
        let answer = self.ask(Request::Events { follow }, if follow { None } else { Some(PATIENCE) })?;
        Ok(Events { fleet: self.clone(), answer })
    }

    /// Has a verb carried out, and waits until that is over, however long it takes. Not for what has methods of its own here.
    ///
    /// # Errors
    /// [`ControlError`]; that the verb has failed is an answer.
    pub(crate) fn command(&self, verb: Request) -> Result<Reply, ControlError> {
        let mut answer = self.ask(verb, None)?;
        let reply = self.line(&mut answer)?.ok_or_else(|| self.ended())?;
        match reply {
            Reply::Failed(Failed { error, failure: None }) => {
                Err(ControlError::NotUnderstood { name: self.name.clone(), says: error })
            }
            reply => Ok(reply),
        }
    }

    /// Ends the fleet, and waits until nothing of it is left.
    pub(crate) fn end(&self) -> Result<Reply, ControlError> {
        let mut answer = self.ask(Request::Stop {}, None)?;
        let master = master_of(answer.get_ref());
        let reply = self.line(&mut answer)?.ok_or_else(|| self.ended())?;
        // The connection closes when all is cleared, at the latest with its process.
        while self.line::<Reply>(&mut answer)?.is_some() {}
        match UnixStream::connect(self.socket()) {
            // One that ends in order leaves no socket.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(reply),
            // Another one of the name, which somebody has started meanwhile.
            Ok(stream) if master_of(&stream) != master => Ok(reply),
            _ => Err(self.ended()),
        }
    }

    /// What the selector's choices of a while went by.
    ///
    /// # Errors
    /// [`ControlError`]; that it is refused is an answer.
    pub(crate) fn why(&self, time: Duration) -> Result<Result<Seen, Failed>, ControlError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Answer {
            Seen(Box<Seen>),
            Failed(Failed),
        }
        let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut answer = self.ask(Request::Why { for_ms }, Some(time.saturating_add(PATIENCE)))?;
        match self.line(&mut answer)?.ok_or_else(|| self.ended())? {
            Answer::Seen(seen) => Ok(Ok(*seen)),
            Answer::Failed(failed @ Failed { failure: Some(_), .. }) => Ok(Err(failed)),
            Answer::Failed(Failed { error, .. }) => {
                Err(ControlError::NotUnderstood { name: self.name.clone(), says: error })
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.runtime_dir.join(&self.name).join(SOCKET)
    }

    /// Sends a request. Nobody waits longer than `patience` for each line of the answer.
    fn ask(&self, request: Request, patience: Option<Duration>) -> Result<BufReader<UnixStream>, ControlError> {
        let path = self.socket();
        let stream = UnixStream::connect(&path);
        let mut stream = stream.map_err(|source| ControlError::NotRunning { name: self.name.clone(), path, source })?;
        let mut send = || -> io::Result<()> {
            stream.set_read_timeout(patience)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            stream.write_all(&line)
        };
        send().map_err(|source| self.no_answer(source))?;
        Ok(BufReader::new(stream))
    }

    fn ended(&self) -> ControlError {
        ControlError::Ended { name: self.name.clone() }
    }

    fn no_answer(&self, source: io::Error) -> ControlError {
        ControlError::NoAnswer { name: self.name.clone(), source }
    }

    /// The next line; none if there is no more.
    fn line<T: DeserializeOwned>(&self, from: &mut impl BufRead) -> Result<Option<T>, ControlError> {
        let mut line = String::new();
        match from.read_line(&mut line) {
            Ok(0) => Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(source) => Err(self.no_answer(source)),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(|_| ControlError::NotUnderstood {
                name: self.name.clone(),
                says: serde_json::from_str::<Failed>(&line).map_or(line, |failed| failed.error),
            }),
        }
    }
}

/// The names of the fleets that have a control socket in `runtime_dir`, in order; a master that was killed has left its own.
/// None if there is no such place, as nothing has run yet.
pub(crate) fn names(runtime_dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(runtime_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let fleets = entries.flatten().filter(|entry| entry.path().join(SOCKET).exists());
    let mut names: Vec<String> = fleets.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// The process that listens there.
fn master_of(stream: &UnixStream) -> Option<i32> {
    getsockopt(stream, PeerCredentials).ok().map(|peer| peer.pid())
}

/// Events as they are told. An example is [there](super).
#[derive(Debug)]
pub struct Events {
    fleet: Client,
    answer: BufReader<UnixStream>,
}

impl Iterator for Events {
    type Item = Result<Told, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fleet.line(&mut self.answer).transpose()
    }
}

/// One line of the answer to `events`. An example is [there](super).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// Events were lost on the way.
    Missed(Missed),
    /// An event.
    Event(Event),
}
