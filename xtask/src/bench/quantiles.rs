//! Quantiles of what was measured, and medians over rounds.

/// What is reported of a set of latencies, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quantiles {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
}

impl Quantiles {
    /// Zeros if there are none.
    pub(super) fn of(mut latencies: Vec<u64>) -> Self {
        latencies.sort_unstable();
        let at = |permille| at(&latencies, permille);
        Self { p50: at(500), p90: at(900), p99: at(990), p999: at(999) }
    }

    /// The median of each quantile.
    pub(super) fn medians(of: &[Self]) -> Self {
        let of = |quantile: fn(&Self) -> u64| median(of.iter().map(|each| quantile(each) as f64).collect()) as u64;
        Self { p50: of(|q| q.p50), p90: of(|q| q.p90), p99: of(|q| q.p99), p999: of(|q| q.p999) }
    }
}

/// The nearest-rank quantile of a sorted slice.
fn at(sorted: &[u64], permille: usize) -> u64 {
    let rank = (sorted.len() * permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The median, the mean of the middle two if there is no middle one; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_the_nearest_ranks() {
        let quantiles = Quantiles::of((1..=1000).rev().collect());
        assert_eq!(quantiles, Quantiles { p50: 500, p90: 900, p99: 990, p999: 999 });
        assert_eq!(Quantiles::of(vec![7]), Quantiles { p50: 7, p90: 7, p99: 7, p999: 7 });
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
    }

    #[test]
    fn the_median_is_not_spoiled_by_one_bad_round() {
        assert_eq!(median(vec![5.0, 900.0, 6.0]), 6.0);
        assert_eq!(median(vec![5.0, 6.0]), 5.5);
        assert_eq!(median(vec![]), 0.0);
    }
}
