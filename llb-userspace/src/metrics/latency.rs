//! Latencies as a classic histogram: the buckets of the status, fewer of them.

/// A histogram. Buckets are not cumulative.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latency {
    /// The upper ends, seconds, the last one without end; and how many answers each holds.
    pub buckets: Vec<(f64, u64)>,
    /// Of all answers, as if each had taken the middle of its bucket of the status: at most an eighth off.
    pub sum: f64,
    pub count: u64,
}

/// The shortest and the longest time that a bucket ends at: 2^17 ns, 0.13 ms, and 2^36 ns, a little over a minute.
const FIRST: u32 = 17;
const LAST: u32 = 36;

/// How finely an octave is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// One bucket: there may be 256 workers.
    Octave,
    /// Four, as the status has them.
    Quarter,
}

impl Latency {
    /// Of a histogram of the status: the ends of its buckets in µs, and what they hold.
    pub(crate) fn of(status: &[(f64, u64)], resolution: Resolution) -> Self {
        let step = if resolution == Resolution::Octave { 4 } else { 1 };
        // An octave's quarters end at 5/4, 6/4, 7/4 and 8/4 of its beginning.
        let quarter = |part: u32| (1_u64 << (FIRST + part / 4)) / 4 * u64::from(4 + part % 4);
        let ends = (0..=(LAST - FIRST) * 4).step_by(step).map(quarter);
        let mut buckets: Vec<(f64, u64)> = ends.map(|ns| (ns as f64 / 1e9, 0)).chain([(f64::INFINITY, 0)]).collect();
        let (mut sum, mut count) = (0.0, 0);
        for (end_us, answers) in status {
            let ns = end_us * 1e3;
            let at = buckets.partition_point(|(end, _)| end * 1e9 + 0.5 < ns);
            // The last one has no end, so there is one.
            if let Some((_, held)) = buckets.get_mut(at) {
                *held += answers;
            }
            sum += middle(ns) / 1e9 * *answers as f64;
            count += answers;
        }
        Latency { buckets, sum, count }
    }
}

/// The middle of the bucket of the status that ends there, ns: a quarter of the octave that it is in is its width.
fn middle(end: f64) -> f64 {
    let octave = (end - 1.0).max(1.0).log2().floor();
    end - octave.exp2() / 8.0
}

#[cfg(test)]
mod tests {
    use llb_common::{abi::BUCKETS, histogram::bucket};

    use super::{Latency, Resolution};
    use crate::observe::status::histogram;

    fn of(times_ns: &[u64], resolution: Resolution) -> Latency {
        let mut counts = [0; BUCKETS];
        times_ns.iter().for_each(|ns| counts[bucket(*ns) as usize] += 1);
        Latency::of(&histogram(&counts), resolution)
    }

    #[test]
    fn every_answer_is_in_the_bucket_that_holds_it() {
        let times = [900, 131_071, 131_072, 5_000_000, 5_000_001, 250_000_000, 68_000_000_000, 90_000_000_000];
        for resolution in [Resolution::Octave, Resolution::Quarter] {
            let latency = of(&times, resolution);
            assert_eq!(latency.count, times.len() as u64);
            assert_eq!(latency.buckets.iter().map(|(_, count)| count).sum::<u64>(), latency.count);
            for (end, _) in &latency.buckets {
                let below: u64 = latency.buckets.iter().filter(|(e, _)| e <= end).map(|(_, count)| count).sum();
                let expected = times.iter().filter(|ns| (**ns as f64) < end * 1e9).count() as u64;
                assert_eq!(below, expected, "{end} of {latency:?}");
            }
        }
        assert_eq!(of(&[], Resolution::Octave).buckets.len(), 21);
        assert_eq!(of(&[], Resolution::Quarter).buckets.len(), 78);
    }

    #[test]
    fn the_sum_is_an_eighth_off_at_most() {
        for ns in [4_500, 131_072, 1_000_000, 7_654_321, 900_000_000, 20_000_000_000] {
            let (sum, exact) = (of(&[ns], Resolution::Octave).sum, ns as f64 / 1e9);
            assert!((sum - exact).abs() <= exact / 8.0, "{ns}: {sum}");
        }
    }
}
