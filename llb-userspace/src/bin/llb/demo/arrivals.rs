//! The requests of a run: when each is due and how much work it asks for, from a seed, so that both sides get the same.

use std::time::Duration;

use fastrand::Rng;

/// Work of most requests, ms.
pub(super) const SHORT_MS: u64 = 5;

/// Work of the few long ones, ms: a worker that is in one should get no other meanwhile.
pub(super) const LONG_MS: u64 = 100;

/// One request in this many is long (2%).
pub(super) const LONG_ONE_IN: u64 = 50;

/// How much a request asks of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Short,
    Long,
}

impl Work {
    pub(super) fn ms(self) -> u64 {
        match self {
            Work::Short => SHORT_MS,
            Work::Long => LONG_MS,
        }
    }
}

/// One request: due so many ns after the run's start, whatever became of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) due_ns: u64,
    pub(crate) work: Work,
}

/// A Poisson process of `rate` requests a second over `duration`: the gaps are independent and exponential, as those of
/// many clients that do not wait for each other.
pub(crate) fn poisson(rate: u32, duration: Duration, seed: u64) -> Vec<Arrival> {
    let mut random = Rng::with_seed(seed);
    let mean_gap_s = 1.0 / f64::from(rate);
    let mut due_s = 0.0;
    let mut arrivals = Vec::new();
    loop {
        due_s -= (1.0 - random.f64()).ln() * mean_gap_s;
        // Also ends a run of rate 0, whose first gap is infinite.
        if due_s.is_nan() || due_s >= duration.as_secs_f64() {
            return arrivals;
        }
        let work = if random.u64(..LONG_ONE_IN) == 0 { Work::Long } else { Work::Short };
        arrivals.push(Arrival { due_ns: (due_s * 1e9) as u64, work });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_RUN: Duration = Duration::from_secs(100);

    #[test]
    fn a_seed_gives_one_run_and_another_seed_another() {
        assert_eq!(poisson(300, LONG_RUN, 1), poisson(300, LONG_RUN, 1));
        assert_ne!(poisson(300, LONG_RUN, 1), poisson(300, LONG_RUN, 2));
    }

    #[test]
    fn the_rate_the_spread_and_the_share_of_long_ones_are_right() {
        let arrivals = poisson(300, LONG_RUN, 1);
        // Standard deviations: 173 arrivals, 24 long ones. Four of them either way.
        assert!(arrivals.len().abs_diff(30_000) < 700, "{}", arrivals.len());
        let long = arrivals.iter().filter(|arrival| arrival.work == Work::Long).count();
        assert!(long.abs_diff(600) < 100, "{long}");
        // Of exponential gaps, 1/e are longer than the mean.
        let gaps = arrivals.windows(2).filter(|pair| pair[1].due_ns - pair[0].due_ns > 3_333_333).count();
        assert!(gaps.abs_diff(11_036) < 350, "{gaps}");
    }

    #[test]
    fn they_come_in_order_and_end_with_the_run() {
        let arrivals = poisson(300, LONG_RUN, 3);
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.due_ns));
        assert!(arrivals.last().unwrap().due_ns < 100_000_000_000);
    }

    #[test]
    fn no_rate_or_no_time_is_no_arrivals() {
        assert_eq!(poisson(0, LONG_RUN, 1), []);
        assert_eq!(poisson(300, Duration::ZERO, 1), []);
    }
}
