//! How long answers took.

use llb_common::{
    abi::BUCKETS,
    histogram::{end, quantile},
};
use serde::{Deserialize, Serialize};

/// Quantiles of the time from a request's first byte in to the first byte out, microseconds: the ends of the buckets
/// that hold them, so up to a quarter too much. An example is [there](super).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyStatus {
    /// The median.
    pub p50: f64,
    /// Nine of ten take no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
}

impl LatencyStatus {
    /// Of answers by bucket ([`llb_common::histogram`]); nothing where there are none.
    #[must_use]
    pub(crate) fn of(latencies: &[u64; BUCKETS]) -> Option<Self> {
        let at = |permille| us(quantile(latencies, permille));
        let any = latencies.iter().any(|count| *count > 0);
        any.then(|| LatencyStatus { p50: at(500), p90: at(900), p99: at(990), p999: at(999) })
    }
}

/// What each bucket counts in all of them.
#[must_use]
pub(crate) fn sum_of(all: impl Iterator<Item = [u64; BUCKETS]>) -> [u64; BUCKETS] {
    all.fold([0; BUCKETS], |sum, latencies| std::array::from_fn(|bucket| sum[bucket] + latencies[bucket]))
}

/// The buckets that are not empty: where each ends, microseconds, and how many answers it holds.
#[must_use]
pub(crate) fn histogram(latencies: &[u64; BUCKETS]) -> Vec<(f64, u64)> {
    let ends = (0..).map(|bucket| us(end(bucket)));
    ends.zip(latencies).filter(|(_, count)| **count > 0).map(|(end, count)| (end, *count)).collect()
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
