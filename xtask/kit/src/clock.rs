//! The only clock of the chores: how long something took.

use std::time::Instant;

/// The present.
#[expect(clippy::disallowed_methods, reason = "what is measured here is shown, and decides nothing")]
pub fn now() -> Instant {
    Instant::now()
}
