//! The figures of a scenario, in terms of the ideal's.

use std::fmt::Write;

use llb_kit::quantiles::{at, median, sorted};

use super::{MS, world::Outcome};

/// The quantiles that are told.
pub(super) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// Part of a run that is left out, as nothing is known of any worker at its start.
const WARM_UP: f64 = 0.05;

/// The quantiles of one run's short requests, ns.
pub(super) fn quantiles(outcome: &Outcome) -> [f64; 4] {
    quantiles_of(&outcome.short_ns)
}

/// The quantiles of latencies in the order of the requests, ns.
pub(super) fn quantiles_of(latencies_ns: &[u64]) -> [f64; 4] {
    let first = (latencies_ns.len() as f64 * WARM_UP) as usize;
    let sorted = sorted(latencies_ns[first..].to_vec());
    QUANTILES.map(|quantile| at(&sorted, quantile) as f64)
}

/// What a method made of each seed.
pub(super) struct Line {
    pub(super) name: String,
    /// By seed: quantiles, ns.
    pub(super) quantiles: Vec<[f64; 4]>,
    /// By seed: part of the requests that failed.
    pub(super) failed: Vec<f64>,
}

/// The table of one scenario; the first line is the ideal.
pub(super) fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<16}{:>8}{:>8}{:>8}{:>8}  |{:>9}{:>9}{:>9}{:>9} ms{:>9}\n",
        "", "p50", "p90", "p99", "p99.9", "p50", "p90", "p99", "p99.9", "failed"
    );
    let Some(ideal) = lines.first() else { return text };
    for line in lines {
        let over = |index: usize| {
            let pairs = line.quantiles.iter().zip(&ideal.quantiles);
            median(pairs.map(|(own, ideal)| own[index] / ideal[index]).collect())
        };
        let raw = |index: usize| median(line.quantiles.iter().map(|own| own[index] / MS as f64).collect());
        let _ = write!(text, "{:<16}", line.name);
        for index in 0..QUANTILES.len() {
            let _ = write!(text, "{:>8.2}", over(index));
        }
        text.push_str("  |");
        for index in 0..QUANTILES.len() {
            let _ = write!(text, "{:>9.2}", raw(index));
        }
        let _ = writeln!(text, "   {:>8.2}%", 100.0 * median(line.failed.clone()));
    }
    text
}
