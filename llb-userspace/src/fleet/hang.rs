//! Whether a worker hangs: pure, from what the kernel has counted and what waits in its accept queue.
//!
//! # Theory of operation
//! From outside a long request looks like a hang. The sign that the worker must be helped is not that it is silent, but
//! that others wait for it while it is: connections that it has not even accepted. So a seat goes
//!
//! ```text
//!            silent         queue twice        silent for
//!                          seen, no answer     HUNG_AFTER
//! Healthy ----------> Watched ----------> Slow ----------> Hung
//!    ^                   |                 |                |
//!    +-------------------+-----------------+----------------+   an answer
//! ```
//!
//! *Silent* is one that was given a request since its last sign of life ([`given`]) and made no progress for [`overdue_ns`].
//! Watching costs some system calls, so only the silent are watched. The queue of a *slow* one is moved to others, if one of them is clearly better
//! off, and it leaves its groups; a *hung* one is the same, with a warning. An answer ends it at once: a worker that answers lives. A
//! worker that serves many at once answers others while one request takes long, and accepts what comes, so it is never
//! slow.
//!
//! One whose queue was moved may have nothing left in flight, as one that was stopped while idle: no answer can
//! come from it then. It gets a *trial* after `TRIAL_AFTER`, and the next ever later.

use std::time::Duration;

use llb_common::{abi::Seat as SeatBooks, select::given};

use crate::model::Instant;

/// A silence below this is nobody's fault: with 2 workers a core one waits that long for its turn to run.
const OVERDUE_MIN: Duration = Duration::from_millis(20);

/// The most, whatever its requests cost, for a worker that has others waiting.
const OVERDUE_MAX: Duration = Duration::from_secs(1);

/// A request that takes so many times longer than usual is more likely a long one than one that will soon be over. Of
/// requests with exponential times one in fifty does.
const OVERDUE_COSTS: u64 = 4;

/// How long a slow one is silent until it is called hung, in the log and the status. Short of that it is a long request:
/// a matter of balance, and needs no warning.
pub const HUNG_AFTER: Duration = Duration::from_secs(1);

/// From a look at a queue to the next: what waits now and then may just have come.
const CONFIRM_AFTER: Duration = Duration::from_millis(5);

/// How long handshakes are waited for before a queue is moved: those who wait in it wait for this too, and a client that
/// is farther away is rare.
const EXPECTED_MAX: Duration = Duration::from_millis(200);

/// How often the queue of one that nobody waits for, or that has been helped, is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// From one search for what a worker does to the next, whichever it is: it reads some files of /proc, for some fifty microseconds.
const SEARCH_EVERY: Duration = Duration::from_millis(10);

/// After how long one is helped again whose processes have not stood still for it, at first and at last: on a machine that is busy
/// some do not get to it in time once, and one that waits for a device does not for long. Each try holds llb up.
const HELP_AGAIN_AFTER: Duration = Duration::from_millis(50);
const HELP_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// How long one that has nothing in flight is left out before it is tried, at first and at last: each trial can cost a
/// connection the time until the next rescue.
const TRIAL_AFTER: Duration = Duration::from_secs(1);
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(30);

/// Looks with a queue that make a seat slow.
const CONFIRMED: u32 = 2;

/// Whether a seat gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatHealth {
    /// It answers, or nobody waits for it.
    Healthy,
    /// Others wait while it is busy with one.
    Slow,
    /// The same for [`HUNG_AFTER`].
    Hung,
}

/// What is to be done about a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Look how many wait in its accept queue, and say so to [`SeatWatch::looked`].
    Look,
    /// It is slow: move its queue to others, and take it out of its groups, if one of them is better off. Then say
    /// [`SeatWatch::left`].
    Rescue,
    /// Put it into its groups again, to see whether it answers, and go on watching.
    Try,
    /// It hangs: warn of it, once.
    Tell,
    /// It is well. Put it into its groups if it has left them, and watch no longer.
    Recover,
}

