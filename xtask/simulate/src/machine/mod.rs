//! Workers that share a few cores, with each other and with whoever asks them. Here a choice has a price: a worker that
//! sleeps must be woken and switched to, one that is awake takes its next connection for nothing.

mod cores;
mod run;
mod scenarios;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use llb_kit::quantiles::median;

use super::{figures::quantiles_of, method::Method};
use run::run;
pub(super) use scenarios::{ALL, Machine};

/// The table of one machine: answers a second, the part of all choices that woke a worker, and latencies of short
/// requests, us; medians over the seeds.
pub(super) fn table(machine: &Machine, methods: &[Method], seeds: &[u64]) -> String {
    let mut text = format!(
        "{:<16}{:>10}{:>8}{:>12}{:>12}{:>12}{:>12} us\n",
        "", "answers/s", "woken", "p50", "p90", "p99", "p99.9"
    );
    for method in methods {
        let rows: Vec<[f64; 6]> = seeds
            .iter()
            .map(|seed| {
                let asked = run(machine, *method, *seed);
                let [p50, p90, p99, p999] = quantiles_of(&asked.short_ns).map(|ns| ns / 1_000.0);
                [asked.rate, asked.woken, p50, p90, p99, p999]
            })
            .collect();
        let of = |column: usize| median(rows.iter().map(|row| row[column]).collect());
        let _ = write!(text, "{:<16}{:>10.0}{:>8.2}", method.name(), of(0), of(1));
        for column in 2..6 {
            let _ = write!(text, "{:>12.1}", of(column));
        }
        text.push('\n');
    }
    text
}
