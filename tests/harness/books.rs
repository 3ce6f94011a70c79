//! Whether what the selector counted is what the clients saw.

use std::collections::BTreeMap;

use llb::observe::status::Status;
use llb_common::outcome::{Outcome, Stage};

use super::get;

/// Answers by the slot that gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(pub(crate) BTreeMap<u32, u64>);

impl Tally {
    /// One answer of `slot`.
    pub(crate) fn add(&mut self, slot: u32) {
        *self.0.entry(slot).or_default() += 1;
    }

    /// Answers of `slot`.
    pub(crate) fn of(&self, slot: u32) -> u64 {
        self.0.get(&slot).copied().unwrap_or(0)
    }

    /// All answers.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// `count` requests one after the other, each on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&mut self, addr: &str, path: &str, count: u32) {
        for _ in 0..count {
            self.add(get(addr, path).slot());
        }
    }

    /// Asserts that these are all the connections that came to the selector, that its policy and not the kernel's
    /// hash placed each of them, and that each was answered by the worker that it was given to.
    #[track_caller]
    pub(crate) fn assert_steered(&self, status: &Status) {
        let steered = [Outcome::First, Outcome::PassedOver, Outcome::Waits].map(|outcome| count(status, outcome));
        assert_eq!(steered.iter().sum::<u64>(), self.total(), "{status:#?}");
        self.assert_counted(status);
        assert_eq!(&chosen(status), self, "{status:#?}");
    }

    /// Asserts that these are all the connections that came to the selector, and that it fell back for none.
    #[track_caller]
    pub(crate) fn assert_counted(&self, status: &Status) {
        assert_eq!(status.connections, self.total(), "{status:#?}");
        let entered: u64 =
            Outcome::ALL.iter().filter(|outcome| outcome.stage() == Stage::Select).map(|o| count(status, *o)).sum();
        assert_eq!(entered, self.total(), "each connection is counted once: {status:#?}");
        for (outcome, n) in &status.selector {
            assert!(!(outcome.starts_with("fallback") && *n > 0), "{outcome}: {status:#?}");
        }
    }
}

impl FromIterator<u32> for Tally {
    fn from_iter<T: IntoIterator<Item = u32>>(slots: T) -> Self {
        let mut tally = Tally::default();
        slots.into_iter().for_each(|slot| tally.add(slot));
        tally
    }
}

/// How often an outcome came about.
#[track_caller]
pub(crate) fn count(status: &Status, outcome: Outcome) -> u64 {
    status.selector[outcome.name()]
}

/// Connections by the slot that the selector gave them to; slots without any are left out.
pub(crate) fn chosen(status: &Status) -> Tally {
    let mut tally = Tally::default();
    for worker in status.workers.iter().filter(|worker| worker.chosen > 0) {
        *tally.0.entry(worker.slot).or_default() += worker.chosen;
    }
    tally
}
