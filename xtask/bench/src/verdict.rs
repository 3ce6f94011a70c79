//! What llb's default is to reach in each scenario, and whether it does.

use super::figure::{Figure, Spread, ratio, ratio_to};
use super::peer::Peer;
use super::round::Round;
use super::scenario::Scenario;
use super::spec::Spec;

/// Policies this near to the best are as good: the rest is the machine.
const AS_GOOD: f64 = 1.05;

const OURS: Peer = Peer::LeastLatency;

#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    Peer(Peer),
    /// The best of llb's other policies in the round.
    BestOfOurs,
    /// The figure itself.
    One,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Target {
    figure: Figure,
    to: To,
    bound: Bound,
}

/// In each list one is enough.
fn targets(scenario: Scenario) -> Vec<Vec<Target>> {
    let at_most = |figure, to, most| Target { figure, to, bound: Bound::AtMost(most) };
    let plain = To::Peer(Peer::Plain);
    let closed = |least| {
        vec![
            // Or within two hundredths of what is left with programs that do nothing.
            vec![
                Target { figure: Figure::AnswersPerSecond, to: plain, bound: Bound::AtLeast(least) },
                Target { figure: Figure::AnswersPerSecond, to: To::Peer(Peer::Hooked), bound: Bound::AtLeast(0.98) },
            ],
            vec![at_most(Figure::P99, plain, 1.0)],
            vec![at_most(Figure::CpuPerAnswer, plain, 1.03)],
        ]
    };
    match scenario {
        Scenario::HeavyTail
        | Scenario::HeavyTail70
        | Scenario::HeavyTail85
        | Scenario::HeavyTail4
        | Scenario::HeavyTail16
        | Scenario::HeavyTail64 => vec![
            vec![at_most(Figure::P99, To::Peer(Peer::Shared), 1.05)],
            vec![at_most(Figure::P99, To::Peer(Peer::HaproxyOne), 1.0)],
            vec![at_most(Figure::P999, To::Peer(Peer::Shared), 1.15)],
        ],
        Scenario::SlowOne | Scenario::Unequal => vec![vec![
            at_most(Figure::P99, To::Peer(Peer::LeastInflight), 0.5),
            at_most(Figure::P99, To::BestOfOurs, AS_GOOD),
        ]],
        Scenario::Stopped => vec![vec![at_most(Figure::Waited, To::One, 0.005)]],
        Scenario::Cheap => closed(0.97),
        Scenario::KeepAlive => closed(0.98),
        Scenario::HermesHighCheap
        | Scenario::HermesHighCheap50
        | Scenario::HermesHighDear
        | Scenario::HermesHighDear75
        | Scenario::HermesLowCheap
        | Scenario::HermesLowCheap25 => vec![vec![at_most(Figure::P99, plain, 1.0)]],
        Scenario::HermesLowDear | Scenario::HermesLowDear60 => {
            vec![vec![at_most(Figure::P99, plain, 1.0)], vec![at_most(Figure::P99, To::Peer(Peer::LeastInflight), 1.0)]]
        }
        Scenario::Node => vec![vec![at_most(Figure::P99, To::Peer(Peer::NoLine), 1.02)]],
    }
}

/// The bound of the ratio to this peer, to draw it.
pub(super) fn bound(scenario: Scenario, figure: Figure, to: Peer) -> Option<f64> {
    let mut targets = targets(scenario).into_iter().flatten();
    let Target { bound: Bound::AtMost(bound) | Bound::AtLeast(bound), .. } =
        targets.find(|target| target.figure == figure && target.to == To::Peer(to))?;
    Some(bound)
}

/// How far plain is from itself where it was measured twice: as far as that, a ratio may be off.
pub(super) fn plain_against_itself(spec: &Spec, rounds: &[&Round]) -> Option<String> {
    let said = Figure::of(spec).iter().filter_map(|figure| {
        let spread = ratio(rounds, *figure, Peer::PlainAgain, Peer::Plain)?;
        Some(format!("{} {}", figure.name(), measured(&spread, "", |value| format!("{value:.3}"))))
    });
    let said = said.collect::<Vec<_>>().join("; ");
    (!said.is_empty()).then(|| format!("Plain against itself, so what a ratio here may be off by: {said}.\n"))
}

/// A line for every target.
pub(super) fn lines(scenario: Scenario, rounds: &[&Round]) -> String {
    let mut lines = String::new();
    for any in targets(scenario) {
        let judged: Vec<_> = any.iter().map(|target| (target, spread(target, rounds))).collect();
        let holds = |(target, spread): &(&Target, Option<Spread>)| {
            spread.is_some_and(|spread| target.bound.holds(spread.median))
        };
        let verdict = if judged.iter().any(holds) {
            "holds"
        } else if judged.iter().all(|(_, spread)| spread.is_none()) {
            "not measured"
        } else {
            "falls short"
        };
        let said: Vec<_> = judged.iter().map(|(target, spread)| said(target, spread.as_ref())).collect();
        lines += &format!("- **{verdict}**: {}\n", said.join("; or "));
    }
    lines
}

