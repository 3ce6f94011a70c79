//! The course of a connection, as looks at it show: whether its client waits for an answer, or gets one in parts, or pauses.
//!
//! Nothing is read of what is said. A request is bytes that come, an answer bytes that go; an answer may come in several
//! parts. A connection that has been seen to get its answers in so many parts pauses after as many; of another one
//! nobody knows whether more is to come, so it has to be silent for longer.

use std::time::Duration;

use crate::{model::Instant, sys::connection::Traffic};

/// A connection of which nothing else is known is idle after this long without a byte either way. An answer that comes
/// line by line mostly pauses for less.
pub const QUIET: Duration = Duration::from_millis(1_200);

/// One whose answers have been seen to be complete by then is idle after this long. Also how long a new client may take to send
/// its first request.
pub const SHORT: Duration = Duration::from_millis(300);

/// A pause that is as good as any, of one whose answers are known.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes that go within this time are one part.
const PART: Duration = Duration::from_millis(20);

/// A stream that has sent nothing for so long is not waited for.
const STREAM: Duration = Duration::from_secs(5);

/// A connection that has been looked at.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    last: Traffic,
    /// In how many parts bytes have gone since bytes came last, and when the last part began or grew.
    parts: u32,
    part_at: Instant,
    /// The most parts of an answer that was followed by another request; 0 if none was seen.
    usual: u32,
    /// The shortest time between an answer and the next request, if one was seen.
    shortest: Option<Duration>,
}

impl Course {
    /// A connection that has not been looked at before.
    #[must_use]
    pub fn new(traffic: Traffic, now: Instant) -> Self {
        let answered = traffic.bytes_out > 0 && (traffic.bytes_in == 0 || traffic.since_out <= traffic.since_in);
        Course { last: traffic, parts: u32::from(answered), part_at: now, usual: 0, shortest: None }
    }

    /// It is looked at again.
    pub fn see(&mut self, traffic: Traffic, now: Instant) {
        if traffic.bytes_in != self.last.bytes_in {
            if traffic.bytes_out == self.last.bytes_out && self.parts > 0 {
                let paused = traffic.since_out.saturating_sub(traffic.since_in);
                self.shortest = Some(self.shortest.map_or(paused, |shortest| shortest.min(paused)));
            }
            // What went and was followed by this has been an answer, if nobody has seen it either.
            let unseen = u32::from(traffic.bytes_out != self.last.bytes_out && traffic.since_in < traffic.since_out);
            self.usual = self.usual.max(self.parts).max(unseen);
            self.parts = 0;
        }
        if traffic.bytes_out != self.last.bytes_out && (traffic.bytes_in == 0 || traffic.since_out <= traffic.since_in)
        {
            if self.parts == 0 || now > self.part_at.after(PART) {
                self.parts += 1;
            }
            self.part_at = now;
        }
        self.last = traffic;
    }

