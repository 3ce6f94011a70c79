//! The kernel's side of a run: the seats' books, kept by `llb_common::track` and read by `llb_common::select`, and
//! around them what `llb-ebpf/src/{track,select}.rs` do with atomic words. Change one and change the other.

use std::cell::Cell;

use llb_common::{
    abi::{Conn, NO_SEAT, Seat, SeatSet},
    books,
    policy::Policy,
    select::{Choice, Fleet, Load, STALE_AFTER_NS, choose, given, in_flight, outstanding},
    set,
    track::{self, Step, first_roll_at, is_due, rolled},
};

/// What userspace has published: [`llb_common::abi::Published`].
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) at: u64,
    pub(super) least: u32,
    pub(super) near: SeatSet,
    pub(super) cost_ns: Vec<u64>,
}

/// One group's books.
#[derive(Clone, Debug)]
pub(super) struct Books {
    /// Cells, as reading a seat's load forgets charges that are due.
    seats: Vec<Cell<Seat>>,
    idle: Cell<SeatSet>,
    last: Cell<u32>,
    /// The seats that can be chosen.
    pub(super) members: Vec<u32>,
    pub(super) published: Published,
    turn: u32,
}

impl Books {
    pub(super) fn new(seats: usize) -> Self {
        Books {
            seats: vec![Cell::default(); seats],
            idle: Cell::default(),
            last: Cell::new(NO_SEAT),
            members: Vec::new(),
            published: Published { at: 0, least: NO_SEAT, near: [0; 4], cost_ns: vec![0; seats] },
            turn: 0,
        }
    }

    pub(super) fn seat(&self, seat: u32) -> Seat {
        self.seats[seat as usize].get()
    }

    /// Forgets a seat's service time, as userspace may.
    pub(super) fn renew(&self, seat: u32) {
        self.change(seat, |seat| seat.service_ns = 0);
    }

    /// A seat's requests, in flight and charged.
    pub(super) fn requests(&self, seat: u32, now: u64) -> u64 {
        At { books: self, now }.load(seat).requests
    }

    /// Chooses as the selector does, `random` being what the kernel would draw; `None` for the kernel's hash.
    pub(super) fn choose(&mut self, policy: Policy, random: u32, now: u64) -> Option<u32> {
        let turn = if policy == Policy::RoundRobin { self.turn } else { random };
        self.turn = self.turn.wrapping_add(1);
        let fleet = At { books: self, now };
        match choose(policy, &fleet, self.members.len() as u32, self.published.least, turn, now) {
            Choice::Seat { seat, .. } => Some(seat),
            Choice::Hash | Choice::NoSeat => None,
        }
    }

    /// Adds a choice to its seat's load at once.
    pub(super) fn charge(&self, seat: u32, now: u64) {
        self.last.set(seat);
        self.change(seat, |seat| {
            if outstanding(seat) == 0 {
                if given(seat) == 0 {
                    seat.progress_at = now;
                }
                (seat.mark, seat.due_at) = (seat.charged, first_roll_at(seat.handshake_us, now));
            }
            seat.charged += 1;
        });
    }

    /// Takes a connection's step, if there is one.
    pub(super) fn take(&self, conn: &mut Conn, step: Option<Step>, now: u64) {
        let Some(step) = step else { return };
        let delta = books::take(conn, &self.seat(conn.seat), Some(step));
        let start_ns = self.published_ns(conn.seat, now);
        self.change(conn.seat, |seat| books::apply(seat, &delta, start_ns, now));
        let seat = self.seat(conn.seat);
        if (delta.ended != 0 || delta.settled != 0) && in_flight(&seat) == 0 && outstanding(&seat) == 0 {
            self.rest(conn.seat);
        }
    }

    /// Puts a seat among the idle ones.
    pub(super) fn rest(&self, seat: u32) {
        let mut idle = self.idle.get();
        idle[seat as usize / 64] |= set::bit(seat);
        self.idle.set(idle);
    }

    /// Takes a connection's establishment, `handshake_ns` after its SYN.
    pub(super) fn establish(&self, conn: &mut Conn, handshake_ns: u64, now: u64) {
        let sample_us = u32::try_from(handshake_ns / 1_000).unwrap_or(u32::MAX);
        self.change(conn.seat, |seat| seat.handshake_us = track::handshake_after(seat.handshake_us, sample_us));
        self.take(conn, Some(track::established(now)), now);
    }

    /// The published cost of a seat, or 0 where there is none that is fresh.
    fn published_ns(&self, seat: u32, now: u64) -> u64 {
        let fresh = now.saturating_sub(self.published.at) < STALE_AFTER_NS;
        if fresh { self.published.cost_ns[seat as usize] } else { 0 }
    }

    fn change(&self, seat: u32, change: impl FnOnce(&mut Seat)) {
        let cell = &self.seats[seat as usize];
        let mut seat = cell.get();
        change(&mut seat);
        cell.set(seat);
    }
}

/// The books at a moment, as the choice reads them.
struct At<'a> {
    books: &'a Books,
    now: u64,
}

impl Fleet for At<'_> {
    fn member(&self, place: u32) -> u32 {
        self.books.members[place as usize]
    }

    fn has(&self, seat: u32) -> bool {
        self.books.members.contains(&seat)
    }

    fn idle(&self, near_only: bool) -> SeatSet {
        let published = &self.books.published;
        if near_only && self.now.saturating_sub(published.at) >= STALE_AFTER_NS {
            return [0; 4];
        }
        let (idle, members) = (self.books.idle.get(), set::of(self.books.members.iter().copied()));
        [0, 1, 2, 3].map(|word| idle[word] & members[word] & if near_only { published.near[word] } else { u64::MAX })
    }

    fn last(&self) -> u32 {
        let (last, published) = (self.books.last.get(), &self.books.published);
        let fresh = self.now.saturating_sub(published.at) < STALE_AFTER_NS;
        let eligible = fresh && last != NO_SEAT && set::contains(&published.near, last) && self.has(last);
        if eligible { last } else { NO_SEAT }
    }

    fn claim(&self, seat: u32) -> bool {
        let mut idle = self.books.idle.get();
        let was = set::contains(&idle, seat);
        idle[seat as usize / 64] &= !set::bit(seat);
        self.books.idle.set(idle);
        was
    }

    fn load(&self, index: u32) -> Load {
        if outstanding(&self.books.seat(index)) != 0 && is_due(&self.books.seat(index), self.now) {
            self.books.change(index, |seat| *seat = rolled(seat, self.now));
        }
        let seat = self.books.seat(index);
        Load::of(&seat, self.books.published_ns(index, self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_choice_is_seen_by_the_next_one_and_its_request_settles_it() {
        let mut books = Books::new(2);
        books.members = vec![0, 1];
        let first = books.choose(Policy::LeastLatency, 0, MS).unwrap();
        books.charge(first, MS);
        assert_eq!(books.choose(Policy::LeastLatency, 0, MS), Some(1 - first));
        let mut conn = Conn { seat: first, ..Conn::default() };
        books.take(&mut conn, Some(track::established(2 * MS)), 2 * MS);
        let step = track::bytes_in(&conn, 2 * MS);
        books.take(&mut conn, step, 2 * MS);
        assert_eq!(books.requests(first, 2 * MS), 1);
        let step = track::bytes_out(&conn, 7 * MS);
        books.take(&mut conn, step, 7 * MS);
        assert_eq!((books.requests(first, 7 * MS), books.seat(first).service_ns), (0, 5 * MS));
    }
}
