//! Whether a program that catches the signal to end answers what it has before it ends: pure, learnt from how its workers do.
//!
//! Many a handler only exits. So as long as nothing is known of a program, the workers that have requests are asked one after the
//! other: what the first drops tells of all. Who drops something is let finish first from then on, as if it did not catch the signal.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{Instant, WorkerId};

/// A worker that still runs so long after the signal, with what it had, does not drop it.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// What a worker's books count in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests begun.
    pub begun: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that the worker dropped.
    pub failed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Unknown,
    Answers,
    Drops,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    before: Counts,
    at: Instant,
}

/// What is known of how workers end that were asked to.
#[derive(Debug, Default)]
pub struct Graceful {
    verdict: Verdict,
    asked: BTreeMap<WorkerId, Asked>,
}

impl Graceful {
    /// Whether a worker with so many requests may be asked to end itself now.
    #[must_use]
    pub fn may_be_asked(&self, in_flight: u64) -> bool {
        match self.verdict {
            Verdict::Unknown => in_flight == 0 || !self.asked.values().any(|asked| asked.before.in_flight > 0),
            Verdict::Answers => true,
            Verdict::Drops => false,
        }
    }

    /// Whether enough is known of the program to ask as many at once as there are.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.verdict != Verdict::Unknown
    }

    /// A worker that catches the signal is about to get it.
    pub fn ask(&mut self, id: WorkerId, before: Counts, now: Instant) {
        self.asked.insert(id, Asked { before, at: now });
    }

    /// What the books of a worker say. How many requests it has dropped, if that is news.
    ///
    /// A request that begins after the signal may cross with the end of its connection, at the best of servers; so as many
    /// prove nothing.
    pub fn see(&mut self, id: WorkerId, counts: Counts, now: Instant) -> Option<u64> {
        let Asked { before, at } = *self.asked.get(&id)?;
        let crossed = counts.begun.saturating_sub(before.begun);
        let dropped = counts.failed.saturating_sub(before.failed).saturating_sub(crossed);
        if dropped > 0 {
            let is_news = self.verdict != Verdict::Drops;
            self.verdict = Verdict::Drops;
            return is_news.then_some(dropped);
        }
        let answered = counts.answered.saturating_sub(before.answered);
        let answers = answered >= before.in_flight || now >= at.after(SHOWN_AFTER);
        if self.verdict == Verdict::Unknown && before.in_flight > 0 && answers {
            self.verdict = Verdict::Answers;
        }
        None
    }

    /// A worker is no more.
    pub fn forget(&mut self, id: WorkerId) {
        self.asked.remove(&id);
    }

    /// Those that were asked and still run.
    pub fn asked(&self) -> impl Iterator<Item = WorkerId> {
        self.asked.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Counts = Counts { in_flight: 2, begun: 9, answered: 7, failed: 0 };

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn asked() -> Graceful {
        let mut graceful = Graceful::default();
        assert!(graceful.may_be_asked(2));
        graceful.ask(WorkerId(1), BEFORE, at(0));
        assert!(!graceful.may_be_asked(1), "one after the other");
        assert!(graceful.may_be_asked(0), "it has nothing to lose");
        graceful
    }

    #[test]
    fn who_drops_what_it_has_is_asked_no_more() {
        let mut graceful = asked();
        let counts = Counts { in_flight: 0, failed: 1, answered: 8, ..BEFORE };
        assert_eq!(graceful.see(WorkerId(1), counts, at(10)), Some(1));
        assert_eq!(graceful.see(WorkerId(1), counts, at(20)), None, "it is known");
        graceful.forget(WorkerId(1));
        assert!(!graceful.may_be_asked(0) && !graceful.may_be_asked(2));
    }

    #[test]
    fn who_answers_what_it_has_is_asked_at_any_time() {
        let mut graceful = asked();
        assert_eq!(graceful.see(WorkerId(1), Counts { answered: 8, ..BEFORE }, at(10)), None);
        assert!(!graceful.may_be_asked(1));
        assert_eq!(graceful.see(WorkerId(1), Counts { answered: 9, ..BEFORE }, at(20)), None);
        assert!(graceful.may_be_asked(1));
        // Whatever was thought of it.
        assert_eq!(graceful.see(WorkerId(1), Counts { failed: 2, ..BEFORE }, at(30)), Some(2));
        assert!(!graceful.may_be_asked(1));
    }

    #[test]
    fn who_goes_on_for_a_second_drops_nothing() {
        let mut graceful = asked();
        graceful.see(WorkerId(1), BEFORE, at(999));
        assert!(!graceful.may_be_asked(1));
        graceful.see(WorkerId(1), BEFORE, at(1_000));
        assert!(graceful.may_be_asked(1));
    }

    #[test]
    fn what_crosses_with_the_end_of_its_connection_proves_nothing() {
        let mut graceful = asked();
        assert_eq!(graceful.see(WorkerId(1), Counts { begun: 10, failed: 1, ..BEFORE }, at(10)), None);
        assert_eq!(graceful.see(WorkerId(1), Counts { begun: 10, failed: 2, ..BEFORE }, at(10)), Some(1));
    }

    #[test]
    fn one_that_ended_with_nothing_in_flight_says_nothing() {
        let mut graceful = Graceful::default();
        let idle = Counts { in_flight: 0, ..BEFORE };
        graceful.ask(WorkerId(1), idle, at(0));
        graceful.see(WorkerId(1), idle, at(2_000));
        graceful.ask(WorkerId(2), BEFORE, at(2_000));
        assert!(!graceful.may_be_asked(1));
        graceful.forget(WorkerId(2));
        assert!(graceful.may_be_asked(1));
    }
}