/// A seat that is watched.
#[derive(Clone, Debug)]
pub struct SeatWatch {
    /// When it last did something.
    silent_since: Instant,
    answers: u64,
    look_at: Instant,
    /// How many waited at the last look, and looks in a row at which somebody did.
    waiting: u32,
    seen: u32,
    health: SeatHealth,
    /// Whether it has been given connections of which nothing is in its books yet, and that were not seen to be accepted.
    receives: bool,
    /// When it may be tried, while it is out of its groups.
    out_until: Option<Instant>,
    trials: u32,
    /// How often in a row it could not be helped.
    resisted: u32,
    moved: u32,
    /// Since when handshakes have been waited for.
    expects_since: Option<Instant>,
    /// When it was last looked for what its worker does; at first, since when it is watched.
    searched_at: Instant,
    /// Connections chosen for it and opened there as they stood when nobody waited: without more of either nobody does.
    empty_at: Option<(u64, u64)>,
}

/// After how much silence a worker whose requests cost `cost_ns` has not merely a request of the usual kind, ns.
#[must_use]
pub fn overdue_ns(cost_ns: u64) -> u64 {
    let bound = |bound: Duration| Instant(0).after(bound).0;
    cost_ns.saturating_mul(OVERDUE_COSTS).clamp(bound(OVERDUE_MIN), bound(OVERDUE_MAX))
}

/// Whether a seat is to be watched, by the part of its books that a choice reads.
#[must_use]
pub fn is_silent(load: &SeatBooks, cost_ns: u64, now: Instant) -> bool {
    given(load) > 0 && now.since(Instant(load.progress_at)) >= overdue_ns(cost_ns)
}

impl SeatWatch {
    /// Begins to watch a seat that [`is_silent`].
    #[must_use]
    pub fn new(books: &SeatBooks, now: Instant) -> Self {
        SeatWatch {
            silent_since: Instant(books.progress_at),
            answers: answers(books),
            look_at: now,
            waiting: 0,
            seen: 0,
            health: SeatHealth::Healthy,
            receives: false,
            out_until: None,
            trials: 0,
            resisted: 0,
            moved: 0,
            expects_since: None,
            searched_at: now,
            empty_at: None,
        }
    }

    /// Begins to watch a seat that has been given what waited for another, and may hang itself, unknown to anybody while it
    /// was idle.
    #[must_use]
    pub fn receiving(books: &SeatBooks, cost_ns: u64, now: Instant) -> Self {
        let look_at = Instant(now.0.saturating_add(overdue_ns(cost_ns)));
        SeatWatch { silent_since: now, look_at, receives: true, ..SeatWatch::new(books, now) }
    }

    /// Begins to watch a seat that was given connections of which nothing has been seen since.
    #[must_use]
    pub fn accepting(books: &SeatBooks, now: Instant) -> Self {
        SeatWatch { silent_since: now, receives: true, ..SeatWatch::new(books, now) }
    }

    /// It has been given what waited for another.
    pub fn receives(&mut self) {
        self.receives = true;
    }

