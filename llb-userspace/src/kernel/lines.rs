//! The lines' places: llb's own listeners in the groups, and their books.

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use llb_common::{
    abi::{Conn, Line, Listener, MAX_GROUPS, MAX_SEATS, OWNER_ALONE, OWNER_LLB, Owner, Place},
    line::{PLACES, WORDS, number},
    names,
    track::Phase,
};

use super::{Books, KernelError, Steering, error::map_error, value::Value};
use crate::{
    line::places::Places,
    model::{Address, Instant, Seat},
    sys::socket,
};

const LINE_WORDS: usize = size_of::<Line>() / 8;
const PLACE_WORDS: usize = size_of::<Place>() / 8;
const PLACES_WORD: usize = std::mem::offset_of!(Line, place) / 8;
const TARGET_WORD: usize = std::mem::offset_of!(Place, target) / 8;

impl Steering {
    /// The index of an address's group, of listeners that are bound to no device.
    pub(crate) fn group_index(&self, address: Address) -> Option<u32> {
        self.held.groups.get(&(address, 0)).map(|group| group.index)
    }

    /// Marks a socket of our own, which is bound to nothing yet: the programs leave its bind as it is, and make no event of it.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn own(&mut self, socket: impl AsFd) -> Result<(), KernelError> {
        let owner = Owner { flags: OWNER_LLB | OWNER_ALONE, ..Owner::default() };
        self.owner.insert(&socket.as_fd().as_raw_fd(), Value(owner), 0).map_err(map_error("OWNER"))
    }

    /// Has what comes to a socket of our own counted at a place of a group's line, wherever it goes from there.
    ///
    /// # Errors
    /// [`KernelError`].
    pub(crate) fn own_line(&mut self, address: Address, place: u32, socket: impl AsFd) -> Result<(), KernelError> {
        let Some(group) = self.group_index(address) else { return Ok(()) };
        let socket = socket.as_fd();
        let cookie = socket::cookie(socket).map_err(|source| KernelError::Cookie { address, source })?;
        let seat = number(group, place);
        self.listeners.insert(cookie, Value(Listener { group, seat }), 0).map_err(map_error(names::LISTENERS))?;
        if let Some(storage) = &mut self.conn {
            let conn = Conn { seat, phase: Phase::Closed as u32, ..Conn::default() };
            storage.insert(&socket.as_raw_fd(), Value(conn), 0).map_err(map_error(names::CONN))?;
        }
        Ok(())
    }

    /// Has the selector find a place's listener, which has just begun to listen: the kernel clears its place when it ends.
    /// It is claimed from when the place is [free](Books::free_place).
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn listen_in_line(&mut self, group: u32, place: u32, socket: impl AsFd) -> Result<(), KernelError> {
        let index = (MAX_GROUPS * MAX_SEATS) as u32 + group * PLACES + place;
        self.sockets.set(index, &socket.as_fd().as_raw_fd(), 0).map_err(map_error(names::SOCKETS))
    }
}

impl Books {
    fn line(&self, group: u32) -> &[AtomicU64] {
        let base = (group as usize % MAX_GROUPS) * LINE_WORDS;
        &self.lines.words()[base..base + LINE_WORDS]
    }

    fn place_words(&self, group: u32, place: u32) -> &[AtomicU64] {
        let base = PLACES_WORD + (place % PLACES) as usize * PLACE_WORDS;
        &self.line(group)[base..base + PLACE_WORDS]
    }

    /// Forgets what an earlier master has left of its lines, whose listeners went with it.
    pub(crate) fn clear_lines(&self) {
        for word in self.lines.words() {
            word.store(0, Relaxed);
        }
        self.waiting().store(0, Release);
    }

    /// How many wait in all lines.
    pub(crate) fn waiting(&self) -> &AtomicU64 {
        &self.seats.words()[std::mem::offset_of!(llb_common::abi::Seats, waiting) / 8]
    }

    /// A place's books.
    pub(crate) fn place(&self, group: u32, place: u32) -> Place {
        let mut words = [0u64; PLACE_WORDS];
        for (word, shared) in words.iter_mut().zip(self.place_words(group, place)) {
            *word = shared.load(Acquire);
        }
        bytemuck::must_cast(words)
    }

    /// The words of a group's line that say which places are free.
    fn free_words(&self, group: u32) -> &[AtomicU64; WORDS] {
        self.line(group).first_chunk().expect("a line is longer")
    }

    /// The places of a group's line that are free.
    pub(crate) fn free_places(&self, group: u32) -> Places {
        let words = self.free_words(group);
        Places(std::array::from_fn(|word| words[word].load(Acquire)))
    }

    /// Opens a line, which has no places yet.
    pub(crate) fn open_line(&self, group: u32) {
        for word in self.line(group) {
            word.store(0, Relaxed);
        }
    }

    /// A place whose listener is in its group may be claimed.
    pub(crate) fn add_place(&self, group: u32, place: u32) {
        let (word, bit) = Places::bit(place);
        self.free_words(group)[word].fetch_or(bit, Release);
    }

    /// Closes a line of so many places: nobody comes any more.
    pub(crate) fn close_line(&self, group: u32, places: usize) {
        let words = self.free_words(group);
        let free = Places(std::array::from_fn(|word| words[word].swap(0, AcqRel)));
        self.waiting().fetch_sub(places as u64 - u64::from(free.count()), Relaxed);
    }

    /// Names who gets what waits in a place when its listener ends.
    pub(crate) fn aim(&self, group: u32, place: u32, target: Option<Seat>) {
        let word = target.map_or(0, |seat| u64::from(seat.0) + 1);
        self.place_words(group, place)[TARGET_WORD].store(word, Release);
    }

    /// A place may be claimed again.
    pub(crate) fn free_place(&self, group: u32, place: u32) {
        for word in self.place_words(group, place) {
            word.store(0, Relaxed);
        }
        let (word, bit) = Places::bit(place);
        if self.free_words(group)[word].fetch_or(bit, Release) & bit == 0 {
            self.waiting().fetch_sub(1, Relaxed);
        }
    }

    /// Takes a place to which somebody has come past the selector, by the kernel's hash, or late.
    pub(crate) fn take_place(&self, group: u32, place: u32, now: Instant) {
        let (word, bit) = Places::bit(place);
        if self.free_words(group)[word].fetch_and(!bit, AcqRel) & bit != 0 {
            self.place_words(group, place)[0].store(now.0, Release);
            self.waiting().fetch_add(1, Relaxed);
        }
    }
}
