//! What workers that are gone have counted, by slot: so what a slot has counted only grows, whoever fills it, and whoever is
//! the master.

use serde::{Deserialize, Serialize};

use crate::{model::Slot, updater::Counted};

/// What the workers of a slot that are gone have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Connections that the selector gave to them.
    pub chosen: u64,
    /// Connections established.
    pub opened: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections that they closed without an answer.
    pub failed: u64,
    /// Answers that called themselves errors.
    pub errors: u64,
    /// Connections that waited for one of them and were given to others; the slot's living workers' too.
    pub rescued: u64,
    /// CPU time, µs.
    pub cpu_us: u64,
    /// Their answers by what they took, without the zeros at the end.
    pub latencies: Vec<u64>,
}

impl Past {
    /// What a worker has counted, that is gone or is shown with them.
    pub fn add(&mut self, counted: &Counted) {
        self.chosen += counted.chosen;
        self.opened += counted.opened;
        self.answered += counted.answered;
        self.failed += counted.failed;
        self.errors += counted.errors;
        let used = counted.latencies.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        self.latencies.resize(self.latencies.len().max(used), 0);
        for (sum, count) in self.latencies.iter_mut().zip(&counted.latencies) {
            *sum += count;
        }
    }
}

/// Of each slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals(Vec<Past>);

impl Totals {
    /// Of a slot; nothing if nobody has gone there.
    #[must_use]
    pub fn of(&self, slot: Slot) -> Past {
        self.0.get(slot.0 as usize).cloned().unwrap_or_default()
    }

    /// Of a slot, to be added to.
    pub fn of_mut(&mut self, slot: Slot) -> &mut Past {
        let index = slot.0 as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, Past::default());
        }
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use llb_common::abi::BUCKETS;

    use super::Totals;
    use crate::{model::Slot, updater::Counted};

    #[test]
    fn what_the_gone_have_counted_adds_up_by_slot() {
        let mut latencies = [0; BUCKETS];
        latencies[7] = 3;
        let counted = Counted {
            chosen: 5,
            opened: 4,
            open: 1,
            in_flight: 1,
            answered: 3,
            failed: 1,
            errors: 2,
            latencies,
            cost_ns: 9,
        };
        let mut totals = Totals::default();
        (0..2).for_each(|_| totals.of_mut(Slot(2)).add(&counted));
        let past = totals.of(Slot(2));
        assert_eq!((past.chosen, past.opened, past.answered, past.failed, past.errors), (10, 8, 6, 2, 4));
        assert_eq!((past.latencies.len(), past.latencies[7]), (8, 6));
        assert_eq!(totals.of(Slot(1)), totals.of(Slot(200)));
        let written = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&written).unwrap(), totals);
    }
}
