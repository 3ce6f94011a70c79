//! The books in plain memory, for tests, the simulation and the fuzzer. The kernel changes the same words in the same way,
//! each by an atomic instruction of its own: `apply` in `llb-ebpf/src/track.rs`. Change one and change the other.

use crate::{
    abi::{Conn, Seat},
    select::given,
    track::{Delta, Mark, Pace, Step, is_progress, mark_after, numbered, pace_after},
};

/// Moves a connection of this seat on by its step, if there is one; what the seat changes.
pub fn take(conn: &mut Conn, seat: &Seat, step: Option<Step>) -> Delta {
    let Some(step) = step else { return Delta::default() };
    (conn.phase, conn.state, conn.since) = (step.phase as u32, step.state, step.since);
    numbered(conn, step.delta, seat.begun)
}

/// Changes a seat's books at `now`, ns. A seat of which nothing is known starts from a cost of `start_ns`, 0 for none.
pub fn apply(seat: &mut Seat, delta: &Delta, start_ns: u64, now: u64) {
    if delta.answered > delta.untimed || delta.failed != 0 {
        let pace = pace_after(Pace::of(seat, start_ns), seat, delta, now);
        (seat.service_ns, seat.queued_ns, seat.overtaking) = (pace.service_ns, pace.queued_ns, pace.overtaking);
        (seat.penalty, seat.samples) = (pace.penalty, pace.samples);
    }
    if is_progress(delta, given(seat) != 0) {
        seat.progress_at = now;
    }
    let mark = mark_after(Mark::of(seat), delta);
    (seat.alive, seat.passed) = (mark.alive, mark.passed);
    seat.opened += delta.opened;
    seat.closed += delta.closed;
    seat.begun += delta.begun;
    seat.ended += delta.ended;
    seat.settled += delta.settled;
    seat.answered += delta.answered;
    seat.failed += delta.failed;
    seat.errors += delta.errors;
}
