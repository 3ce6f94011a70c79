//! A histogram of times whose buckets grow with the time: four to an octave, so a time is known to a fifth at worst.

use crate::abi::BUCKETS;

/// The first bucket ends at 2^10 ns, about a microsecond: below that times are noise.
const UNIT: u32 = 10;

/// The bucket of a time of `ns`.
#[must_use]
#[inline(always)]
pub const fn bucket(ns: u64) -> u32 {
    let units = ns >> UNIT;
    if units < 4 {
        return units as u32;
    }
    let octave = 63 - units.leading_zeros();
    let quarter = (units >> (octave - 2)) as u32 & 3;
    let bucket = (octave - 1) * 4 + quarter;
    if bucket < BUCKETS as u32 { bucket } else { BUCKETS as u32 - 1 }
}

/// Where a bucket ends and the next begins, ns.
#[must_use]
pub const fn end(bucket: u32) -> u64 {
    if bucket < 4 {
        return (bucket as u64 + 1) << UNIT;
    }
    let (octave, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
    ((quarter + 5) << (octave - 2)) << UNIT
}

/// The end of the bucket that holds the quantile `permille`, ns; 0 if nothing was counted.
#[must_use]
pub fn quantile(counts: &[u64; BUCKETS], permille: u64) -> u64 {
    let all: u64 = counts.iter().sum();
    let rank = (all.saturating_mul(permille)).div_ceil(1000).max(1);
    let mut below = 0;
    let holds = counts.iter().position(|count| {
        below += count;
        below >= rank
    });
    holds.map_or(0, |bucket| end(bucket as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_lies_in_its_bucket(ns in 0u64..1 << 42) {
            let bucket = bucket(ns);
            prop_assert!(ns < end(bucket), "{bucket}");
            prop_assert!(bucket == 0 || ns >= end(bucket - 1), "{bucket}");
        }
    }

    #[test]
    fn buckets_are_a_fifth_wide_at_most_and_the_last_takes_the_rest() {
        for bucket in 4..BUCKETS as u32 - 1 {
            assert!(end(bucket) * 4 <= end(bucket - 1) * 5, "{bucket}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS as u32 - 1);
        assert!(end(BUCKETS as u32 - 1) > 3_600_000_000_000, "an hour");
    }

    #[test]
    fn quantiles_are_the_ends_of_buckets() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile(&counts, 990), 0);
        counts[bucket(5_000_000) as usize] = 98;
        counts[bucket(200_000_000) as usize] = 2;
        let (p50, p99) = (quantile(&counts, 500), quantile(&counts, 990));
        assert!((5_000_000..6_250_000).contains(&p50), "{p50}");
        assert!((200_000_000..250_000_000).contains(&p99), "{p99}");
    }
}
