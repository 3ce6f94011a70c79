//! Which seats are taken. A seat that is given back is used again only when nothing can be counted on it any more.

use std::{collections::BTreeSet, time::Duration};

use llb_common::abi::MAX_SEATS;

use crate::model::{Instant, Seat};

/// After this a seat is reused although its books have not come to rest: orphaned connections of a dead worker wait
/// for the network for a minute by default (`net.ipv4.tcp_fin_timeout`), and the counts are kept by connection.
const FORCE_AFTER: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Taken,
    /// Given back, and not yet seen by a tick.
    Released,
    Resting {
        since: Instant,
    },
}

/// The seats of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Seats([State; MAX_SEATS]);

impl Default for Seats {
    fn default() -> Self {
        Seats([State::Free; MAX_SEATS])
    }
}

impl Seats {
    /// Seats of which some are held, and others are to rest, because somebody may still be counted there.
    pub(crate) fn held(held: &BTreeSet<Seat>, is_used: impl Fn(Seat) -> bool) -> Self {
        Seats(std::array::from_fn(|index| {
            let seat = Seat(index as u32);
            match held.contains(&seat) {
                true => State::Taken,
                false if is_used(seat) => State::Released,
                false => State::Free,
            }
        }))
    }

    /// The lowest free seat.
    pub(crate) fn take(&mut self) -> Option<Seat> {
        let index = self.0.iter().position(|state| *state == State::Free)?;
        self.0[index] = State::Taken;
        Some(Seat(index as u32))
    }

    /// How many are free.
    pub(crate) fn count_free(&self) -> usize {
        self.0.iter().filter(|state| **state == State::Free).count()
    }

    /// Gives a seat back.
    pub(crate) fn release(&mut self, seat: Seat) {
        self.0[seat.0 as usize % MAX_SEATS] = State::Released;
    }

    /// Whether one has been given back and is not free yet.
    pub(crate) fn any_rests(&self) -> bool {
        self.0.iter().any(|state| matches!(state, State::Released | State::Resting { .. }))
    }

    /// Frees the seats that are empty, however long that takes: for workers that live on without a seat.
    pub(crate) fn free_empty(&mut self, empty: impl Fn(Seat) -> bool) {
        for (index, state) in self.0.iter_mut().enumerate() {
            match *state {
                // Seen by one look more: connections may still be moving.
                State::Released => *state = State::Resting { since: Instant(0) },
                State::Resting { .. } if empty(Seat(index as u32)) => *state = State::Free,
                State::Free | State::Taken | State::Resting { .. } => {}
            }
        }
    }

    /// Frees the seats that have come to rest.
    pub(crate) fn free(&mut self, now: Instant, drained: impl Fn(Seat) -> bool) {
        for (index, state) in self.0.iter_mut().enumerate() {
            match *state {
                State::Released => *state = State::Resting { since: now },
                State::Resting { since } if drained(Seat(index as u32)) || now >= since.after(FORCE_AFTER) => {
                    *state = State::Free;
                }
                State::Free | State::Taken | State::Resting { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_used_again_only_when_it_has_drained() {
        let mut seats = Seats::default();
        assert_eq!(seats.take(), Some(Seat(0)));
        seats.release(Seat(0));
        seats.free(Instant(1), |_| true);
        assert_eq!(seats.take(), Some(Seat(1)), "connections may still be moving");
        seats.free(Instant(2), |_| false);
        assert_eq!(seats.take(), Some(Seat(2)));
        seats.free(Instant(3), |_| true);
        assert_eq!(seats.take(), Some(Seat(0)));
    }

    #[test]
    fn seats_that_others_held_are_not_given_away() {
        let held = [Seat(1), Seat(3)].into();
        let mut seats = Seats::held(&held, |seat| seat.0 < 3);
        assert_eq!(seats.take(), Some(Seat(4)), "0 and 2 are still counted on");
        seats.free(Instant(1), |_| true);
        seats.free(Instant(2), |_| true);
        assert_eq!([seats.take(), seats.take(), seats.take()], [Some(Seat(0)), Some(Seat(2)), Some(Seat(5))]);
    }

    #[test]
    fn books_that_never_come_to_rest_do_not_hold_a_seat_for_ever() {
        let mut seats = Seats::default();
        let seat = seats.take().unwrap();
        seats.release(seat);
        seats.free(Instant(0), |_| false);
        seats.free(Instant(0).after(FORCE_AFTER), |_| false);
        assert_eq!(seats.take(), Some(seat));
    }

    #[test]
    fn a_seat_of_a_living_worker_is_used_again_only_when_it_is_empty() {
        let mut seats = Seats::default();
        let seat = seats.take().unwrap();
        seats.release(seat);
        (0..3).for_each(|_| seats.free_empty(|_| false));
        assert_eq!(seats.take(), Some(Seat(1)));
        seats.free_empty(|_| true);
        assert_eq!(seats.take(), Some(seat));
    }

    #[test]
    fn there_is_an_end_to_seats() {
        let mut seats = Seats::default();
        assert_eq!((0..MAX_SEATS).filter_map(|_| seats.take()).count(), MAX_SEATS);
        assert_eq!(seats.take(), None);
    }
}
