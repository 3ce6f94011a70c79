//! A median that forgets: a histogram whose weights halve every [`HALF_LIFE_NS`].
//!
//! ```text
//! weight of a sample of age a = 2^(-a / half-life)       median = least value with half of the weight at or below it
//! ```
//!
//! Exponential decay of a weighted quantile as in Cormode, Shkapenyuk, Srivastava and Xu, "Forward decay: a practical
//! time decay model for streaming systems" (ICDE 2009). Up to half of the weight may be wild and the median stays
//! among the rest. All weights decay alike, so the median changes with samples only: reading changes nothing.

use crate::model::Instant;
use std::time::Duration;

/// Silence after which what was observed is forgotten. A worker with a bad name gets no requests, hence no chance of
/// a better one; half a minute later it is tried as a new one would be. Long beside any pause of a worker in use.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// The longest latency that is told apart, ns: 73 minutes, above any that a worker may report.
pub const MAX_NS: u64 = (1 << MAX_BITS) - 1;

/// Time in which a sample's weight halves, ns. A second of 100 requests/s leaves a median that wanders by less than
/// the eighth by which costs are told apart, and a worker that has changed is known by it a second later. The
/// seconds that remote balancers take (10 in Finagle) would be long beside a worker's garbage collections.
const HALF_LIFE_NS: f64 = 1e9;

/// Weight that time alone does not take away, samples. A rare request's latency would otherwise outweigh all before.
const REMEMBERED: f64 = 8.0;

/// Weight without which there is no median, samples: one wild sample among fewer could be it.
const ENOUGH: f64 = 3.0;

/// Latencies below 2^10 ns are not told apart: the least cost is a microsecond ([`llb_common::select::MIN_COST_NS`]).
const MIN_BITS: u32 = 10;
/// Latencies from 2^42 ns are not told apart.
const MAX_BITS: u32 = 42;

/// Buckets of one octave, as a power of two: 8, so that neighbouring buckets' middles differ by less than an eighth
/// and count as ties ([`llb_common::select::clearly_better`]).
const STEP_BITS: u32 = 3;

const BUCKETS: usize = ((MAX_BITS - MIN_BITS) << STEP_BITS) as usize;

/// Samples, and their median.
#[derive(Clone, Debug)]
pub(super) struct Median {
    weights: Box<[f64; BUCKETS]>,
    total: f64,
    median_ns: u64,
    observed_at: Instant,
}

impl Default for Median {
    fn default() -> Self {
        Median { weights: Box::new([0.0; BUCKETS]), total: 0.0, median_ns: 0, observed_at: Instant::default() }
    }
}

impl Median {
    /// Takes so many samples of `ns`. A `now` before the last one counts as the same moment.
    pub(super) fn observe(&mut self, now: Instant, ns: u64, samples: u32) {
        let age = now.since(self.observed_at) as f64;
        self.decay((-age / HALF_LIFE_NS).exp2());
        self.weights[bucket_of(ns)] += f64::from(samples);
        self.total = self.weights.iter().sum();
        self.median_ns = middle_of(self.median_bucket());
        self.observed_at = self.observed_at.max(now);
    }

    /// The median, ns, if there have been enough samples and the last is not too old.
    pub(super) fn get_at(&self, now: Instant) -> Option<u64> {
        let fresh = now <= self.observed_at.after(FORGOTTEN_AFTER);
        (fresh && self.total >= ENOUGH).then_some(self.median_ns)
    }

    fn decay(&mut self, factor: f64) {
        if self.total <= REMEMBERED {
            return;
        }
        let factor = factor.max(REMEMBERED / self.total);
        for weight in self.weights.iter_mut() {
            *weight *= factor;
        }
    }

    fn median_bucket(&self) -> usize {
        let mut below = 0.0;
        self.weights
            .iter()
            .position(|weight| {
                below += weight;
                2.0 * below >= self.total
            })
            .unwrap_or(BUCKETS - 1)
    }
}

