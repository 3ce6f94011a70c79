//! The clock that the kernel programs read too.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::model::Instant;

/// The present point of `CLOCK_MONOTONIC`.
///
/// # Panics
/// On a kernel without that clock, of which there is none.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has CLOCK_MONOTONIC");
    Instant::default().after(Duration::from(time))
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn runs_forward_from_boot() {
        let first = now();
        assert!(first.0 > 0);
        assert!(now() >= first);
    }
}
