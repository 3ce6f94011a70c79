//! The clock that the kernel programs read too.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::model::Instant;

/// The present point of `CLOCK_MONOTONIC`: the `now` that everything here which needs the time is given.
///
/// ```
/// let begun = llb::now();
/// assert!(llb::now().since(begun) < 60_000_000_000);
/// ```
///
/// # Panics
/// On a kernel without that clock, of which there is none.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has CLOCK_MONOTONIC");
    Instant::default().after(Duration::from(time))
}

/// Milliseconds since 1970 by the machine's clock, which may jump: for showing only.
///
/// # Panics
/// On a kernel without that clock, of which there is none.
#[must_use]
pub fn wall_ms() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has CLOCK_REALTIME");
    u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{now, wall_ms};

    #[test]
    fn the_wall_clock_is_past_2020() {
        assert!(wall_ms() > 1_577_836_800_000);
    }

    #[test]
    fn runs_forward_from_boot() {
        let first = now();
        assert!(first.0 > 0);
        assert!(now() >= first);
    }
}
