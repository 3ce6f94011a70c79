//! The kernel's side of a run: the seats' books, kept by `llb_common::track` and read by `llb_common::select`, and
//! around them what `llb-ebpf/src/{track,select}.rs` do with atomic words. Change one and change the other. llb's own publisher
//! publishes.

mod moment;

use std::cell::{Cell, RefCell};

use self::moment::At;
use llb::{
    internals::{Ledger, Publisher, Seated},
    kernel::Publication,
    model,
};
use llb_common::{
    abi::{Conn, Direction, MAX_SEATS, NO_SEAT, Seat, SeatSet},
    books,
    policy::Policy,
    select::{Choice, Fleet, STALE_AFTER_NS, choose, given, in_flight, outstanding},
    set,
    track::{self, Mark, Step, first_roll_at, mark_at},
    wire::{self, Fresh, Payload},
};

/// What userspace has published: [`llb_common::abi::Published`].
#[derive(Clone, Copy, Debug)]
struct Published {
    at: u64,
    least: u32,
    near: SeatSet,
    cost_ns: [u64; MAX_SEATS],
}

/// One group's books.
#[derive(Clone, Debug)]
pub(super) struct Books {
    /// Cells, as reading a seat's load forgets charges that are due.
    seats: Vec<Cell<Seat>>,
    idle: Cell<SeatSet>,
    last: Cell<u32>,
    /// Those with the fewest open connections, and how many they are to have.
    fewest: Cell<SeatSet>,
    level: Cell<u64>,
    /// What the first answer took of the seat of which that was last known.
    first_ns: Cell<u64>,
    beside: Cell<u64>,
    /// The seats that can be chosen.
    pub(super) members: Vec<u32>,
    published: RefCell<Published>,
    publisher: RefCell<Publisher>,
    turn: u32,
}

impl Books {
    pub(super) fn new(seats: usize) -> Self {
        Books {
            seats: vec![Cell::default(); seats],
            idle: Cell::default(),
            last: Cell::new(NO_SEAT),
            fewest: Cell::default(),
            level: Cell::default(),
            first_ns: Cell::default(),
            beside: Cell::default(),
            members: Vec::new(),
            published: RefCell::new(Published { at: 0, least: NO_SEAT, near: [0; 4], cost_ns: [0; MAX_SEATS] }),
            publisher: RefCell::new(Publisher::new(Policy::LeastLatency)),
            turn: 0,
        }
    }

    pub(super) fn seat(&self, seat: u32) -> Seat {
        self.seats[seat as usize].get()
    }