fn spread(target: &Target, rounds: &[&Round]) -> Option<Spread> {
    ratio_to(rounds, target.figure, OURS, |round| match target.to {
        To::Peer(peer) => Some(target.figure.value(round.of(peer)?)),
        To::BestOfOurs => {
            let others = round.measured.iter().filter(|other| other.peer.is_ours() && other.peer != OURS);
            others.map(|other| target.figure.value(other)).reduce(f64::min)
        }
        To::One => Some(1.0),
    })
}

fn said(target: &Target, spread: Option<&Spread>) -> String {
    let show = |value: f64| {
        if target.to == To::One { format!("{:.2}%", value * 100.0) } else { format!("{value:.3}") }
    };
    let to = match target.to {
        To::Peer(peer) => format!(" to {}", peer.name()),
        To::BestOfOurs => " to the best of llb's other policies".to_owned(),
        To::One => String::new(),
    };
    let bound = match target.bound {
        Bound::AtMost(most) => format!("at most {}", show(most)),
        Bound::AtLeast(least) => format!("at least {}", show(least)),
    };
    let Some(spread) = spread else {
        return format!("{}{to} was not measured (target {bound})", target.figure.name());
    };
    let unsure =
        if target.bound.holds(spread.min) == target.bound.holds(spread.max) { "" } else { ", rounds disagree" };
    format!("{}{to} {}, target {bound}", target.figure.name(), measured(spread, unsure, show))
}

/// The median, and behind it the rounds' ends with what there is to say of them.
fn measured(spread: &Spread, remark: &str, show: impl Fn(f64) -> String) -> String {
    let Spread { median, min, max, rounds } = *spread;
    let each = if rounds == 1 {
        "one round".to_owned()
    } else {
        format!("{} to {} in {rounds} rounds{remark}", show(min), show(max))
    };
    format!("{} ({each})", show(median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::{Measured, example};
    use crate::spec::spec;

    fn round(measured: &[(Peer, u64)]) -> Round {
        let measured = measured.iter().map(|(peer, p99_ms)| example(*peer, *p99_ms, 1.0)).collect();
        Round { seed: 1, ideal: None, measured, repeated: 0 }
    }

    #[test]
    fn each_target_is_judged_by_the_median_of_the_rounds() {
        let rounds = [100, 105, 140].map(|ours| round(&[(Peer::Shared, 100), (OURS, ours)]));
        let said = lines(Scenario::HeavyTail, &rounds.iter().collect::<Vec<_>>());
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines[0],
            "- **holds**: p99 to one shared accept queue 1.050 (1.000 to 1.400 in 3 rounds, rounds disagree), target at \
             most 1.050"
        );
        assert!(lines[1].starts_with("- **not measured**"), "{}", lines[1]);
        assert!(lines[2].starts_with("- **holds**"), "{}", lines[2]);
    }

    #[test]
    fn plain_that_was_measured_twice_says_how_far_off_a_ratio_is() {
        let spec = spec(Scenario::Cheap, false);
        let rounds = [98, 103, 100].map(|again| round(&[(Peer::Plain, 100), (Peer::PlainAgain, again)]));
        let rounds: Vec<_> = rounds.iter().collect();
        let said = plain_against_itself(&spec, &rounds).unwrap();
        assert!(said.contains("answers/s 1.000 (1.000 to 1.000 in 3 rounds); p99 1.000 (0.980 to 1.030 in"), "{said}");
        assert_eq!(plain_against_itself(&spec, &[&round(&[(Peer::Plain, 100)])]), None);
    }

    #[test]
    fn of_two_ways_one_is_enough() {
        let judge = |hash| {
            let round = round(&[(OURS, 10), (Peer::LeastInflight, 12), (Peer::Hash, hash)]);
            lines(Scenario::SlowOne, &[&round])
        };
        assert!(judge(50).starts_with("- **holds**"), "{}", judge(50));
        assert!(judge(9).starts_with("- **falls short**"), "{}", judge(9));
    }

    #[test]
    fn what_waits_is_judged_by_itself() {
        let mut round = round(&[]);
        round.measured.push(Measured { waited: 0.006, ..example(OURS, 5, 1.0) });
        let said = lines(Scenario::Stopped, &[&round]);
        assert_eq!(
            said,
            "- **falls short**: part that waits more than 300 ms 0.60% (one round), target at most 0.50%\n"
        );
    }
}
