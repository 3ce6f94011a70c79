//! What a run leaves: text for the terminal, a page, and JSON with every round, the bad ones too.

use serde_json::{Value, json};

use super::machine::Machine;
use super::peer::Peer;
use super::quantiles::Quantiles;
use super::round::{Measured, Round, good};
use super::scenario::Scenario;
use super::table;

/// Everything of a run.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// What repeats it.
    pub(super) command: String,
    pub(super) peers: Vec<Peer>,
    pub(super) scenarios: Vec<(Scenario, Vec<Round>)>,
}

impl Report {
    /// docs/benchmarks.md.
    pub(super) fn page(&self) -> String {
        let mut page = format!(
            "# Benchmarks\n\nEverybody gets the same requests in one run, on loopback: {}.\n\n```sh\n{}\n```\n\n\
             writes this page. A round measures everybody once, each time in another order. Rounds in which the machine \
             itself was in the way are thrown away: those whose shared accept queue, the control, had a p99 above twice \
             the ideal's and 5 ms, or, where no work is done, less than 0.7 of its usual answers; and those whose load \
             generator began a request in a hundred more than 5 ms late, for whomever it was, even when that peer was \
             measured a second time. The tables hold medians over the rounds that are left. A request that fails counts \
             as 3 s, whatever it asked for.\n\nThe workers sleep instead of \
             computing, and share their cores with the load generator: so this compares the choice of a worker, not what \
             a larger machine could serve. With three good rounds or fewer, a difference of a few tenths is noise.\n",
            self.machine.line(),
            self.command
        );
        for (scenario, rounds) in &self.scenarios {
            page += &format!("\n## {}\n\n{}\n\n{}", scenario.name(), scenario.about(), self.section(*scenario, rounds));
        }
        page
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let sections = self.scenarios.iter();
        sections
            .map(|(scenario, rounds)| format!("\n== {}\n{}", scenario.name(), self.section(*scenario, rounds)))
            .collect()
    }

    fn section(&self, scenario: Scenario, rounds: &[Round]) -> String {
        let (all, good) = (rounds.len(), good(rounds).len());
        let repeated: usize = rounds.iter().map(|round| round.repeated).sum();
        let tally = format!(
            "Rounds: {good} good, {} of {all} thrown away; {repeated} single measurements made again, the generator was late.\n",
            all - good
        );
        if good == 0 {
            return tally + "Nothing can be said about this scenario.\n";
        }
        let rows = table::rows(rounds, &self.peers);
        let table = table::markdown(scenario, rounds, &rows);
        format!("{table}\n{tally}\n{}", table::shortfalls(scenario, &rows))
    }

    pub(super) fn json(&self) -> Value {
        let Machine { cores, cpu, kernel, date } = &self.machine;
        let scenario = |(scenario, rounds): &(Scenario, Vec<Round>)| {
            let good: Vec<u64> = good(rounds).iter().map(|round| round.seed).collect();
            let round = |round: &Round| {
                json!({
                    "seed": round.seed,
                    "repeated": round.repeated,
                    "good": good.contains(&round.seed),
                    "ideal_ns": round.ideal.as_ref().map(quantiles),
                    "measured": round.measured.iter().map(measured).collect::<Vec<_>>(),
                })
            };
            json!({ "scenario": scenario.name(), "rounds": rounds.iter().map(round).collect::<Vec<_>>() })
        };
        json!({
            "machine": { "cores": cores, "cpu": cpu, "kernel": kernel },
            "date": date,
            "command": self.command,
            "scenarios": self.scenarios.iter().map(scenario).collect::<Vec<_>>(),
        })
    }
}

fn measured(measured: &Measured) -> Value {
    json!({
        "peer": measured.peer.name(),
        "latency_ns": quantiles(&measured.latency),
        "per_second": measured.per_second,
        "requests": measured.requests,
        "failed": measured.failed,
        "late_p99_ns": measured.late_p99,
    })
}

fn quantiles(quantiles: &Quantiles) -> Value {
    json!({ "p50": quantiles.p50, "p90": quantiles.p90, "p99": quantiles.p99, "p99.9": quantiles.p999 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(shared_p99: u64) -> Report {
        let latency = Quantiles { p99: shared_p99, ..Quantiles::default() };
        let shared = Measured { peer: Peer::Shared, latency, per_second: 400.0, requests: 10, failed: 0, late_p99: 0 };
        let round = Round { seed: 7, ideal: Some(Quantiles::default()), measured: vec![shared], repeated: 0 };
        Report {
            machine: Machine { cores: 2, cpu: "Fast".into(), kernel: "6.12".into(), date: "2026-01-02".into() },
            command: "cargo xtask bench".into(),
            peers: vec![Peer::Shared],
            scenarios: vec![(Scenario::SlowOne, vec![round])],
        }
    }

    #[test]
    fn the_page_says_where_when_how_and_what() {
        let page = report(5_000_000).page();
        for part in
            ["2 cores (Fast), Linux 6.12, 2026-01-02", "\ncargo xtask bench\n", "## slow-one", "Rounds: 1 good, 0 of 1"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn a_bad_round_is_no_table_but_stays_in_the_json() {
        let report = report(6_000_000);
        assert!(report.text().contains("Rounds: 0 good, 1 of 1 thrown away"));
        assert!(!report.text().contains("shared accept queue"));
        let round = &report.json()["scenarios"][0]["rounds"][0];
        assert_eq!((&round["good"], &round["measured"][0]["latency_ns"]["p99"]), (&json!(false), &json!(6_000_000)));
    }
}
