//! The requests of a round: when each is due and how much work it asks for, from a seed, so that every peer gets the same.

use std::time::Duration;

use super::spec::{Load, Work};
use llb_kit::random::Random;

/// One request: due so many ns after the run's start, whatever became of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) due_ns: u64,
    pub(super) work_us: u64,
    /// Whether its latency counts: a long one's is mostly its own work.
    pub(super) counts: bool,
    pub(super) connection: usize,
    /// Whether it is its connection's last.
    pub(super) is_last: bool,
}

/// A Poisson process of connections: the gaps are independent and exponential, as those of many clients that do not wait
/// for each other; so are the gaps between a connection's requests. In the order in which they are due. A closed loop
/// has none.
pub(super) fn arrivals(load: &Load, duration: Duration, seed: u64) -> Vec<Arrival> {
    let Load::Open { connections_per_second, requests_each, gap, work } = *load else { return Vec::new() };
    let mut random = Random::stream(seed, 1);
    let end = duration.as_nanos() as f64;
    let mut arrivals = Vec::new();
    let mut opens = 0.0;
    for connection in 0.. {
        opens += random.exponential(1e9 / connections_per_second);
        if opens >= end {
            break;
        }
        let first = arrivals.len();
        let mut due = opens;
        for _ in 0..requests_each {
            let (work_us, counts) = draw(work, &mut random);
            arrivals.push(Arrival { due_ns: due as u64, work_us, counts, connection, is_last: false });
            if requests_each > 1 {
                due += random.exponential(gap.as_nanos() as f64);
            }
            if due >= end {
                break;
            }
        }
        if let Some(last) = arrivals[first..].last_mut() {
            last.is_last = true;
        }
    }
    arrivals.sort_by_key(|arrival| arrival.due_ns);
    arrivals
}

fn draw(work: Work, random: &mut Random) -> (u64, bool) {
    match work {
        Work::Always(us) => (us, true),
        Work::Tail { long_us, long_one_in, .. } if random.any().is_multiple_of(long_one_in) => (long_us, false),
        Work::Tail { short_us, .. } => (short_us, true),
        Work::Exponential(mean) => (random.exponential(mean) as u64, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::spec::spec;

    const LONG_RUN: Duration = Duration::from_secs(100);

    fn of(scenario: Scenario, seed: u64) -> Vec<Arrival> {
        arrivals(&spec(scenario, false).load, LONG_RUN, seed)
    }

    #[test]
    fn a_seed_gives_one_run_and_another_seed_another() {
        assert_eq!(of(Scenario::HeavyTail, 1), of(Scenario::HeavyTail, 1));
        assert_ne!(of(Scenario::HeavyTail, 1), of(Scenario::HeavyTail, 2));
    }

    #[test]
    fn the_rate_and_the_share_of_long_ones_are_right_and_they_come_in_order() {
        let arrivals = of(Scenario::HeavyTail, 1);
        // Standard deviations: 200 arrivals, 28 long ones. Four of them either way.
        assert!(arrivals.len().abs_diff(40_000) < 800, "{}", arrivals.len());
        let long = arrivals.iter().filter(|arrival| !arrival.counts).count();
        assert!(long.abs_diff(800) < 112, "{long}");
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.due_ns));
        assert!(arrivals.iter().all(|arrival| arrival.is_last));
    }

    #[test]
    fn a_connection_has_its_requests_and_one_last_one() {
        let arrivals = of(Scenario::HermesLowDear, 1);
        let of_first: Vec<_> = arrivals.iter().filter(|arrival| arrival.connection == 0).collect();
        assert_eq!(of_first.len(), 50);
        assert!(of_first[..49].iter().all(|arrival| !arrival.is_last) && of_first[49].is_last);
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.due_ns));
        let mean = arrivals.iter().map(|arrival| arrival.work_us).sum::<u64>() as f64 / arrivals.len() as f64;
        assert!((mean - 8_000.0).abs() < 250.0, "{mean}");
        let connections = arrivals.iter().map(|arrival| arrival.connection).max().unwrap();
        assert_eq!(arrivals.iter().filter(|arrival| arrival.is_last).count(), connections + 1);
    }
}
