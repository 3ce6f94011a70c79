//! The only clock of xtask: how long something took.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "what is measured here is shown, and decides nothing")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
