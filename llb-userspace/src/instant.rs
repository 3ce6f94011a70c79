//! Times.

use std::time::Duration;

/// A point of `CLOCK_MONOTONIC`, ns: the clock that the kernel programs read. [`crate::now`] is the present.
///
/// ```
/// use std::time::Duration;
/// use llb::{Instant, now};
///
/// let begun: Instant = now();
/// assert_eq!(begun.after(Duration::from_millis(12)).since(begun), 12_000_000);
/// assert_eq!(begun.since(begun.after(Duration::from_secs(1))), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Nanoseconds from `earlier` to this point; 0 if it is later.
    #[must_use]
    pub fn since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `duration` after this one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}
