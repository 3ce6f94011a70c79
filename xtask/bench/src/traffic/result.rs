//! What the clients of a cell have seen under each policy, and whether llb's default is good enough.

use anyhow::{Context, Result};
use serde_json::Value;

use super::cell::{Cell, Figure};
use super::policy::Policy;
use llb_kit::quantiles::{Quantiles, sorted};

/// A request that is given up counts as this long: `GIVEN_UP` of client.py.
const GIVEN_UP_NS: u64 = 3_000_000_000;

/// How much worse than the best policy the default may be.
const OF_THE_BEST: f64 = 1.1;

/// Of two figures that differ by no more than this neither is worse: on a shared machine an event loop wakes so much late
/// now and then, ns.
const NO_DIFFERENCE_NS: f64 = 1_500_000.0;

/// The same of parts that fail: ten of a thousand.
const NO_DIFFERENCE_PART: f64 = 0.01;

/// Said of a figure that is above 1.1 of the best by less than the hash differs from itself.
pub(super) const NOISE: &str = "above 1.1 of the best, as far as noise";

/// What was seen under one policy, over all rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// ns; of those without a good answer, that they were given up.
    pub(super) latencies: Vec<u64>,
    pub(super) failed: usize,
    /// Answers by slot, or held connections where the requests come on those.
    pub(super) slots: Vec<usize>,
}

impl Seen {
    /// Adds what client.py has written.
    pub(super) fn add(&mut self, written: &Value, cell: &Cell) -> Result<()> {
        let answers = written["answers"].as_array().context("the clients said nothing of answers")?;
        for answer in answers {
            let latency = answer[0].as_f64().map(|ms| (ms * 1e6) as u64);
            self.failed += usize::from(latency.is_none());
            self.latencies.push(latency.unwrap_or(GIVEN_UP_NS));
        }
        let held = written["held"].as_array().context("the clients said nothing of what they held")?;
        self.slots.resize(cell.workers, 0);
        let slots: Vec<&Value> =
            if cell.over_held { held.iter().collect() } else { answers.iter().map(|answer| &answer[1]).collect() };
        for slot in slots.iter().filter_map(|slot| slot.as_u64()) {
            *self.slots.get_mut(slot as usize).with_context(|| format!("there is no slot {slot}"))? += 1;
        }
        Ok(())
    }

    /// ns, or a part of all.
    pub(super) fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::P99 => Quantiles::of(&sorted(self.latencies.clone())).p99 as f64,
            Figure::Failed => self.failed as f64 / self.latencies.len().max(1) as f64,
        }
    }

    /// What the busiest worker has, to what each would have of even shares.
    pub(super) fn busiest(&self) -> f64 {
        let most = self.slots.iter().max().copied().unwrap_or(0);
        most as f64 * self.slots.len() as f64 / self.slots.iter().sum::<usize>().max(1) as f64
    }
}

/// One cell's results, in the order of [`Policy::ALL`].
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) cell: &'static Cell,
    pub(super) seen: Vec<Seen>,
    pub(super) failures: Vec<String>,
}

impl Section {
    pub(super) fn new(cell: &'static Cell) -> Self {
        Self { cell, seen: vec![Seen::default(); Policy::ALL.len()], failures: Vec::new() }
    }

    pub(super) fn of(&self, policy: Policy) -> f64 {
        self.seen[policy as usize].figure(self.cell.figure)
    }

    /// The least figure of all policies.
    pub(super) fn best(&self) -> f64 {
        Policy::ALL.into_iter().map(|policy| self.of(policy)).fold(f64::INFINITY, f64::min)
    }

    /// The hash's, and that of the hash as if it were somebody else: they differ by noise alone.
    fn hashes(&self) -> (f64, f64) {
        (self.of(Policy::Hash), self.of(Policy::HashAgain))
    }

    /// The mean of both.
    pub(super) fn hash(&self) -> f64 {
        let (one, other) = self.hashes();
        f64::midpoint(one, other)
    }

    /// By what factor the hash differs from itself.
    pub(super) fn noise(&self) -> f64 {
        let (one, other) = self.hashes();
        if one.min(other) > 0.0 { one.max(other) / one.min(other) } else { 1.0 }
    }

    /// What is required and does not hold; nothing if all does, as far as can be told.
    pub(super) fn falls_short(&self) -> Vec<&'static str> {
        let ours = self.of(Policy::LeastLatency);
        let no_difference = match self.cell.figure {
            Figure::P99 => NO_DIFFERENCE_NS,
            Figure::Failed => NO_DIFFERENCE_PART,
        };
        let is_above = |limit: f64, figure: f64| ours > limit && ours > figure + no_difference;
        let (one, other) = self.hashes();
        let mut short = Vec::new();
        if is_above(OF_THE_BEST * self.best(), self.best()) {
            let is_noise = ours <= OF_THE_BEST.max(self.noise()) * self.best();
            short.push(if is_noise { NOISE } else { "above 1.1 of the best" });
        }
        if is_above(one.max(other), one.max(other)) {
            short.push("above the hash");
        }
        if !self.failures.is_empty() {
            short.push("not measured in every round");
        }
        short
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::traffic::cell;

    /// All policies with these latencies.
    pub(in super::super) fn example(ms: [u64; 5]) -> Section {
        let mut section = Section::new(&cell::ALL[0]);
        for (seen, ms) in section.seen.iter_mut().zip(ms) {
            *seen = Seen { latencies: vec![ms * 1_000_000; 10], failed: 1, slots: vec![3, 1, 1, 1] };
        }
        section
    }

    #[test]
    fn a_cell_is_good_enough_near_the_best_and_not_above_the_hash() {
        assert_eq!(example([90, 100, 20, 21, 22]).falls_short(), [""; 0]);
        assert_eq!(example([99, 100, 20, 21, 23]).falls_short(), ["above 1.1 of the best"]);
        assert_eq!(example([90, 110, 20, 21, 23]).falls_short(), [NOISE]);
        assert_eq!(example([90, 100, 200, 99, 98]).falls_short(), [""; 0], "the hash differs from itself by as much");
        assert_eq!(example([5, 5, 5, 5, 6]).falls_short(), [""; 0], "nobody can tell");
        assert_eq!(example([20, 20, 30, 30, 25]).falls_short(), ["above 1.1 of the best", "above the hash"]);
    }

    #[test]
    fn what_has_no_good_answer_counts_as_given_up_and_for_the_worker_that_failed() {
        let mut seen = Seen::default();
        let written = serde_json::json!({ "answers": [[5.5, 1], [null, 0], [null, null]], "held": [2, 2] });
        seen.add(&written, &cell::ALL[0]).unwrap();
        assert_eq!((seen.latencies, seen.failed), (vec![5_500_000, GIVEN_UP_NS, GIVEN_UP_NS], 2));
        assert_eq!(seen.slots, [1, 1, 0, 0]);
    }

    #[test]
    fn the_busiest_is_told_in_terms_of_an_even_share() {
        assert_eq!(example([1; 5]).seen[0].busiest(), 2.0);
        assert_eq!(Seen::default().busiest(), 0.0);
    }
}
