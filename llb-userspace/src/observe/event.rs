//! What has come to pass in a fleet, as it is shown.

use serde::{Deserialize, Serialize};

/// One event; the names of the kinds are in [`crate::fleet::Kind`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one with each event of this master.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub event: String,
    /// In which slot; none if it is about the fleet.
    pub slot: Option<u32>,
    /// The worker's first process, if it has one.
    pub pid: Option<u32>,
    /// The generation of the worker, or of the fleet.
    pub generation: u32,
    /// Why.
    pub cause: String,
}
