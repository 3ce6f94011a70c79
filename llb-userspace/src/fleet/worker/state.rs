//! Where a worker stands, and what is seen of it on its way out.

use crate::model::Instant;

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Spawned, not ready.
    Starting {
        /// When it must be ready.
        deadline: Instant,
    },
    /// Ready, and in its groups.
    Serving,
    /// Out of its groups, finishing.
    Draining {
        /// Not before this: it has just been told to finish up, and may end better by itself.
        earliest: Instant,
        /// From then on its idle connections are closed for it.
        relaxed: Instant,
        /// When it is sent the signal to end even if it has not finished.
        deadline: Instant,
    },
    /// Sent the signal to end.
    Stopping {
        /// From then on its idle connections are closed for it.
        relaxed: Instant,
        /// When it is killed.
        deadline: Instant,
    },
    /// Sent SIGKILL.
    Killed,
}

impl State {
    /// The name in `llb status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Starting { .. } => "starting",
            State::Serving => "serving",
            State::Draining { .. } => "draining",
            State::Stopping { .. } => "stopping",
            State::Killed => "killed",
        }
    }
}

/// What a worker's clients still have with it, from nothing to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// No connection, not even one that is being made.
    Nothing,
    /// Connections on which nothing has moved for a while.
    Idle,
    /// No request is in flight, but an answer may still be on its way.
    Streams,
    /// Requests in flight, or connections that are being made.
    Requests,
}

/// What is seen of a worker that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What its clients still have with it.
    pub holds: Holding,
    /// Whether it has accepted whoever was sent to it, and each of them has had time to send a request: none is lost if
    /// it closes its listener and its idle connections.
    pub settled: bool,
    /// Whether it catches the signal to end, and so has a shutdown of its own.
    pub ends_itself: bool,
    /// Whether UDP flows that it has are not idle.
    pub has_flows: bool,
}

impl From<Holding> for Sight {
    /// Of a worker that the signal ends at once.
    fn from(holds: Holding) -> Self {
        Sight { holds, settled: false, ends_itself: false, has_flows: false }
    }
}
