//! The control socket: one JSON object a line, one answer a line. Only the owner of the fleet may ask.

mod client;
mod server;

pub use client::{ControlError, status};
pub use server::{Server, ServerError};

use serde::{Deserialize, Serialize};

/// The socket's name in the fleet's runtime directory.
const SOCKET: &str = "control";

/// A line to the master. Nouns read, verbs change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The fleet as it is.
    Status,
}

/// The answer to a line that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refusal {
    error: String,
}
