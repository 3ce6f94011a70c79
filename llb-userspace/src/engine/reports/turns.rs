//! How long the loop takes from one wait to the next: while it does not wait, nothing else is heard.

use std::{cell::Cell, time::Duration};

use crate::{model::Instant, sys::clock};

/// A turn that has taken so long begins nothing that may wait for the next one.
const LONG: Duration = Duration::from_millis(5);

/// The turns of the loop.
#[derive(Debug, Default)]
pub(in crate::engine) struct Turns {
    began: Cell<Option<Instant>>,
    longest_ns: Cell<u64>,
}

impl Turns {
    /// A turn begins, now.
    pub(in crate::engine) fn begin(&self) -> Instant {
        let now = clock::now();
        self.began.set(Some(now));
        now
    }

    /// Whether the one that has begun has taken long by now.
    pub(in crate::engine) fn is_long(&self, now: Instant) -> bool {
        self.began.get().is_some_and(|began| now >= began.after(LONG))
    }

    /// What has begun has ended, `now`.
    pub(in crate::engine) fn end(&self, now: Instant) {
        if let Some(began) = self.began.take() {
            self.longest_ns.set(self.longest_ns.get().max(now.since(began)));
        }
    }

    /// The longest so far, ms.
    pub(in crate::engine) fn longest_ms(&self) -> f64 {
        self.longest_ns.get() as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::model::Instant;

    #[test]
    fn a_turn_is_long_after_five_milliseconds() {
        let turns = Turns::default();
        assert!(!turns.is_long(Instant(900_000_000)), "none has begun");
        turns.began.set(Some(Instant(1_000_000)));
        assert_eq!([5_999_999, 6_000_000].map(|now| turns.is_long(Instant(now))), [false, true]);
    }

    #[test]
    fn the_longest_turn_counts_and_the_waiting_between_them_does_not() {
        let turns = Turns::default();
        for (began, ended) in [(1_000_000, 3_000_000), (500_000_000, 501_000_000)] {
            turns.began.set(Some(Instant(began)));
            turns.end(Instant(ended));
        }
        turns.end(Instant(900_000_000));
        assert_eq!(turns.longest_ms(), 2.0);
    }
}
