//! The benchmark's clock.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "measuring is what a benchmark does")]
pub(super) fn now() -> Instant {
    Instant::now()
}
