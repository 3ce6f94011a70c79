//! A scenario's rounds as a table of medians, and in words where llb falls short.

use super::peer::Peer;
use super::quantiles::{Quantiles, median};
use super::round::{Round, good};
use super::scenario::Scenario;

/// A difference below this part is the machine's, not the peer's.
const WORTH_SAYING: f64 = 1.05;

/// Medians over a scenario's good rounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) peer: Peer,
    pub(super) latency: Quantiles,
    pub(super) per_second: f64,
    /// In all good rounds together.
    pub(super) failed: usize,
    pub(super) requests: usize,
}

/// What the peers are compared by.
#[derive(Clone, Copy)]
enum Figure {
    AnswersPerSecond,
    P99,
    P999,
}

impl Figure {
    fn of(scenario: Scenario) -> [Figure; 2] {
        match scenario {
            Scenario::Cheap => [Figure::AnswersPerSecond, Figure::P99],
            Scenario::HeavyTail | Scenario::SlowOne => [Figure::P99, Figure::P999],
        }
    }

    fn value(self, row: &Row) -> f64 {
        match self {
            Figure::AnswersPerSecond => row.per_second,
            Figure::P99 => row.latency.p99 as f64,
            Figure::P999 => row.latency.p999 as f64,
        }
    }

    fn is_better(self, row: &Row, than: &Row) -> bool {
        let (one, other) = (self.value(row), self.value(than));
        match self {
            Figure::AnswersPerSecond => one > other * WORTH_SAYING,
            Figure::P99 | Figure::P999 => one * WORTH_SAYING < other,
        }
    }

    fn said(self, row: &Row) -> String {
        match self {
            Figure::AnswersPerSecond => format!("{:.0} answers/s", row.per_second),
            Figure::P99 => format!("a p99 of {:.1} ms", self.value(row) / 1e6),
            Figure::P999 => format!("a p99.9 of {:.1} ms", self.value(row) / 1e6),
        }
    }
}

pub(super) fn rows(rounds: &[Round], peers: &[Peer]) -> Vec<Row> {
    let good = good(rounds);
    let row = |peer: &Peer| {
        let all: Vec<_> = good.iter().filter_map(|round| round.of(*peer)).collect();
        (!all.is_empty()).then(|| Row {
            peer: *peer,
            latency: Quantiles::medians(&all.iter().map(|measured| measured.latency).collect::<Vec<_>>()),
            per_second: median(all.iter().map(|measured| measured.per_second).collect()),
            failed: all.iter().map(|measured| measured.failed).sum(),
            requests: all.iter().map(|measured| measured.requests).sum(),
        })
    };
    peers.iter().filter_map(row).collect()
}

/// The table, as Markdown that is aligned enough for a terminal.
pub(super) fn markdown(scenario: Scenario, rounds: &[Round], rows: &[Row]) -> String {
    let what = if scenario == Scenario::Cheap { "answers/s" } else { "p99" };
    let mut text = format!(
        "| {:28} | {:>7} | {:>7} | {:>7} | {:>7} | {:>9} | {:>12} | {:>9} | {:>9} |\n|{:-<30}|{}",
        "who",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "answers/s",
        "failed",
        "to plain",
        "to shared",
        "",
        "--------:|".repeat(4)
    );
    text += "----------:|-------------:|----------:|----------:|\n";
    for row in rows {
        let failed = format!("{} of {}", row.failed, row.requests);
        let ratio = |to| ratio(scenario, row, rows, to);
        text += &format!(
            "| {:28} | {} | {:9.0} | {failed:>12} | {:>9} | {:>9} |\n",
            row.peer.name(),
            latencies(&row.latency),
            row.per_second,
            ratio(Peer::Plain),
            ratio(Peer::Shared)
        );
    }
    let ideals: Vec<_> = good(rounds).iter().filter_map(|round| round.ideal).collect();
    if !ideals.is_empty() {
        let ideal = latencies(&Quantiles::medians(&ideals));
        text += &format!(
            "| {:28} | {ideal} | {:>9} | {:>12} | {:>9} | {:>9} |\n",
            "ideal queue, no machine", "", "", "", ""
        );
    }
    text + &format!("\nThe ratios are of {what}.\n")
}

fn latencies(latency: &Quantiles) -> String {
    let ms = |ns: u64| format!("{:7.1}", ns as f64 / 1e6);
    [latency.p50, latency.p90, latency.p99, latency.p999].map(ms).join(" | ")
}

fn ratio(scenario: Scenario, row: &Row, rows: &[Row], to: Peer) -> String {
    let [figure, _] = Figure::of(scenario);
    let to = rows.iter().find(|row| row.peer == to).map(|row| figure.value(row));
    to.filter(|to| *to > 0.0).map_or_else(String::new, |to| format!("{:.2}", figure.value(row) / to))
}

/// A line for everyone and every figure that is better than that of llb's default, or that there is none.
pub(super) fn shortfalls(scenario: Scenario, rows: &[Row]) -> String {
    let Some(ours) = rows.iter().find(|row| row.peer == Peer::LeastLatency) else { return String::new() };
    let mut lines = String::new();
    for figure in Figure::of(scenario) {
        for row in rows.iter().filter(|row| figure.is_better(row, ours)) {
            let (who, we) = (row.peer.name(), ours.peer.name());
            lines += &format!("- Falls short: {we} has {}, {who} {}.\n", figure.said(ours), figure.said(row));
        }
    }
    if lines.is_empty() { format!("Nobody does better than {} here.\n", ours.peer.name()) } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::round::Measured;

    fn measured(peer: Peer, p99_ms: u64, per_second: f64) -> Measured {
        let latency = Quantiles { p99: p99_ms * 1_000_000, ..Quantiles::default() };
        Measured { peer, latency, per_second, requests: 10, failed: 1, late_p99: 0 }
    }

    fn rounds() -> Vec<Round> {
        let round = |ours| Round {
            seed: 1,
            ideal: Some(Quantiles { p99: 7_000_000, ..Quantiles::default() }),
            measured: vec![
                measured(Peer::Plain, 300, 25_000.0),
                measured(Peer::Shared, 8, 30_000.0),
                measured(Peer::LeastLatency, ours, 27_000.0),
            ],
            repeated: 0,
        };
        [10, 90, 12].map(round).to_vec()
    }

    #[test]
    fn a_row_is_the_median_and_its_ratios_are_to_both_ends() {
        let rounds = rounds();
        let rows = rows(&rounds, &Peer::ALL);
        assert_eq!(rows.len(), 3, "who was not measured has no row");
        assert_eq!((rows[2].latency.p99, rows[2].failed, rows[2].requests), (12_000_000, 3, 30));
        let table = markdown(Scenario::HeavyTail, &rounds, &rows);
        let ours = table.lines().find(|line| line.contains("llb least-latency")).unwrap();
        assert!(ours.contains(" 12.0 |") && ours.ends_with("0.04 |      1.50 |"), "{ours}");
        assert!(table.contains("ideal queue"));
        let columns: Vec<_> = table.lines().take(6).map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [10; 6]);
    }

    #[test]
    fn who_does_better_is_named() {
        let rows = rows(&rounds(), &Peer::ALL);
        let said = shortfalls(Scenario::Cheap, &rows);
        assert_eq!(
            said,
            "- Falls short: llb least-latency has 27000 answers/s, one shared accept queue 30000 answers/s.\n\
             - Falls short: llb least-latency has a p99 of 12.0 ms, one shared accept queue a p99 of 8.0 ms.\n"
        );
        assert!(shortfalls(Scenario::HeavyTail, &rows[2..]).starts_with("Nobody does better"));
    }
}
