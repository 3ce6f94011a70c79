//! The books in plain memory, for tests, the simulation and the fuzzer. The kernel changes the same words in the same way,
//! each by an atomic instruction of its own: `apply` in `llb-ebpf/src/track.rs`. Change one and change the other.

use crate::{
    abi::{Conn, Seat},
    select::in_flight,
    track::{Delta, Pace, Step, pace_after},
};

/// Moves a connection on by its step, if there is one; what its seat changes.
pub fn take(conn: &mut Conn, step: Option<Step>) -> Delta {
    let Some(step) = step else { return Delta::default() };
    (conn.phase, conn.state, conn.since) = (step.phase as u32, step.state, step.since);
    step.delta
}

/// Changes a seat's books at `now`, ns. A seat of which nothing is known starts from a cost of `start_ns`, 0 for none.
pub fn apply(seat: &mut Seat, delta: &Delta, start_ns: u64, now: u64) {
    if delta.answered > delta.untimed || delta.failed != 0 {
        let pace = pace_after(Pace::of(seat, start_ns), seat.progress_at, delta, now);
        (seat.service_ns, seat.queued_ns, seat.overtaking) = (pace.service_ns, pace.queued_ns, pace.overtaking);
        seat.penalty = pace.penalty;
    }
    if (delta.begun != 0 && in_flight(seat) == 0) || delta.ended != 0 {
        seat.progress_at = now;
    }
    seat.opened += delta.opened;
    seat.closed += delta.closed;
    seat.begun += delta.begun;
    seat.ended += delta.ended;
    seat.settled += delta.settled;
    seat.answered += delta.answered;
    seat.failed += delta.failed;
    seat.errors += delta.errors;
}