    /// Whether nothing has come or gone yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.last.bytes_in == 0 && self.last.bytes_out == 0
    }

    /// Whether its client may wait for an answer that has not begun. The kernel's books know better.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.parts == 0 && !self.is_fresh()
    }

    /// Whether it gets an answer in parts, of which more may come.
    #[must_use]
    pub fn streams(&self) -> bool {
        let unknown = self.usual == 0 && self.last.since_in >= self.last.since_out + SHORT;
        self.last.since_out < STREAM && self.parts > 0 && (self.parts > self.usual.max(1) || unknown)
    }

    /// Whether it holds neither a request nor an answer that has begun, and has been silent for `pause`, or has paused as
    /// it does after each answer. `at_rest` is what the books say of it.
    #[must_use]
    pub fn is_idle(&self, at_rest: Option<bool>, pause: Duration) -> bool {
        if !at_rest.unwrap_or_else(|| !self.owes()) || self.last.pending || self.streams() {
            return false;
        }
        let enough = match self.usual {
            _ if self.is_fresh() => pause.max(SHORT),
            0 => pause,
            usual if self.parts >= usual && self.is_about_to_ask() => pause.max(QUIET),
            usual if self.parts >= usual => pause.min(PAUSE),
            _ => pause,
        };
        self.last.quiet() >= enough
    }

    /// Whether a client that asks at regular times is about to ask: its request would cross with the close.
    fn is_about_to_ask(&self) -> bool {
        let quiet = self.last.quiet();
        self.shortest.is_some_and(|shortest| shortest >= 2 * PAUSE && quiet > shortest / 2 && quiet < shortest * 4)
    }

    /// Whether it is idle, and its client does not seem to be about to send a request.
    #[must_use]
    pub fn is_at_leisure(&self, at_rest: Option<bool>) -> bool {
        let quiet = if self.usual > 0 && self.parts >= self.usual { SHORT } else { QUIET };
        self.last.quiet() >= quiet && self.is_idle(at_rest, quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    /// What the kernel shows at `now` of a connection on which bytes came and went at these times.
    fn traffic(came: &[u64], went: &[u64], now: u64) -> Traffic {
        let count = |times: &[u64]| times.iter().filter(|time| **time <= now).count() as u64;
        let since = |times: &[u64]| {
            Duration::from_millis(now - times.iter().copied().filter(|time| *time <= now).max().unwrap_or(0))
        };
        Traffic {
            open: true,
            since_in: since(came),
            since_out: since(went),
            bytes_in: count(came),
            bytes_out: count(went),
            pending: false,
        }
    }

    /// The course of such a connection, looked at every `every` from `from` to `until`.
    fn course(came: &[u64], went: &[u64], (from, until, every): (u64, u64, usize)) -> Course {
        let mut course = Course::new(traffic(came, went, from), at(from));
        for now in (from..=until).step_by(every) {
            course.see(traffic(came, went, now), at(now));
        }
        course
    }

    #[test]
    fn a_pause_after_a_usual_answer_is_one() {
        let (came, went) = ([0, 1050, 2100], [1000, 2050, 3100]);
        let idle = |until| course(&came, &went, (0, until, 2)).is_idle(None, QUIET);
        assert!(!idle(1040), "nobody knows yet whether the answer is complete");
        assert!(!idle(2040) && !idle(2052), "it has hardly gone");
        assert!(idle(2060) && idle(2072));
        assert!(!idle(2090), "the next one is about to come");
        assert!(!idle(2102), "the next one has come");
    }

    #[test]
    fn an_answer_in_parts_is_no_pause() {
        let tokens: Vec<u64> = (1..100).map(|token| 1_000 + token * 50).collect();
        for now in [1_102, 1_140, 2_000, 5_900, 9_000] {
            let course = course(&[1_000], &tokens, (990, now, 10));
            assert!(course.streams() && !course.is_idle(Some(true), Duration::ZERO), "{now}");
        }
        assert!(!course(&[1_000], &tokens, (990, 11_000, 10)).streams(), "it has come to its end");
        let lines: Vec<u64> = (0..8).map(|line| 1_010 + line * 1_000).collect();
        for now in (1_050..9_000).step_by(170) {
            assert!(!course(&[1_000], &lines, (990, now, 50)).is_at_leisure(Some(true)), "{now}");
        }
        assert!(course(&[1_000], &lines[1..], (3_500, 3_500, 1)).streams(), "at first sight");
    }

    #[test]
    fn a_request_in_work_is_owed_an_answer() {
        let asked = course(&[1_000], &[], (1_000, 9_000, 50));
        assert!(asked.owes() && !asked.is_idle(None, Duration::ZERO) && !asked.is_idle(Some(false), Duration::ZERO));
        let fresh = course(&[], &[], (0, 200, 50));
        assert!(fresh.is_fresh() && !fresh.owes() && !fresh.is_idle(Some(true), Duration::ZERO));
        assert!(course(&[], &[], (0, 350, 50)).is_idle(Some(true), Duration::ZERO));
        let pending = Traffic { pending: true, ..traffic(&[1], &[2], 9_000) };
        assert!(!Course::new(pending, at(9_000)).is_idle(Some(true), Duration::ZERO));
    }

    #[test]
    fn answers_in_several_parts_are_complete_after_as_many() {
        let (came, went) = ([0, 200, 400], [20, 60, 220, 260, 420, 460]);
        let idle = |until| course(&came, &went, (0, until, 2)).is_idle(None, QUIET);
        assert!(!idle(430), "the second half is to come");
        assert!(idle(470));
    }
}
