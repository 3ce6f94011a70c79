//! The books as a choice finds them.

use llb_common::{
    abi::{NO_SEAT, SeatSet},
    select::{Fleet, Load, outstanding},
    set,
    track::{is_due, rolled},
};

use super::Books;

/// The books at a moment, as the choice reads them.
pub(super) struct At<'a> {
    pub(super) books: &'a Books,
    pub(super) now: u64,
}

impl Fleet for At<'_> {
    fn member(&self, place: u32) -> u32 {
        self.books.members[place as usize]
    }

    fn has(&self, seat: u32) -> bool {
        self.books.members.contains(&seat)
    }

    fn idle(&self, near_only: bool) -> SeatSet {
        if near_only && !self.books.is_fresh(self.now) {
            return [0; 4];
        }
        let near = if near_only { self.books.published.borrow().near } else { [u64::MAX; 4] };
        let (idle, members) = (self.books.idle.get(), set::of(self.books.members.iter().copied()));
        [0, 1, 2, 3].map(|word| idle[word] & members[word] & near[word])
    }

    fn fewest(&self) -> SeatSet {
        if self.books.is_fresh(self.now) { self.books.fewest.get() } else { [0; 4] }
    }

    fn last(&self) -> u32 {
        let last = self.books.last.get();
        let is_near = || set::contains(&self.books.published.borrow().near, last);
        if last != NO_SEAT && self.books.is_fresh(self.now) && is_near() && self.has(last) { last } else { NO_SEAT }
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
        let load = Load::of(&seat, self.books.published_ns(index, self.now)).or_like(self.books.first_ns.get());
        load.beside(self.books.beside.get())
    }
}
