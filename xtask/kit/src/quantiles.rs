//! Quantiles of what was measured, and medians over rounds.

/// What is reported of a set of latencies, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// Nine tenths.
    pub p90: u64,
    /// All but one of a hundred.
    pub p99: u64,
    /// All but one of a thousand.
    pub p999: u64,
}

impl Quantiles {
    /// Zeros if there are none.
    pub fn of(sorted: &[u64]) -> Self {
        let at = |quantile| at(sorted, quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) }
    }

    /// The median of each quantile.
    pub fn medians(of: &[Self]) -> Self {
        let of = |quantile: fn(&Self) -> u64| median(of.iter().map(|each| quantile(each) as f64).collect()) as u64;
        Self { p50: of(|q| q.p50), p90: of(|q| q.p90), p99: of(|q| q.p99), p999: of(|q| q.p999) }
    }
}

/// Latencies at the quantiles of [`grid`], ns: enough to draw them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution(pub Vec<u64>);

impl Distribution {
    /// Zeros if there are none.
    pub fn of(sorted: &[u64]) -> Self {
        Self(grid().into_iter().map(|quantile| at(sorted, quantile)).collect())
    }
}

/// Quantiles ever closer to 1, where the peers differ: in each decade, steps of a hundredth of what is left at its start.
pub fn grid() -> Vec<f64> {
    let mut grid: Vec<f64> = (0..90).map(|at| f64::from(at) / 100.0).collect();
    for decade in 1..4 {
        let left = 0.1_f64.powi(decade);
        grid.extend((0..90).map(|at| 1.0 - left + left * f64::from(at) / 100.0));
    }
    grid.push(0.9999);
    grid
}

/// In ascending order, as quantiles are taken of them.
pub fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

/// The nearest-rank quantile of a sorted slice; zero of none. Ranks are rounded to a millionth: 0.07 times 100 is a little more than 7.
pub fn at<T: Copy + Default>(sorted: &[T], quantile: f64) -> T {
    let rank = (sorted.len() as f64 * quantile * 1e6).round() / 1e6;
    sorted.get((rank.ceil() as usize).saturating_sub(1)).copied().unwrap_or_default()
}

/// The median, the mean of the middle two if there is no middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
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
        let quantiles = Quantiles::of(&sorted((1..=1000).rev().collect()));
        assert_eq!(quantiles, Quantiles { p50: 500, p90: 900, p99: 990, p999: 999 });
        assert_eq!(Quantiles::of(&[]), Quantiles::default());
        assert_eq!(Quantiles::of(&[7]).p50, 7);
        assert_eq!(at(&(1..=100).collect::<Vec<_>>(), 0.07), 7);
    }

    #[test]
    fn a_distribution_is_finest_at_its_end() {
        let grid = grid();
        assert!(grid.len() == 361 && grid.is_sorted_by(|one, next| one < next), "{grid:?}");
        let one = Distribution::of(&(1..=10_000).collect::<Vec<_>>());
        assert_eq!((one.0[50], one.0[360]), (5_000, 9_999));
    }

    #[test]
    fn the_median_is_not_spoiled_by_one_bad_round() {
        assert_eq!(median(vec![5.0, 900.0, 6.0]), 6.0);
        assert_eq!(median(vec![5.0, 6.0]), 5.5);
        assert_eq!(median(vec![]), 0.0);
    }
}
