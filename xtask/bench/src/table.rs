//! A scenario's good rounds as a table of medians, and in words who does better than llb.

use super::figure::{Figure, Spread, ratio};
use super::measured::Measured;
use super::peer::Peer;
use super::round::Round;
use super::spec::Spec;
use llb_kit::quantiles::{Quantiles, median};

/// A difference below this part is the machine's, not the peer's.
const WORTH_SAYING: f64 = 1.05;

/// Medians over a scenario's good rounds.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    peer: Peer,
    latency: Quantiles,
    per_second: f64,
    cpu_us: f64,
    waited: f64,
    /// In all good rounds together.
    failed: usize,
    requests: usize,
}

fn row(rounds: &[&Round], peer: Peer) -> Option<Row> {
    let all: Vec<_> = rounds.iter().filter_map(|round| round.of(peer)).collect();
    let of = |value: fn(&Measured) -> f64| median(all.iter().map(|measured| value(measured)).collect());
    (!all.is_empty()).then(|| Row {
        peer,
        latency: Quantiles::medians(&all.iter().map(|measured| measured.latency).collect::<Vec<_>>()),
        per_second: of(|measured| measured.per_second),
        cpu_us: of(|measured| measured.cpu_ns / 1e3),
        waited: of(|measured| measured.waited),
        failed: all.iter().map(|measured| measured.failed).sum(),
        requests: all.iter().map(|measured| measured.requests).sum(),
    })
}

/// The table, as Markdown that is aligned enough for a terminal.
pub(super) fn markdown(spec: &Spec, rounds: &[&Round]) -> String {
    let heads = ["p50", "p90", "p99", "p99.9", "answers/s", "CPU µs", "failed"];
    let last =
        if spec.stop.is_some() { &["> 300 ms", "to plain", "to shared"][..] } else { &["to plain", "to shared"] };
    let mut text = line("who", heads.into_iter().chain(last.iter().copied()).map(str::to_owned));
    text += &format!("|{:-<30}|{}\n", "", "----------:|".repeat(heads.len() + last.len()));
    for row in Peer::ALL.into_iter().filter_map(|peer| row(rounds, peer)) {
        let mut cells = latencies(&row.latency).to_vec();
        cells.extend([format!("{:.0}", row.per_second), format!("{:.0}", row.cpu_us)]);
        cells.push(format!("{}/{}", row.failed, row.requests));
        if spec.stop.is_some() {
            cells.push(format!("{:.2}%", row.waited * 100.0));
        }
        for to in [Peer::Plain, Peer::Shared] {
            let ratio = ratio(rounds, Figure::of(spec)[0], row.peer, to);
            cells.push(ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.median)));
        }
        text += &line(row.peer.name(), cells.into_iter());
    }
    let ideals: Vec<_> = rounds.iter().filter_map(|round| round.ideal).collect();
    if !ideals.is_empty() {
        let cells = latencies(&Quantiles::medians(&ideals)).into_iter();
        text += &line("ideal queue, no machine", cells.chain((4..heads.len() + last.len()).map(|_| String::new())));
    }
    text + &format!("\nThe ratios are of {}, in the same round; the median.\n", Figure::of(spec)[0].name())
}

fn line(first: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {first:28} |{}\n", cells.map(|cell| format!(" {cell:>9} |")).collect::<String>())
}

/// ms.
fn latencies(latency: &Quantiles) -> [String; 4] {
    let ms = |ns: u64| format!("{:.1$}", ns as f64 / 1e6, if ns < 10_000_000 { 2 } else { 1 });
    [latency.p50, latency.p90, latency.p99, latency.p999].map(ms)
}

/// A line for everyone and every figure that is better than that of llb's default in every round, or that there is none.
pub(super) fn who_does_better(spec: &Spec, rounds: &[&Round]) -> String {
    let ours = Peer::LeastLatency;
    let mut lines = String::new();
    for figure in Figure::of(spec) {
        for peer in Peer::ALL.into_iter().filter(|peer| ![ours, Peer::PlainAgain].contains(peer)) {
            let Some(Spread { median, min, max, rounds }) = ratio(rounds, *figure, ours, peer) else { continue };
            let is_better = if figure.more_is_better() { max * WORTH_SAYING < 1.0 } else { min > WORTH_SAYING };
            if is_better {
                let ends = if rounds == 1 { String::new() } else { format!(" ({min:.2} to {max:.2})") };
                lines += &format!(
                    "- {} does better: {}'s {} is {median:.2} times its{ends}.\n",
                    peer.name(),
                    ours.name(),
                    figure.name()
                );
            }
        }
    }
    match (lines.is_empty(), rounds.len()) {
        (true, _) => format!("Nobody does better than {} by 5% in every round.\n", ours.name()),
        (false, 1) => format!("Of one round, so noise is among these:\n\n{lines}"),
        (false, _) => format!("By more than 5%, in every round:\n\n{lines}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::example;
    use crate::scenario::Scenario;
    use crate::spec::spec;

    fn rounds(ours: [u64; 3]) -> Vec<Round> {
        let round = |ours| Round {
            seed: 1,
            ideal: Some(Quantiles { p99: 7_000_000, ..Quantiles::default() }),
            measured: vec![
                example(Peer::Plain, 300, 25_000.0),
                example(Peer::Shared, 8, 30_000.0),
                example(Peer::LeastLatency, ours, 27_000.0),
            ],
            repeated: 0,
        };
        ours.map(round).to_vec()
    }

    #[test]
    fn a_row_is_the_median_and_its_ratios_are_to_both_ends() {
        let rounds = rounds([10, 90, 12]);
        for scenario in [Scenario::HeavyTail, Scenario::Stopped] {
            let table = markdown(&spec(scenario, false), &rounds.iter().collect::<Vec<_>>());
            let ours = table.lines().find(|line| line.contains("llb least-latency")).unwrap();
            assert!(ours.contains(" 12.0 |") && ours.ends_with("0.040 |     1.500 |"), "{ours}");
            assert!(ours.contains(" 3/30 |"), "{ours}");
            let columns: Vec<_> = table.lines().take(6).map(|line| line.matches('|').count()).collect();
            assert!(columns.iter().all(|count| *count == columns[0]), "{table}");
        }
    }

    #[test]
    fn who_does_better_in_every_round_is_named() {
        let all = rounds([10, 90, 12]);
        let said = who_does_better(&spec(Scenario::HeavyTail, false), &all.iter().collect::<Vec<_>>());
        assert!(
            said.contains(
                "- one shared accept queue does better: llb least-latency's p99 is 1.50 times its (1.25 to 11.25).\n"
            ),
            "{said}"
        );
        assert!(said.starts_with("By more than 5%, in every round"), "{said}");
        let said = who_does_better(&spec(Scenario::HeavyTail, false), &[&all[0]]);
        assert!(said.starts_with("Of one round, so noise") && said.contains("p99 is 1.25 times its.\n"), "{said}");
        let mut twice = all[0].clone();
        twice.measured.push(example(Peer::PlainAgain, 1, 1.0));
        let said = who_does_better(&spec(Scenario::HeavyTail, false), &[&twice]);
        assert!(!said.contains("again"), "a control is nobody's rival: {said}");
        let some = rounds([10, 8, 12]);
        let said = who_does_better(&spec(Scenario::HeavyTail, false), &some.iter().collect::<Vec<_>>());
        assert!(said.starts_with("Nobody does better"), "{said}");
    }
}
