//! Whether connections come to workers past llb's selector: a program that attaches a reuseport program of its own to its
//! listener replaces that of the whole group, without any notice.

use std::time::Duration;

use crate::model::Instant;

/// How often the counts are compared.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Fewer new connections in that time prove nothing.
const FEWEST: u64 = 4;

/// The selector is asked before a connection is established, by a round trip, so what it chose in the time before counts
/// as well. Where more than three of four are none of its, somebody else chooses.
const SHARE: u64 = 4;

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Bypass {
    due: Instant,
    opened: u64,
    chosen: u64,
    /// How many were chosen in the time before.
    before: u64,
    moved: u64,
    /// Connections that have moved to another worker and may not have been counted there yet: they are when they are next
    /// heard of, which may be when their request is answered.
    owed: u64,
}

impl Bypass {
    /// Whether it is time to compare.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Compares: `opened` connections have been established with workers so far, those that moved once more where they have
    /// gone, `chosen` have come to the selector as new ones, and `moved` to be moved. True if it is passed by.
    pub(crate) fn step(&mut self, opened: u64, chosen: u64, moved: u64, now: Instant) -> bool {
        let is_first = self.due == Instant::default();
        let (new, known) = (opened.saturating_sub(self.opened), chosen.saturating_sub(self.chosen));
        let recent = known + self.before;
        let owed = self.owed + moved.saturating_sub(self.moved);
        let returned = new.saturating_sub(recent).min(owed);
        *self = Bypass { due: now.after(LOOK_EVERY), opened, chosen, before: known, moved, owed: owed - returned };
        let new = new - returned;
        !is_first && new >= FEWEST && recent * SHARE < new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> Instant {
        Instant(1 + step * 500_000_000)
    }

    #[test]
    fn connections_that_nobody_chose_are_noticed() {
        let mut bypass = Bypass::default();
        assert!(!bypass.step(1_000, 0, 0, at(0)), "what was before is not known");
        assert!(!bypass.is_due(Instant(2)) && bypass.is_due(at(1)));
        assert!(!bypass.step(1_003, 0, 0, at(1)), "too few");
        assert!(bypass.step(1_013, 2, 0, at(2)));
        assert!(!bypass.step(1_040, 29, 0, at(3)), "all are chosen again");
    }

    #[test]
    fn a_burst_that_is_established_a_moment_later_is_no_bypass() {
        let mut bypass = Bypass::default();
        bypass.step(0, 0, 0, at(0));
        assert!(!bypass.step(0, 40, 0, at(1)));
        assert!(!bypass.step(40, 40, 0, at(2)));
        assert!(!bypass.step(40, 40, 0, at(3)));
    }

    #[test]
    fn who_has_moved_is_opened_once_more_at_leisure() {
        let mut bypass = Bypass::default();
        bypass.step(0, 0, 0, at(0));
        assert!(!bypass.step(400, 400, 300, at(1)));
        let mut drained = |opened: u64, step: u64| bypass.step(400 + opened, 400, 300, at(step));
        assert!(!drained(0, 2) && !drained(0, 3));
        assert!(!drained(100, 4) && !drained(200, 5) && !drained(300, 6));
        assert!(drained(400, 7), "nobody chose these");
    }
}
