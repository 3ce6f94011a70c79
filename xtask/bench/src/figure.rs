//! What peers are compared by, and their ratios in the same rounds: this machine drifts, so that a median divided by a
//! median would compare a good minute with a bad one.

use super::measured::Measured;
use super::peer::Peer;
use super::round::Round;
use super::spec::Spec;
use llb_kit::quantiles::median;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    P99,
    P999,
    AnswersPerSecond,
    CpuPerAnswer,
    Waited,
}

impl Figure {
    /// The ones that matter under this load, the one of the tables' ratios first.
    pub(super) fn of(spec: &Spec) -> &'static [Figure] {
        if spec.is_closed() {
            &[Figure::AnswersPerSecond, Figure::P99, Figure::CpuPerAnswer]
        } else if spec.stop.is_some() {
            &[Figure::P99, Figure::Waited]
        } else {
            &[Figure::P99, Figure::P999]
        }
    }

    pub(super) fn value(self, measured: &Measured) -> f64 {
        match self {
            Figure::P99 => measured.latency.p99 as f64,
            Figure::P999 => measured.latency.p999 as f64,
            Figure::AnswersPerSecond => measured.per_second,
            Figure::CpuPerAnswer => measured.cpu_ns,
            Figure::Waited => measured.waited,
        }
    }

    pub(super) fn more_is_better(self) -> bool {
        self == Figure::AnswersPerSecond
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Figure::P99 => "p99",
            Figure::P999 => "p99.9",
            Figure::AnswersPerSecond => "answers/s",
            Figure::CpuPerAnswer => "CPU time an answer",
            Figure::Waited => "part that waits more than 300 ms",
        }
    }
}

/// A figure over rounds: the median, and the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) rounds: usize,
}

impl Spread {
    /// `None` if there is nothing, or something is no number.
    pub(super) fn of(values: Vec<f64>) -> Option<Self> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        let rounds = values.len();
        values.iter().all(|value| value.is_finite()).then(|| Self { median: median(values), min, max, rounds })
    }
}

/// One peer's figure divided by another's, round by round.
pub(super) fn ratio(rounds: &[&Round], figure: Figure, of: Peer, to: Peer) -> Option<Spread> {
    ratio_to(rounds, figure, of, |round| Some(figure.value(round.of(to)?)))
}

/// One peer's figure divided by what `to` says of each round.
pub(super) fn ratio_to(
    rounds: &[&Round],
    figure: Figure,
    of: Peer,
    to: impl Fn(&Round) -> Option<f64>,
) -> Option<Spread> {
    Spread::of(rounds.iter().filter_map(|round| Some(figure.value(round.of(of)?) / to(round)?)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::example;

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let round = |plain, ours| Round {
            seed: 1,
            ideal: None,
            measured: vec![example(Peer::Plain, plain, 1.0), example(Peer::LeastLatency, ours, 1.0)],
            repeated: 0,
        };
        let rounds = [round(10, 20), round(100, 100), round(40, 20)];
        let spread = ratio(&rounds.iter().collect::<Vec<_>>(), Figure::P99, Peer::LeastLatency, Peer::Plain);
        assert_eq!(spread, Some(Spread { median: 1.0, min: 0.5, max: 2.0, rounds: 3 }));
        assert_eq!(ratio(&[&rounds[0]], Figure::P99, Peer::LeastLatency, Peer::Nginx), None);
        assert_eq!(ratio(&[&rounds[0]], Figure::Waited, Peer::LeastLatency, Peer::Plain), None, "nothing by nothing");
    }
}
