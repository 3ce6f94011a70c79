//! What a peer did in a round.

use std::time::Duration;

use super::closed_loop::Seen;
use super::open_loop::{self, Outcome};
use super::peer::Peer;
use llb_kit::quantiles::{Distribution, Quantiles, median, sorted};

/// A request that waits longer is one too many while a worker is stopped.
pub(super) const WAITED_TOO_LONG: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) peer: Peer,
    pub(super) latency: Quantiles,
    pub(super) distribution: Distribution,
    /// Answers a second.
    pub(super) per_second: f64,
    /// The whole machine's CPU time for an answer, load generator included, ns.
    pub(super) cpu_ns: f64,
    pub(super) requests: usize,
    pub(super) failed: usize,
    /// Part of the requests that waited longer than [`WAITED_TOO_LONG`].
    pub(super) waited: f64,
    /// How late the generator began its requests, p99, ns.
    pub(super) late_p99: u64,
}

impl Measured {
    /// A request without an answer counts as one of the timeout: a refusal is not a fast answer.
    pub(super) fn of_outcomes(peer: Peer, outcomes: &[Outcome], duration: Duration, busy: Duration) -> Self {
        let given_up = open_loop::TIMEOUT.as_nanos() as u64;
        let counted = outcomes.iter().filter(|outcome| outcome.counts);
        let failed = outcomes.iter().filter(|outcome| outcome.latency_ns.is_none()).count();
        Self::of(
            peer,
            counted.map(|outcome| outcome.latency_ns.unwrap_or(given_up)).collect(),
            (outcomes.len() - failed, failed),
            duration,
            busy,
            Quantiles::of(&sorted(outcomes.iter().map(|outcome| outcome.late_ns).collect())).p99,
        )
    }

    /// Rate and CPU time are the medians over the slices: what disturbs the machine for a moment spoils one of them.
    /// Clients of a closed loop are never late.
    pub(super) fn of_slices(peer: Peer, slices: &[Seen]) -> Self {
        let latencies: Vec<u64> = slices.iter().flat_map(|seen| &seen.latencies).copied().collect();
        let tally = (latencies.len(), slices.iter().map(|seen| seen.failed).sum());
        Self {
            per_second: median(slices.iter().map(Seen::per_second).collect()),
            cpu_ns: median(slices.iter().map(Seen::cpu_ns).collect()),
            ..Self::of(peer, latencies, tally, Duration::ZERO, Duration::ZERO, 0)
        }
    }

    fn of(
        peer: Peer,
        latencies: Vec<u64>,
        (answered, failed): (usize, usize),
        duration: Duration,
        busy: Duration,
        late_p99: u64,
    ) -> Self {
        let latencies = sorted(latencies);
        let in_time = latencies.partition_point(|latency| *latency <= WAITED_TOO_LONG.as_nanos() as u64);
        Self {
            peer,
            latency: Quantiles::of(&latencies),
            distribution: Distribution::of(&latencies),
            per_second: answered as f64 / duration.as_secs_f64(),
            cpu_ns: busy.as_nanos() as f64 / answered.max(1) as f64,
            requests: answered + failed,
            failed,
            waited: (latencies.len() - in_time) as f64 / latencies.len().max(1) as f64,
            late_p99,
        }
    }
}

#[cfg(test)]
pub(super) fn example(peer: Peer, p99_ms: u64, per_second: f64) -> Measured {
    let seen = Seen { latencies: vec![p99_ms * 1_000_000; 10], lasted: Duration::from_secs(1), ..Seen::default() };
    Measured { per_second, requests: 10, failed: 1, ..Measured::of_slices(peer, &[seen]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_slice_changes_no_rate_but_its_latencies_count() {
        let slice = |answers: usize, latency| Seen {
            latencies: vec![latency; answers],
            failed: 1,
            lasted: Duration::from_millis(500),
            busy: Duration::from_micros(100),
        };
        let measured = Measured::of_slices(Peer::Plain, &[slice(100, 1), slice(10, 7), slice(100, 1)]);
        assert_eq!((measured.per_second, measured.cpu_ns), (200.0, 1_000.0));
        assert_eq!((measured.requests, measured.failed), (213, 3));
        assert_eq!((measured.latency.p50, measured.latency.p99), (1, 7));
    }

    #[test]
    fn what_fails_counts_as_given_up_and_as_waiting() {
        let outcome = |counts, latency_ns| Outcome { counts, late_ns: 7, latency_ns };
        let outcomes = [outcome(true, None), outcome(true, Some(5)), outcome(false, Some(300_000_001))];
        let second = Duration::from_secs(1);
        let measured = Measured::of_outcomes(Peer::Plain, &outcomes, second, second);
        assert_eq!((measured.failed, measured.requests, measured.late_p99), (1, 3, 7));
        assert_eq!((measured.latency.p50, measured.latency.p99), (5, 3_000_000_000));
        assert_eq!((measured.waited, measured.per_second, measured.cpu_ns), (0.5, 2.0, 5e8));
    }
}
