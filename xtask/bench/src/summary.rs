//! What a run leaves: text for the terminal and a page.

use super::machine::Machine;
use super::noise::good;
use super::round::Round;
use super::scenario::Scenario;
use super::spec::{Kind, Spec};
use super::{table, verdict};

/// One scenario, and what was measured.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) scenario: Scenario,
    pub(super) spec: Spec,
    pub(super) rounds: Vec<Round>,
    /// Why rounds came to nothing.
    pub(super) failures: Vec<String>,
}

impl Section {
    pub(super) fn good(&self) -> Vec<&Round> {
        good(&self.rounds, self.spec.control)
    }
}

/// Everything of a run.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// What repeats it.
    pub(super) command: String,
    pub(super) quick: bool,
    /// Who is not there, and why.
    pub(super) left_out: Vec<String>,
    /// Whether this machine's Node can set SO_REUSEPORT itself.
    pub(super) node_shares: bool,
    pub(super) sections: Vec<Section>,
}

const METHOD: &str = "\
Everybody gets the same requests in one run, on loopback, in a network namespace of its own. A round measures everybody \
once, each time in another order, and the scenarios take turns. The tables hold medians over good rounds. A ratio is \
taken within each round, and then the median of the ratios; behind it stand the least and the greatest. Latency counts \
from the moment a request was due where requests come on their own (open loop), else from when it was begun. A request \
that fails counts as 3 s. CPU µs is the CPU time of the whole machine for an answer, the load generator's and the \
kernel's softirqs included.

Rounds in which the machine itself was in the way are thrown away: those whose shared accept queue, the control, had a \
p99 above twice the ideal's and 5 ms, or, where there is no work, less than 0.7 of its usual answers; and those whose load \
generator began a request in a hundred more than 5 ms late, for whomever it was, even when that peer was measured a second \
time. The ideal is computed: one queue for the same requests, and no machine. Where there is no work and \
a hundredth matters, plain SO_REUSEPORT is measured a second time as if it were somebody else: its ratio to itself says how \
far to trust the other ratios. There, too, plain is measured with an empty program on each of the kernel's hooks that llb \
uses: what that costs are the hooks, and not llb's programs.

Except in `node` the workers sleep instead of computing, and share their cores with the load generator: so this compares \
the choice of a worker, not what a larger machine could serve. Plain, shared and two policies of llb take part in every \
scenario; llb's other policies and the proxies where they tell something. HAProxy with `maxconn 1` gives each worker one \
connection at a time, which is its best setting for workers that block.

The `hermes` scenarios are the four corners of table 3 of Hermes (SIGCOMM 2025): high or low connection rate with cheap or \
dear requests. The paper's own rates and costs are those of large proxies and were not at hand; the corners are \
translated to what 2 cores can carry, at two loads each, and each section says how. Hermes itself is not measured.
";

impl Report {
    /// docs/benchmarks.md. `picture` is where the pictures of a scenario are, if there are any.
    pub(super) fn page(&self, picture: impl Fn(Scenario) -> String) -> String {
        let mut page = format!(
            "# Benchmarks\n\nMeasured on {}, by\n\n```sh\n{}\n```\n\nwhich writes this page.\n\n{METHOD}",
            self.machine.line(),
            self.command
        );
        if self.quick {
            page += "\nThis was a quick run: few peers, and a third of the time for each. Take it as a first look.\n";
        }
        for line in &self.left_out {
            page += &format!("\n{line}\n");
        }
        for section in &self.sections {
            let (name, about) = (section.scenario.name(), section.scenario.about());
            page += &format!("\n## {name}\n\n{about}\n\n{}", self.body(section));
            if !section.good().is_empty() {
                page += &picture(section.scenario);
            }
        }
        page
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let section = |section: &Section| format!("\n== {}\n{}", section.scenario.name(), self.body(section));
        self.sections.iter().map(section).collect()
    }

    fn body(&self, section: &Section) -> String {
        let Section { scenario, spec, rounds, failures } = section;
        let good = section.good();
        let repeated: usize = rounds.iter().map(|round| round.repeated).sum();
        let mut tally = format!(
            "Rounds: {} good, {} of {} thrown away; {repeated} single measurements made again, as the generator was late.\n",
            good.len(),
            rounds.len() - good.len(),
            rounds.len()
        );
        for failure in failures {
            tally += &format!("A round failed: {}\n", failure.lines().next().unwrap_or_default());
        }
        if good.is_empty() {
            return tally + "Nothing can be said about this scenario.\n";
        }
        let mut body = table::markdown(spec, &good);
        if spec.kind == Kind::Node && !self.node_shares {
            body += "This Node cannot set SO_REUSEPORT itself; plain is llb's `hash`, the kernel's own with the option set.\n";
        }
        let verdict = verdict::lines(*scenario, &good);
        let verdict = if verdict.is_empty() { "No target is set here.\n".to_owned() } else { verdict };
        let control = verdict::plain_against_itself(spec, &good).map_or_else(String::new, |said| format!("\n{said}"));
        body + &format!("\n{tally}\n{verdict}{control}\n{}", table::who_does_better(spec, &good))
    }
}

#[cfg(test)]
pub(super) fn example(shared_p99_ms: u64) -> Report {
    use super::measured::example;
    use super::peer::Peer;
    use super::spec::spec;
    use llb_kit::quantiles::Quantiles;

    let round = Round {
        seed: 7,
        ideal: Some(Quantiles::default()),
        measured: vec![example(Peer::Shared, shared_p99_ms, 400.0)],
        repeated: 0,
    };
    let scenario = Scenario::SlowOne;
    Report {
        machine: Machine { cores: 2, cpu: "Fast".into(), kernel: "6.12".into(), date: "2026-01-02".into() },
        command: "cargo xtask bench".into(),
        quick: false,
        left_out: vec!["nginx is not installed.".into()],
        node_shares: false,
        sections: vec![Section {
            scenario,
            spec: spec(scenario, false),
            rounds: vec![round],
            failures: vec!["port 80\nis taken".into()],
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_where_when_how_and_what() {
        let page = example(5).page(|scenario| format!("[{}]", scenario.name()));
        for part in [
            "2 cores (Fast), Linux 6.12, 2026-01-02",
            "\ncargo xtask bench\n",
            "nginx is not installed",
            "## slow-one",
            "Rounds: 1 good, 0 of 1",
            "[slow-one]",
            "\nA round failed: port 80\n",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn a_bad_round_is_no_table() {
        let text = example(6).text();
        assert!(text.contains("Rounds: 0 good, 1 of 1 thrown away") && !text.contains("shared accept queue"), "{text}");
    }
}
