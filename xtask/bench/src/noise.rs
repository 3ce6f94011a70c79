//! Whether the machine was quiet enough in a round to compare anything.

use super::measured::Measured;
use super::peer::Peer;
use super::round::Round;
use super::spec::Control;
use llb_kit::quantiles::{Quantiles, median};

/// A good machine keeps the shared queue's p99 below so many times the ideal's, and 5 ms: a wake-up late by a few
/// scheduler ticks is no bad minute.
const CONTROL_TIMES: u64 = 2;
const CONTROL_MORE_NS: u64 = 5_000_000;

/// No work has no ideal: there a good machine gives the shared queue at least this part of its usual answers.
const CONTROL_PART: f64 = 0.7;

/// A good machine lets the load generator begin 99 of 100 requests within this time of when they were due. The generator
/// waits for nobody, so its lateness is the machine's, at the very time at which a peer was measured.
const LATE_MAX_NS: u64 = 5_000_000;

pub(super) fn is_late(measured: &Measured) -> bool {
    measured.late_p99 > LATE_MAX_NS
}

/// The good rounds of a scenario.
pub(super) fn good(rounds: &[Round], control: Control) -> Vec<&Round> {
    let per_second = |round: &Round| round.of(Peer::Shared).map(|shared| shared.per_second);
    let usual = median(rounds.iter().filter_map(per_second).collect());
    let is_good = |round: &&Round| {
        let Some(shared) = round.of(Peer::Shared) else { return false };
        let is_near = |ideal: Quantiles| shared.latency.p99 <= CONTROL_TIMES * ideal.p99 + CONTROL_MORE_NS;
        let on_time = !round.measured.iter().any(is_late);
        match control {
            Control::Ideal => on_time && round.ideal.is_some_and(is_near),
            Control::OnTime => on_time,
            Control::Usual => shared.per_second >= CONTROL_PART * usual,
        }
    };
    rounds.iter().filter(is_good).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::example;

    const MS: u64 = 1_000_000;

    fn round(ideal_p99: Option<u64>, p99_ms: u64, per_second: f64) -> Round {
        let ideal = ideal_p99.map(|p99| Quantiles { p99, ..Quantiles::default() });
        Round { seed: p99_ms, ideal, measured: vec![example(Peer::Shared, p99_ms, per_second)], repeated: 0 }
    }

    #[test]
    fn a_round_whose_control_is_far_from_its_ideal_is_thrown_away() {
        let rounds = [round(Some(7 * MS), 19, 0.0), round(Some(7 * MS), 20, 0.0)];
        assert_eq!(good(&rounds, Control::Ideal).iter().map(|round| round.seed).collect::<Vec<_>>(), [19]);
    }

    #[test]
    fn a_round_in_which_the_generator_was_late_for_anybody_is_thrown_away() {
        let mut late = round(Some(7 * MS), 8, 0.0);
        late.measured.push(Measured { late_p99: 6 * MS, ..example(Peer::Nginx, 8, 0.0) });
        assert!(good(&[late], Control::Ideal).is_empty());
    }

    #[test]
    fn a_closed_loop_is_held_against_its_other_rounds() {
        let rounds = [round(None, 1, 30_000.0), round(None, 1, 28_000.0), round(None, 1, 9_000.0)];
        assert_eq!(good(&rounds, Control::Usual).len(), 2);
        assert_eq!(good(&rounds[2..], Control::Usual).len(), 1, "one round has nothing to be held against");
    }
}
