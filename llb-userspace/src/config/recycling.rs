//! When workers are replaced although nothing is wrong with them.

use std::time::Duration;

/// How much a worker may have behind it, or take, before it is replaced; the replacement comes first. An example is
/// [above](super).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycling {
    /// Requests that it has answered, as the kernel counts them: needs [`Tracking::Full`](super::Tracking::Full). Each worker
    /// has a number of its own, between three quarters of this and all of it.
    pub max_requests: Option<u64>,
    /// Time since it was started, with the same spread.
    pub max_age: Option<Duration>,
    /// Memory that its processes have resident, bytes.
    pub max_memory: Option<u64>,
}
