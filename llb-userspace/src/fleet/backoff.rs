//! When a slot's next worker may start. A worker that dies at once, and the next one too, must not make the machine
//! busy with nothing but starting it.
//!
//! The rule: between two starts lies an interval. It is the respawn time at first, doubles with each quick death up to
//! the longest interval, and halves for each time as long as that which a worker lived that had become ready. It is
//! counted from start to start, so one who lived longer than the interval is replaced at once.

use std::time::Duration;

use crate::model::Instant;

/// How fast workers are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    respawn: Duration,
    longest: Duration,
}

/// A slot's interval between two starts, as its past has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Duration);

/// A life that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When the worker was spawned.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Whether it had become ready.
    pub was_ready: bool,
}

/// What follows from a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When the slot's next worker may start: at the life's end, or later.
    pub start: Instant,
    /// The slot's interval from then on.
    pub interval: Interval,
}

impl Default for Backoff {
    fn default() -> Self {
        // One start a second is what s6 allows as well: hardly a load, and hardly a wait. After half a minute the
        // next attempt comes while whoever repaired the cause still looks on.
        Self { respawn: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// A backoff whose interval is `respawn` at least, and `longest` (or `respawn`, if that is longer) at most.
    #[must_use]
    pub fn new(respawn: Duration, longest: Duration) -> Self {
        Self { respawn, longest: longest.max(respawn) }
    }

    /// The interval of a slot without a past.
    #[must_use]
    pub fn first(&self) -> Interval {
        Interval(self.respawn)
    }

    /// What follows from `life` in a slot whose interval was `interval`.
    #[must_use]
    pub fn after(&self, interval: Interval, life: Life) -> Next {
        Next {
            start: life.started.after(interval.0).max(life.ended),
            interval: self.clamp(match self.quiet_times(life) {
                0 => interval.0.saturating_mul(2),
                times => interval.0 / 2_u32.saturating_pow(times),
            }),
        }
    }

    /// How many times the longest interval has passed in a life that served; 0: it was a quick death.
    fn quiet_times(&self, life: Life) -> u32 {
        let lived = u128::from(life.ended.since(life.started));
        match life.was_ready {
            // At least 1 ns, for a backoff of nothing at all.
            true => u32::try_from(lived / self.longest.as_nanos().max(1)).unwrap_or(u32::MAX),
            false => 0,
        }
    }

    fn clamp(&self, interval: Duration) -> Interval {
        Interval(interval.clamp(self.respawn, self.longest))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

    use super::{Backoff, Interval, Life, Next};
    use crate::model::Instant;

    const SECOND: u64 = 1_000_000_000;

    /// A life of some seconds' length that began at `start` seconds.
    fn life(start: u64, seconds: u64, was_ready: bool) -> Life {
        Life { started: Instant(start * SECOND), ended: Instant((start + seconds) * SECOND), was_ready }
    }

    #[test]
    fn quick_deaths_double_the_interval_up_to_the_cap() {
        let backoff = Backoff::default();
        let (mut now, mut interval) = (Instant(0), backoff.first());
        let mut waits = Vec::new();
        for _ in 0..7 {
            let next = backoff.after(interval, Life { started: now, ended: now, was_ready: true });
            waits.push(next.start.since(now) / SECOND);
            (now, interval) = (next.start, next.interval);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn whoever_outlived_the_interval_is_replaced_at_once() {
        let backoff = Backoff::default();
        let next = backoff.after(Interval(Duration::from_secs(4)), life(100, 5, true));
        assert_eq!(next, Next { start: Instant(105 * SECOND), interval: Interval(Duration::from_secs(8)) });
    }

    #[test]
    fn quiet_halves_the_interval() {
        let backoff = Backoff::default();
        let after = |seconds| backoff.after(Interval(Duration::from_secs(16)), life(0, seconds, true)).interval;
        assert_eq!(after(30), Interval(Duration::from_secs(8)));
        assert_eq!(after(60), Interval(Duration::from_secs(4)));
        assert_eq!(after(24 * 3600), backoff.first());
    }

    #[test]
    fn a_long_life_without_readiness_is_no_quiet() {
        let next = Backoff::default().after(Interval(Duration::from_secs(16)), life(0, 3600, false));
        assert_eq!(next.interval, Interval(Duration::from_secs(30)));
    }

    #[test]
    fn a_cap_below_the_respawn_time_is_raised_to_it() {
        let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        assert_eq!(backoff.after(backoff.first(), life(0, 0, true)).interval, Interval(Duration::from_secs(5)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn starts_keep_their_distance(
            respawn in 1_u64..10 * SECOND,
            longest in 0_u64..100 * SECOND,
            supervisor in prop::collection::vec((0_u64..200 * SECOND, any::<bool>()), 1..50),
        ) {
            let backoff = Backoff::new(Duration::from_nanos(respawn), Duration::from_nanos(longest));
            let (mut started, mut interval) = (Instant(SECOND), backoff.first());
            for (lived, was_ready) in supervisor {
                let ended = Instant(started.0 + lived);
                let next = backoff.after(interval, Life { started, ended, was_ready });
                prop_assert!(next.start >= ended);
                prop_assert!(next.start.since(started) >= respawn);
                prop_assert!(next.start.since(ended) <= longest.max(respawn));
                prop_assert!((backoff.respawn..=backoff.longest).contains(&next.interval.0));
                (started, interval) = (next.start, next.interval);
            }
        }

        #[test]
        fn no_number_is_a_panic(numbers in any::<[u64; 4]>(), was_ready in any::<bool>()) {
            let [respawn, longest, started, ended] = numbers;
            let backoff = Backoff::new(Duration::from_nanos(respawn), Duration::from_nanos(longest));
            let life = Life { started: Instant(started), ended: Instant(ended), was_ready };
            for backoff in [backoff, Backoff::new(Duration::ZERO, Duration::ZERO)] {
                prop_assert!(backoff.after(backoff.first(), life).start >= life.ended);
            }
        }
    }
}
