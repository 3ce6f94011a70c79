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
mod tests;
