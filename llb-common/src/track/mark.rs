//! How far a worker has come with its requests.

use super::Delta;
use crate::abi::Seat;

/// What a seat's books say of the requests that its worker has dealt with: [`Seat::alive`] and [`Seat::passed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// [`Seat::alive`]
    pub alive: u64,
    /// [`Seat::passed`]
    pub passed: u64,
}

impl Mark {
    /// As the books have it.
    #[must_use]
    #[inline(always)]
    pub fn of(seat: &Seat) -> Self {
        Mark { alive: seat.alive, passed: seat.passed }
    }
}

/// Whether a change is progress: the worker becomes busy, answers, or closes what it should have answered. That a client
/// gives up is none of the worker's, and that a moved connection is seen again, which has been there for a while, says
/// nothing either.
#[must_use]
#[inline(always)]
pub fn is_progress(delta: &Delta, busy: bool) -> bool {
    (delta.begun != 0 && delta.opened == 0 && !busy) || (delta.answered | delta.failed | delta.alive) != 0
}

/// The mark after a request has ended. An answer, or a close by the worker, proves that the worker has come by all that
/// it was given before the connection of that request, and those that are still in flight do not hold it up. What came
/// on an older connection may wait for it: a worker that serves in turn accepts connections in the order in which they
/// were established, and waits for the bytes of the first while those of the second are there already.
#[must_use]
#[inline(always)]
pub fn mark_after(mark: Mark, delta: &Delta) -> Mark {
    let Mark { alive, passed } = mark;
    if delta.ended | delta.answered == 0 || delta.ticket < alive {
        return mark;
    }
    let proves = delta.born != u64::MAX && (delta.answered != 0 || delta.failed != 0);
    // It is the first of its connection's time: all below it are older, and it is dealt with as well.
    let proof = if !proves { 0 } else { delta.born + u64::from(delta.ticket == delta.born) };
    Mark { alive: alive.max(proof), passed: (passed + delta.ended).max(proof) }
}

/// The mark after the worker has been seen to wait for connections with none left to accept, when `begun` requests had
/// begun: it has read them all.
#[must_use]
pub fn mark_at(begun: u64) -> Mark {
    Mark { alive: begun, passed: begun }
}
