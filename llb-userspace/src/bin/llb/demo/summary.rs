//! From the outcomes of a run to what the picture shows. The latencies are kept and sorted: they are a few thousand, and
//! so every quantile is one that a request really had.

use super::{
    arrivals::Work,
    load::{Failure, Outcome, TIMEOUT},
};
use llb::model::Slot;

/// What a request without an answer counts as, ns. For one that timed out a lower bound; and one that failed at once
/// must not look fast.
pub(super) const UNANSWERED_NS: u64 = TIMEOUT.as_nanos() as u64;

/// One side of the demo: how a fleet did under the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    short_ns: Vec<u64>,
    answered: Vec<usize>,
    failed: Vec<(Failure, usize)>,
    latest_ns: u64,
}

impl Summary {
    /// Sums up the outcomes of a run on `workers` workers; `None` if it had no short request to speak of.
    pub(crate) fn of(outcomes: &[Outcome], workers: u32) -> Option<Summary> {
        let mut summary = Summary {
            short_ns: Vec::with_capacity(outcomes.len()),
            answered: vec![0; workers as usize],
            failed: Vec::new(),
            latest_ns: 0,
        };
        for outcome in outcomes {
            summary.add(outcome);
        }
        summary.short_ns.sort_unstable();
        summary.failed.sort_unstable_by_key(|&(_, count)| std::cmp::Reverse(count));
        (!summary.short_ns.is_empty()).then_some(summary)
    }

    fn add(&mut self, outcome: &Outcome) {
        // A slot that the plan does not have is somebody else's, on our port.
        let answer = outcome.answer.and_then(|slot| match self.answered.get_mut(slot.0 as usize) {
            Some(count) => Ok(count),
            None => Err(Failure::NotUnderstood),
        });
        let latency_ns = match answer {
            Ok(count) => {
                *count += 1;
                outcome.latency_ns
            }
            Err(failure) => {
                self.count_failure(failure);
                UNANSWERED_NS
            }
        };
        if outcome.work == Work::Short {
            self.short_ns.push(latency_ns);
        }
        self.latest_ns = self.latest_ns.max(outcome.late_ns);
    }

    fn count_failure(&mut self, failure: Failure) {
        match self.failed.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, count)) => *count += 1,
            None => self.failed.push((failure, 1)),
        }
    }

    /// Latency in ns that `per_mille` of the short requests did not exceed (nearest rank: 500 is the median, 1000 the
    /// maximum). A request without an answer counts as the load's timeout and so ranks above all answered ones.
    #[must_use]
    pub(crate) fn short_at(&self, per_mille: usize) -> u64 {
        at(&self.short_ns, per_mille)
    }

    /// Latencies of the short requests in ns, ascending.
    #[must_use]
    pub(crate) fn short_ns(&self) -> &[u64] {
        &self.short_ns
    }

    /// How many requests there were, short and long.
    #[must_use]
    pub(crate) fn requests(&self) -> usize {
        self.answered.iter().sum::<usize>() + self.unanswered()
    }

    /// How many requests `slot` answered.
    #[must_use]
    pub(crate) fn answered_by(&self, slot: Slot) -> usize {
        self.answered.get(slot.0 as usize).copied().unwrap_or(0)
    }

    /// How many requests nobody answered.
    #[must_use]
    pub(crate) fn unanswered(&self) -> usize {
        self.failed.iter().map(|(_, count)| count).sum()
    }

    /// Why they have no answer, and how many each, the most frequent first.
    #[must_use]
    pub(crate) fn failed(&self) -> &[(Failure, usize)] {
        &self.failed
    }

    /// How late the load generator sent its latest request, ns: what the machine did to the measurement itself.
    #[must_use]
    pub(crate) fn latest_ns(&self) -> u64 {
        self.latest_ns
    }
}

/// What `per_mille` of these did not exceed, by nearest rank; 0 of none.
pub(crate) fn at(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille.min(1000)).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(work: Work, latency_ms: u64, answer: Result<Slot, Failure>) -> Outcome {
        Outcome { work, late_ns: latency_ms, latency_ns: latency_ms * 1_000_000, answer }
    }

    #[test]
    fn quantiles_are_of_short_requests_by_nearest_rank() {
        let mut outcomes: Vec<_> = (1..=1000).rev().map(|ms| outcome(Work::Short, ms, Ok(Slot(0)))).collect();
        outcomes.push(outcome(Work::Long, 4000, Ok(Slot(1))));
        let summary = Summary::of(&outcomes, 2).unwrap();
        let ms = [500, 900, 990, 999, 1000].map(|per_mille| summary.short_at(per_mille) / 1_000_000);
        assert_eq!(ms, [500, 900, 990, 999, 1000]);
        assert_eq!((summary.requests(), summary.answered_by(Slot(0)), summary.answered_by(Slot(1))), (1001, 1000, 1));
        assert_eq!(summary.latest_ns(), 4000);
    }

    #[test]
    fn an_unanswered_request_is_no_fast_one() {
        let outcomes = [
            outcome(Work::Short, 1, Err(Failure::Refused)),
            outcome(Work::Short, 2, Ok(Slot(0))),
            outcome(Work::Long, 5000, Err(Failure::TimedOut)),
            outcome(Work::Short, 5000, Err(Failure::TimedOut)),
        ];
        let summary = Summary::of(&outcomes, 1).unwrap();
        assert_eq!(summary.short_ns(), [2_000_000, UNANSWERED_NS, UNANSWERED_NS]);
        assert_eq!(summary.failed(), [(Failure::TimedOut, 2), (Failure::Refused, 1)]);
        assert_eq!(summary.unanswered(), 3);
    }

    #[test]
    fn another_server_on_the_port_counts_as_no_answer() {
        let summary = Summary::of(&[outcome(Work::Short, 1, Ok(Slot(8)))], 8).unwrap();
        assert_eq!(summary.failed(), [(Failure::NotUnderstood, 1)]);
    }

    #[test]
    fn nothing_short_is_nothing_to_sum_up() {
        assert_eq!(Summary::of(&[], 8), None);
        assert_eq!(Summary::of(&[outcome(Work::Long, 1, Ok(Slot(0)))], 8), None);
    }
}