    /// Whether some of that may wait there still. Its books do not say so, and so the watch goes on when it answers.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.receives
    }

    /// What its books demand.
    pub fn step(&mut self, books: &SeatBooks, now: Instant) -> Step {
        // Not the time of its progress: that is also when a connection moves away, or its client gives up.
        let nothing_left = given(books) == 0 && self.health == SeatHealth::Healthy && !self.receives;
        if answers(books) != self.answers || nothing_left {
            return Step::Recover;
        }
        if self.health == SeatHealth::Slow && self.is_silent_for(HUNG_AFTER, now) {
            self.health = SeatHealth::Hung;
            return Step::Tell;
        }
        if now < self.look_at { Step::Wait } else { Step::Look }
    }

    /// Whether a look may find something, while so many seats are watched: somebody has come since nobody waited, it is to be
    /// searched, or tried.
    #[must_use]
    pub fn is_worth_a_look(&self, books: &SeatBooks, watched: usize, now: Instant) -> bool {
        self.empty_at != Some((books.charged, books.opened)) || self.is_out() || self.is_search_due(watched, now)
    }

    fn is_search_due(&self, watched: usize, now: Instant) -> bool {
        let others = u32::try_from(watched.saturating_sub(1)).unwrap_or(u32::MAX);
        now >= self.searched_at.after(SEARCH_EVERY.saturating_mul(others))
    }

    /// Whether to look for what its worker does, while so many seats are watched. Each has its turn; one that is watched alone has
    /// it at once.
    pub fn is_searched(&mut self, watched: usize, now: Instant) -> bool {
        let is_due = self.is_search_due(watched, now);
        if is_due {
            self.searched_at = now;
        }
        is_due
    }

    /// `waiting` connections are in its accept queue, and it has not answered since the last step. `books` are older than the look.
    pub fn looked(&mut self, waiting: u32, books: &SeatBooks, now: Instant) -> Step {
        self.waiting = waiting;
        self.empty_at = (waiting == 0).then_some((books.charged, books.opened));
        if waiting == 0 {
            (self.seen, self.receives) = (0, false);
            self.look_at = now.after(LOOK_EVERY);
            return match self.out_until {
                Some(until) if given(books) == 0 && now >= until => {
                    (self.out_until, self.trials) = (None, self.trials.saturating_add(1));
                    Step::Try
                }
                _ => Step::Wait,
            };
        }
        self.seen = self.seen.saturating_add(1);
        self.look_at = now.after(CONFIRM_AFTER);
        // One that is out has been confirmed before; whoever waits there now was on the way to it.
        if self.seen < CONFIRMED && self.out_until.is_none() {
            return Step::Wait;
        }
        if self.health == SeatHealth::Healthy {
            self.health = SeatHealth::Slow;
        }
        // Whoever finds nobody better off asks again then.
        self.look_at = now.after(LOOK_EVERY);
        Step::Rescue
    }

    /// It has left its groups.
    pub fn left(&mut self, now: Instant) {
        self.out_until = Some(now.after(ever_later(TRIAL_AFTER, self.trials, TRIAL_AFTER_MAX)));
        self.seen = 0;
    }

    /// It has left its groups. Whether its queue is to be moved later, as handshakes are under way to it (`is_expecting`): one
    /// whose last packet is worked on while its listener ends is reset. Nobody new comes, so they are soon over.
    pub fn expects(&mut self, is_expecting: bool, now: Instant) -> bool {
        if !is_expecting {
            self.expects_since = None;
            return false;
        }
        let since = *self.expects_since.get_or_insert(now);
        self.look_at = now.after(CONFIRM_AFTER);
        now < since.after(EXPECTED_MAX)
    }

    /// So many who waited have been given to others.
    pub fn migrated(&mut self, moved: u32) {
        self.resisted = 0;
        self.moved = self.moved.saturating_add(moved);
    }

    /// How many who waited have been given to others since it has been silent.
    #[must_use]
    pub fn moved(&self) -> u32 {
        self.moved
    }

    /// It cannot be helped now.
    pub fn resists(&mut self, now: Instant) {
        self.look_at = now.after(ever_later(HELP_AGAIN_AFTER, self.resisted, HELP_AGAIN_AFTER_MAX));
        self.resisted = self.resisted.saturating_add(1);
    }

    /// How many waited when it was last looked at.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// How it does.
    #[must_use]
    pub fn health(&self) -> SeatHealth {
        self.health
    }

    /// Whether others were seen to wait for it.
    #[must_use]
    pub fn is_suspected(&self) -> bool {
        self.seen > 0 || self.health != SeatHealth::Healthy
    }

    /// Whether it has left its groups.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out_until.is_some()
    }

    /// How long it has been silent, ns.
    #[must_use]
    pub fn silent_ns(&self, now: Instant) -> u64 {
        now.since(self.silent_since)
    }

    /// Whether it has been silent for so long.
    #[must_use]
    pub fn is_silent_for(&self, time: Duration, now: Instant) -> bool {
        now >= self.silent_since.after(time)
    }
}

/// Twice as long after each try before.
fn ever_later(first: Duration, tries: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << tries.min(16)).min(most)
}

/// What only a worker that lives does: answer, or close what it should have answered.
fn answers(books: &SeatBooks) -> u64 {
    books.answered + books.failed
}

#[cfg(test)]
#[path = "hang_tests.rs"]
mod tests;