    /// Publishes what the books say of workers that report nothing.
    pub(super) fn publish(&self, now: u64) {
        let seated = self.members.iter().map(|seat| Seated {
            seat: model::Seat(*seat),
            joined: true,
            estimate: None,
            owed: None,
            before: Default::default(),
            held: false,
        });
        self.publisher.borrow_mut().publish(self, seated, model::Instant(now));
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
        let least = self.published.borrow().least;
        match choose(policy, &fleet, self.members.len() as u32, least, turn, now) {
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
        // The charge is there, the connection not yet.
        let books = self.seat(seat);
        if books.opened - books.closed + outstanding(&books) >= self.level.get() {
            let mut fewest = self.fewest.get();
            fewest[seat as usize / 64] &= !set::bit(seat);
            self.fewest.set(fewest);
        }
    }

    /// Takes a connection's step, if there is one.
    pub(super) fn take(&self, conn: &mut Conn, step: Option<Step>, now: u64) {
        let Some(step) = step else { return };
        let delta = books::take(conn, &self.seat(conn.seat), Some(step));
        let start_ns = self.published_ns(conn.seat, now);
        self.beside.set(self.beside.get().max(track::beside(&self.seat(conn.seat), &delta)));
        let was_known = self.seat(conn.seat).service_ns != 0;
        self.change(conn.seat, |seat| books::apply(seat, &delta, start_ns, now));
        let seat = self.seat(conn.seat);
        if !was_known && seat.service_ns != 0 {
            self.first_ns.set(seat.service_ns);
        }
        if (delta.ended != 0 || delta.settled != 0) && in_flight(&seat) == 0 && outstanding(&seat) == 0 {
            Ledger::rest(self, &set::of([conn.seat].into_iter()));
        }
    }

    /// Its worker is seen to wait for connections: `llb-userspace/src/kernel/books.rs`.
    pub(super) fn saw_waiting(&self, seat: u32, now: u64) {
        self.change(seat, |seat| {
            if given(seat) != 0 {
                let Mark { alive, passed } = mark_at(seat.begun);
                (seat.progress_at, seat.alive) = (now, seat.alive.max(alive));
                seat.passed = seat.passed.max(passed);
            }
        });
    }

    /// A line comes on a connection.
    pub(super) fn hear_line(&self, conn: &mut Conn, now: u64) {
        let next = conn.inward.next;
        let Some(fresh) = wire::advance(&mut conn.inward, next, LINE.len() as u32) else { return };
        wire::read_in(conn.state, conn.phase, &mut conn.inward, fresh, &Line);
        let step = track::payload_in(conn, &conn.inward.words, self.seat(conn.seat).alive, now);
        self.take(conn, step, now);
    }

    /// Takes a connection's establishment, `handshake_ns` after its SYN.
    pub(super) fn establish(&self, conn: &mut Conn, handshake_ns: u64, now: u64) {
        let sample_us = u32::try_from(handshake_ns / 1_000).unwrap_or(u32::MAX);
        self.change(conn.seat, |seat| seat.handshake_us = track::handshake_after(seat.handshake_us, sample_us));
        self.take(conn, Some(track::established(now)), now);
    }

    /// The published cost of a seat, or 0 where there is none that is fresh.
    fn published_ns(&self, seat: u32, now: u64) -> u64 {
        if self.is_fresh(now) { self.published.borrow().cost_ns[seat as usize] } else { 0 }
    }

    /// Whether what is published counts.
    fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.published.borrow().at) < STALE_AFTER_NS
    }

    fn change(&self, seat: u32, change: impl FnOnce(&mut Seat)) {
        let cell = &self.seats[seat as usize];
        let mut seat = cell.get();
        change(&mut seat);
        cell.set(seat);
    }
}

impl Ledger for Books {
    fn seat(&self, seat: model::Seat) -> Seat {
        self.seat(seat.0)
    }

    fn renew(&self, seat: model::Seat) {
        self.change(seat.0, |seat| seat.service_ns = 0);
    }

    fn publish(&self, _policy: Policy, publication: &Publication<'_>, now: model::Instant) {
        let Publication { least, near, cost_ns } = publication;
        let least = least.map_or(NO_SEAT, |seat| seat.0);
        *self.published.borrow_mut() = Published { at: now.0, least, near: *near, cost_ns: **cost_ns };
    }

    fn prefer(&self, fewest: &SeatSet, level: u64) {
        self.fewest.set(*fewest);
        self.level.set(level);
    }

    fn beside(&self) -> u64 {
        self.beside.get()
    }

    fn set_beside(&self, beside: u64) {
        self.beside.set(beside);
    }

    fn rest(&self, idle: &SeatSet) {
        let before = self.idle.get();
        self.idle.set([0, 1, 2, 3].map(|word| before[word] | idle[word]));
    }
}

const LINE: &[u8] = b"a line\n";

/// What [`LINE`] looks like on the wire.
struct Line;

impl Payload for Line {
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        LINE.get(at as usize..at as usize + N)?.try_into().ok()
    }

    fn frames(&self, out: bool, direction: &mut Direction, fresh: Fresh) {
        wire::read_frames(out, direction, fresh, self);
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

    #[test]
    fn what_workers_hold_beside_others_has_to_be_seen_again() {
        let books = Books::new(1);
        let beside_after = |seconds: u64| {
            books.publish(seconds * 1_000_000_000);
            books.beside.get()
        };
        books.beside.set(16);
        assert_eq!(beside_after(59), 16);
        assert_eq!(beside_after(60), 14);
        assert_eq!(beside_after(119), 14);
        assert_eq!(beside_after(120), 12);
        books.beside.set(1);
        assert_eq!(beside_after(180), 0);
    }
}
