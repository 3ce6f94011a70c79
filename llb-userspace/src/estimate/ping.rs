//! When to ask a worker whether it is there, and what its answers say.
//!
//! A worker is asked only after it has spoken on its channel, has at most one ping to answer, and is left alone for
//! [`REST`] after each answer, or half of that where others are asked. A ping not answered within [`PATIENCE`] is said
//! again, in case the worker lost it: the id and the moment that it was first said stay. A worker that has answered none in
//! [`TRIES`] does not know about pings: it is not asked again and its silence says nothing. Once a worker has answered any,
//! silence tells.

use crate::model::Instant;
use std::time::Duration;

/// From a pong to the next ping, at the latest. A blocked event loop is noticed within this and its usual latency, and ten small
/// messages a second cost a worker next to nothing.
pub const REST: Duration = Duration::from_millis(100);

/// A ping that is due within this time may be said with others: workers that are asked together answer together, and who hears
/// them is woken for many at once. Half of [`REST`], so that they soon keep step.
pub const TOGETHER: Duration = Duration::from_millis(50);

/// From a ping to saying it again. Longer than a busy worker's long requests and its start.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Times that a worker which has never answered is asked: it may have been starting up during the first.
pub const TRIES: u32 = 3;

/// The pings of one worker. An example is [there](super).
#[derive(Clone, Debug, Default)]
pub struct Pinger {
    state: State,
    /// Whether the worker has ever answered.
    answered: bool,
    next_id: u64,
    stray: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// The worker has said nothing yet.
    #[default]
    Unheard,
    /// The next ping is due at this time.
    Resting { until: Instant },
    /// A ping is out.
    Waiting {
        id: u64,
        first_said: Instant,
        last_said: Instant,
        said: u32,
        /// When the worker last said anything else since; before that, when it was asked.
        silent_since: Instant,
    },
    /// The worker does not answer pings.
    GivenUp,
}

impl Pinger {
    /// The worker has spoken a valid report other than a pong. One that still speaks is not silent: if it owes a
    /// pong, it has done so from now only.
    pub fn spoke(&mut self, now: Instant) {
        match &mut self.state {
            State::Unheard => self.state = State::Resting { until: now },
            State::Waiting { silent_since, .. } => *silent_since = now,
            State::Resting { .. } | State::GivenUp => {}
        }
    }

