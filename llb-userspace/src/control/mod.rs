//! The control socket: one JSON object a line, one answer a line. Only the owner of the fleet may ask.
//!
//! Nouns read, verbs change. The answer to a verb comes when it is over, so that who asked knows how it went; that may
//! take as long as workers do. Who hangs up before changes nothing. `events` is answered by many lines and is the last
//! request of its connection.
//!
//! [`Client`] asks a fleet that runs, as `llb status`, `events`, `reload`, `scale`, `drain`, `restart` and `stop` do. It
//! blocks; an asynchronous program calls it on a thread of its own.
//!
//! ```no_run
//! use llb::control::{Client, ControlError, FailureKind, Missed, Reload, Told};
//!
//! fn deploy() -> Result<(), ControlError> {
//!     let fleet = Client::new("/run/llb", "web");
//!     let before = fleet.status()?;
//!     println!("{} workers of generation {}", before.workers.len(), before.generation);
//!
//!     match fleet.reload(Reload::rolling(2)) {
//!         Ok(generation) => println!("generation {generation} serves"),
//!         Err(ControlError::Failed { failure: FailureKind::RolledBack, error, .. }) => println!("undone: {error}"),
//!         Err(error) => return Err(error),
//!     }
//!     fleet.scale(8)?;
//!     println!("slot 3 is served by {}", fleet.restart(3)?);
//!     fleet.drain(7)?;
//!
//!     for told in fleet.events(false)? {
//!         match told? {
//!             Told::Event(event) => println!("{} {}: {}", event.seq, event.event, event.cause),
//!             Told::Missed(Missed { missed }) => println!("{missed} events were too fast for us"),
//!         }
//!     }
//!     fleet.stop()
//! }
//! ```
//!
//! The lines themselves are in `docs/operating.md`, for who speaks to the socket without this crate.

mod client;
mod framing;
mod server;
mod verbs;

pub use client::{Client, ControlError, Events, Told};
pub(crate) use client::{Connected, names};
pub use framing::Missed;
pub(crate) use framing::{AnswerWriter, follow};
pub(crate) use server::{Server, ServerError};
pub use verbs::Reload;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The socket's name in the fleet's runtime directory.
const SOCKET: &str = "control";

/// A line to the master.
// A variant without fields would take any; with braces it takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The fleet as it is.
    Status {},
    /// What has happened lately, oldest first.
    Events {
        /// And then what happens, until one of both sides ends.
        #[serde(default)]
        follow: bool,
    },
    /// Replace all workers by new ones of the same command.
    Reload {
        /// A few at a time instead of all at once.
        #[serde(default)]
        rolling: bool,
        /// How many at a time.
        #[serde(default)]
        max_surge: Option<u32>,
        /// Watch the new code in so many slots first, and go back if it does clearly worse than the old.
        #[serde(default)]
        canary: Option<u32>,
        /// For how long, milliseconds.
        #[serde(default)]
        watch_ms: Option<u64>,
    },
    /// Have this many slots.
    Scale {
        /// The number of slots.
        workers: u32,
    },
    /// End a slot's worker, and start none in its place.
    Drain {
        /// The slot.
        slot: u32,
    },
    /// Replace a slot's worker; start one where there is none.
    Restart {
        /// The slot.
        slot: u32,
    },
    /// Connect to a slot's worker, whatever the policy says, as `llb curl` does. The answer's line comes with the connection, as
    /// a descriptor (`SCM_RIGHTS`); it is that worker's alone until the control connection closes.
    Reach {
        /// The slot.
        slot: u32,
        /// Where it listens; needed if it does so on several ports.
        #[serde(default)]
        port: Option<u16>,
        /// At which address of that port.
        #[serde(default)]
        addr: Option<IpAddr>,
    },
    /// Note what the selector's choices go by, as `llb why` does, and tell of them when the time is over.
    Why {
        /// For how long, milliseconds; a minute at the most.
        for_ms: u64,
    },
    /// End the fleet. It is over when the connection closes.
    Stop {},
}

impl Request {
    /// Whether its answer has no end but the connection's.
    fn is_last(self) -> bool {
        matches!(self, Request::Events { .. } | Request::Reach { .. } | Request::Stop {})
    }
}

/// How a verb went. What does not concern it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Always true.
    pub ok: bool,
    /// The generation that serves, after `reload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The number of slots, after `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// The slot, after `drain`, `restart` and `reach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Its new worker, after `restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// The answer to a line that asks for nothing that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// Why.
    pub error: String,
    /// How a verb failed; none for a line that was not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
}

impl Failed {
    fn not_understood(error: String) -> Self {
        Failed { error, failure: None }
    }
}

/// How a verb failed. [Above](self) it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Nothing was done.
    Refused,
    /// It was tried, and undone: the fleet is as it was.
    RolledBack,
    /// It was done in part, and something else has ended it.
    Failed,
}

/// The answer to a verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    /// It is done.
    Done(Done),
    /// It is not.
    Failed(Failed),
}

#[cfg(test)]
mod tests;