fn bucket_of(ns: u64) -> usize {
    let ns = ns.clamp(1 << MIN_BITS, MAX_NS);
    let octave = ns.ilog2();
    let step = (ns >> (octave - STEP_BITS)) - (1 << STEP_BITS);
    (((octave - MIN_BITS) << STEP_BITS) + step as u32) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket >> STEP_BITS) as u32 + MIN_BITS;
    let width = 1 << (octave - STEP_BITS);
    (1 << octave) + (bucket & ((1 << STEP_BITS) - 1)) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use llb_common::select::clearly_better;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    /// Samples of `latencies` ms, one every `gap` ms from `begin` ms on.
    fn observe(median: &mut Median, begin: u64, gap: u64, latencies: impl IntoIterator<Item = u64>) -> u64 {
        let mut now = begin;
        for latency in latencies {
            now += gap;
            median.observe(at(now), latency * MS, 1);
        }
        now
    }

    fn near(ns: Option<u64>, ms: u64) -> bool {
        ns.is_some_and(|ns| ns.abs_diff(ms * MS) <= ms * MS / 8)
    }

    #[test]
    fn fewer_than_three_samples_are_no_median() {
        let mut median = Median::default();
        let now = observe(&mut median, 0, 1, [200, 5]);
        assert_eq!(median.get_at(at(now)), None);
        let now = observe(&mut median, now, 1, [5]);
        assert!(near(median.get_at(at(now)), 5));
    }

    #[test]
    fn long_requests_in_heavy_tailed_work_do_not_spoil_it() {
        let mut median = Median::default();
        let mut now = 0;
        for _ in 0..20 {
            now = observe(&mut median, now, 10, [200, 5, 5, 200, 5]);
            assert!(near(median.get_at(at(now)), 5));
        }
    }

    #[test]
    fn a_long_request_after_a_long_silence_does_not_spoil_it() {
        let mut median = Median::default();
        let now = observe(&mut median, 0, 10, [5; 100]);
        let now = observe(&mut median, now, 20_000, [200, 200, 200]);
        assert!(near(median.get_at(at(now)), 5));
    }

    #[test]
    fn a_worker_that_turns_slow_is_known_one_half_life_later() {
        let mut median = Median::default();
        let now = observe(&mut median, 0, 10, [5; 1_000]);
        let now = observe(&mut median, now, 10, [50; 90]);
        assert!(near(median.get_at(at(now)), 5));
        let now = observe(&mut median, now, 10, [50; 20]);
        assert!(near(median.get_at(at(now)), 50));
    }

    #[test]
    fn rare_samples_are_outweighed_by_the_next_eight() {
        let mut median = Median::default();
        let now = observe(&mut median, 0, 5_000, [5; 20]);
        let now = observe(&mut median, now, 5_000, [50; 9]);
        assert!(near(median.get_at(at(now)), 50));
    }

    #[test]
    fn neighbouring_buckets_count_as_ties() {
        for bucket in 1..BUCKETS {
            assert!(!clearly_better(middle_of(bucket - 1), middle_of(bucket)), "{bucket}");
        }
    }

    proptest! {
        #[test]
        fn a_latency_is_within_a_sixteenth_of_its_buckets_middle(ns in 1u64 << MIN_BITS..=MAX_NS) {
            prop_assert!(middle_of(bucket_of(ns)).abs_diff(ns) <= ns / 16 + 1);
        }

        #[test]
        fn the_median_lies_among_what_was_observed(
            samples in prop::collection::vec((0u64..10_000 * MS, any::<u64>()), 3..100),
        ) {
            let mut median = Median::default();
            let mut now = Instant::default();
            for (gap, ns) in &samples {
                now = Instant(now.0 + gap);
                median.observe(now, *ns, 1);
            }
            let buckets = samples.iter().map(|(_, ns)| bucket_of(*ns));
            let (low, high) = (buckets.clone().min().unwrap(), buckets.max().unwrap());
            let median = median.get_at(now).unwrap();
            prop_assert!((low..=high).contains(&bucket_of(median)));
        }
    }
}