    /// When the next ping is to be said; nothing for a worker that is not asked.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } => Some(until),
            State::Waiting { last_said, .. } => Some(last_said.after(PATIENCE)),
            State::Unheard | State::GivenUp => None,
        }
    }

    /// The id of the ping to say now, if one is due within `ahead`; it counts as said. A ping that does not fit into the channel
    /// may be dropped: it will be said again.
    pub fn due(&mut self, now: Instant, ahead: Duration) -> Option<u64> {
        match &mut self.state {
            State::Resting { until } if *until <= now.after(ahead) => {
                let id = self.next_id;
                self.next_id += 1;
                self.state = State::Waiting { id, first_said: now, last_said: now, said: 1, silent_since: now };
                Some(id)
            }
            State::Waiting { id, last_said, said, .. } if last_said.after(PATIENCE) <= now => {
                if !self.answered && *said >= TRIES {
                    self.state = State::GivenUp;
                    return None;
                }
                *last_said = now;
                *said = said.saturating_add(1);
                Some(*id)
            }
            State::Unheard | State::Resting { .. } | State::Waiting { .. } | State::GivenUp => None,
        }
    }

    /// The worker has answered the ping `id`. Returns the round trip, ns, from when the ping was first said; nothing,
    /// and the pong is counted as stray, if no such ping is out.
    pub fn pong(&mut self, now: Instant, id: u64) -> Option<u64> {
        match self.state {
            State::Waiting { id: expected, first_said, .. } if expected == id => {
                self.answered = true;
                self.state = State::Resting { until: now.after(REST) };
                Some(now.since(first_said))
            }
            State::Unheard | State::Resting { .. } | State::Waiting { .. } | State::GivenUp => {
                self.stray += 1;
                None
            }
        }
    }

    /// Since when the worker has owed a pong and been silent, if it is one that answers pings.
    #[must_use]
    pub fn outstanding(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { silent_since, .. } if self.answered => Some(silent_since),
            State::Unheard | State::Resting { .. } | State::Waiting { .. } | State::GivenUp => None,
        }
    }

    /// Pongs that answered no ping: of a wrong id, said twice, or too late.
    #[must_use]
    pub fn stray(&self) -> u64 {
        self.stray
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    fn heard() -> Pinger {
        let mut pinger = Pinger::default();
        pinger.spoke(at(0));
        pinger
    }

    #[test]
    fn a_worker_that_never_spoke_is_never_asked() {
        let mut pinger = Pinger::default();
        assert_eq!(pinger.due(at(1_000_000), Duration::ZERO), None);
        assert_eq!(pinger.pong(at(1_000_001), 0), None);
        assert_eq!((pinger.due(at(2_000_000), Duration::ZERO), pinger.stray()), (None, 1));
    }

    #[test]
    fn the_next_ping_is_due_100_ms_after_the_pong() {
        let mut pinger = heard();
        assert_eq!(pinger.due(at(0), Duration::ZERO), Some(0));
        assert_eq!(pinger.due(at(50), Duration::ZERO), None);
        assert_eq!(pinger.pong(at(60), 0), Some(60 * MS));
        assert_eq!(pinger.due(at(159), Duration::ZERO), None);
        assert_eq!(pinger.due(at(160), Duration::ZERO), Some(1));
    }

    #[test]
    fn a_ping_may_be_said_ahead_with_others() {
        let mut pinger = heard();
        pinger.due(at(0), TOGETHER);
        pinger.pong(at(1), 0);
        assert_eq!((pinger.due(at(50), TOGETHER), pinger.due_at()), (None, Some(at(101))));
        assert_eq!(pinger.due(at(51), TOGETHER), Some(1));
        assert_eq!(pinger.due(at(2_050), TOGETHER), None, "what is out is no sooner said again");
        assert_eq!(pinger.due_at(), Some(at(2_051)));
    }

    #[test]
    fn a_worker_that_never_answers_is_asked_three_times_and_left_alone() {
        let mut pinger = heard();
        let asked: Vec<u64> = (0..60_000).filter(|ms| pinger.due(at(*ms), Duration::ZERO).is_some()).collect();
        assert_eq!(asked, [0, 2_000, 4_000]);
        assert_eq!(pinger.outstanding(), None);
    }

    #[test]
    fn a_worker_that_has_answered_owes_a_pong_however_long_it_takes() {
        let mut pinger = heard();
        pinger.due(at(0), Duration::ZERO);
        assert_eq!(pinger.outstanding(), None);
        pinger.pong(at(1), 0);
        assert_eq!((pinger.outstanding(), pinger.due(at(101), Duration::ZERO)), (None, Some(1)));
        let asked: Vec<u64> = (101..10_000).filter(|ms| pinger.due(at(*ms), Duration::ZERO) == Some(1)).collect();
        assert_eq!(asked, [2_101, 4_101, 6_101, 8_101]);
        assert_eq!(pinger.outstanding(), Some(at(101)));
        assert_eq!(pinger.pong(at(10_000), 1), Some(9_899 * MS));
        assert_eq!(pinger.outstanding(), None);
    }

    #[test]
    fn a_worker_that_speaks_is_not_silent() {
        let mut pinger = heard();
        pinger.due(at(0), Duration::ZERO);
        pinger.pong(at(1), 0);
        pinger.due(at(101), Duration::ZERO);
        pinger.spoke(at(500));
        assert_eq!(pinger.outstanding(), Some(at(500)));
    }

    #[test]
    fn stray_pongs_are_counted_and_change_nothing() {
        let mut pinger = heard();
        pinger.due(at(0), Duration::ZERO);
        assert_eq!(pinger.pong(at(1), 9), None);
        assert_eq!(pinger.pong(at(2), 0), Some(2 * MS));
        assert_eq!(pinger.pong(at(3), 0), None);
        assert_eq!(pinger.stray(), 2);
    }

    proptest! {
        #[test]
        fn at_most_one_ping_is_out_and_pings_keep_their_distance(
            steps in prop::collection::vec((0u64..3_000, 0u8..4), 0..200),
        ) {
            let mut pinger = Pinger::default();
            let (mut now, mut out, mut ponged) = (0, None, None);
            for (gap, event) in steps {
                now += gap;
                match (event, out) {
                    (0, _) => pinger.spoke(at(now)),
                    (1, Some(id)) => {
                        if pinger.pong(at(now), id).is_some() {
                            (out, ponged) = (None, Some(now));
                        }
                    }
                    _ => {
                        if let Some(id) = pinger.due(at(now), Duration::ZERO) {
                            prop_assert!(out.is_none_or(|unanswered| unanswered == id));
                            prop_assert!(ponged.is_none_or(|ponged| now >= ponged + 100));
                            out = Some(id);
                        }
                    }
                }
                prop_assert!(pinger.outstanding().is_none_or(|since| out.is_some() && since <= at(now)));
            }
        }
    }
}
