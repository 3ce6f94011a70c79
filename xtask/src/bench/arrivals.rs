//! The requests of a round: when each is due and how much work it asks for, from a seed, so that every peer gets the same.

use std::time::Duration;

use crate::simulate::random::SplitMix64;

/// Work of most requests, ms.
pub(super) const SHORT_MS: u64 = 5;

/// Work of the few long ones, ms.
pub(super) const LONG_MS: u64 = 200;

/// One request in this many is long (2%).
const LONG_ONE_IN: u64 = 50;

/// One request: due so many ns after the run's start, whatever became of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) due_ns: u64,
    pub(super) work_ms: u64,
}

impl Arrival {
    /// Whether its latency counts: a long one's is mostly its own work.
    pub(super) fn is_short(&self) -> bool {
        self.work_ms == SHORT_MS
    }
}

/// A Poisson process of `rate` requests a second: the gaps are independent and exponential, as those of many clients
/// that do not wait for each other.
pub(super) fn poisson(rate: u32, duration: Duration, seed: u64) -> Vec<Arrival> {
    let mut random = SplitMix64::stream(seed, 1);
    let end = duration.as_nanos() as f64;
    let mut due = 0.0;
    let mut arrivals = Vec::new();
    loop {
        due += random.exponential(1e9 / f64::from(rate));
        if due >= end {
            return arrivals;
        }
        let work_ms = if random.next().is_multiple_of(LONG_ONE_IN) { LONG_MS } else { SHORT_MS };
        arrivals.push(Arrival { due_ns: due as u64, work_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_RUN: Duration = Duration::from_secs(100);

    #[test]
    fn a_seed_gives_one_run_and_another_seed_another() {
        assert_eq!(poisson(400, LONG_RUN, 1), poisson(400, LONG_RUN, 1));
        assert_ne!(poisson(400, LONG_RUN, 1), poisson(400, LONG_RUN, 2));
    }

    #[test]
    fn the_rate_and_the_share_of_long_ones_are_right_and_they_come_in_order() {
        let arrivals = poisson(400, LONG_RUN, 1);
        // Standard deviations: 200 arrivals, 28 long ones. Four of them either way.
        assert!(arrivals.len().abs_diff(40_000) < 800, "{}", arrivals.len());
        let long = arrivals.iter().filter(|arrival| !arrival.is_short()).count();
        assert!(long.abs_diff(800) < 112, "{long}");
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.due_ns));
    }
}
