//! UDP: the groups of sockets, the table of flows, and what is counted of them ([`llb_common::flow`]).

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    mem::offset_of,
    os::fd::{AsFd, AsRawFd},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aya::maps::{Map, MapData, PerCpuArray};
use llb_common::{
    abi::{FlowCount, FlowSeat, FlowSeats, MAX_SEATS, OWNER_SEAT_SHIFT},
    flow::{Fate, SETS, WAYS, is_alive, is_established, is_id, seat, window_ns},
    names,
    quic::MAX_WORKERS,
};

use super::{KernelError, Member, Steering, books::words, error::map_error, value::Value};
use crate::{
    model::{Address, Instant, Seat},
    sys::mmap::SharedWords,
};

const WINDOW_WORD: usize = offset_of!(FlowSeats, window) / 8;
const ONLY_GROUP_WORD: usize = offset_of!(FlowSeats, only_group) / 8;
const QUIC_LB_WORD: usize = offset_of!(FlowSeats, quic_lb) / 8;
const SECRET_WORD: usize = offset_of!(FlowSeats, secret) / 8;
const WORKER_WORD: usize = offset_of!(FlowSeats, worker) / 8;
const SEAT_WORD: usize = offset_of!(FlowSeats, seat) / 8;
const SEAT_WORDS: usize = size_of::<FlowSeat>() / 8;
const FLOWS_AT: usize = offset_of!(FlowSeat, flows) / 8;
const OWED_AT: usize = offset_of!(FlowSeat, owed_since) / 8;
const TALKS_AT: usize = offset_of!(FlowSeat, talks) / 8;
const ID_LENGTH_AT: usize = offset_of!(FlowSeat, id_length) / 8;

/// Datagrams, by CPU: of each seat, and of each [`Fate`].
type Counts = PerCpuArray<MapData, Value<FlowCount>>;

/// The maps of flows.
pub(super) struct Flows {
    table: Table,
    seats: SharedWords,
    counts: Counts,
    idle: Duration,
}

/// A megabyte of flows, mapped once they are counted: most fleets have no UDP.
struct Table {
    map: Map,
    words: OnceLock<SharedWords>,
}

impl Table {
    fn words(&self) -> Result<&[AtomicU64], KernelError> {
        let words = match self.words.get() {
            Some(words) => words,
            None => {
                let words = words(&self.map, names::FLOWS, SETS as usize * WAYS * 8)?;
                self.words.get_or_init(|| words)
            }
        };
        Ok(words.words())
    }
}

/// How many flows live, by what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    /// By seat: those of which more than one datagram has come.
    pub established: [u64; MAX_SEATS],
    /// All others.
    pub newcomers: u64,
}

/// How often each [`Fate`] came about.
pub(crate) type Fates = [(Fate, u64); Fate::ALL.len()];

/// The words of [`FlowSeats::worker`]. Numbers beyond it, which there are none of, are left out.
fn packed(workers: impl IntoIterator<Item = (u32, Seat)>) -> [u64; MAX_WORKERS / 4] {
    let mut seats = [0u16; MAX_WORKERS];
    for (number, Seat(seat)) in workers {
        if let Some(place) = seats.get_mut(number as usize) {
            *place = seat as u16 + 1;
        }
    }
    let word = |four: &[u16]| four.iter().rev().fold(0, |word, seat| word << 16 | u64::from(*seat));
    let mut words = [0; MAX_WORKERS / 4];
    words.iter_mut().zip(seats.chunks(4)).for_each(|(to, four)| *to = word(four));
    words
}

impl Flows {
    pub(super) fn map(table: Map, seats: &Map, counts: Counts) -> Result<Self, KernelError> {
        let flows = Flows {
            table: Table { map: table, words: OnceLock::new() },
            seats: words(seats, names::FLOW_SEATS, size_of::<FlowSeats>())?,
            counts,
            idle: Duration::ZERO,
        };
        flows.choose_secret();
        Ok(flows)
    }

    /// A new table gets one; the ids in that of a dead master are found by the one that it had.
    fn choose_secret(&self) {
        let secret = &self.seats.words()[SECRET_WORD];
        if secret.load(Relaxed) == 0 {
            // std seeds its hash tables from the kernel.
            secret.store(RandomState::new().build_hasher().finish() | 1, Relaxed);
        }
    }

    fn word(&self, of: Seat, word: usize) -> &AtomicU64 {
        &self.seats.words()[SEAT_WORD + of.0 as usize % MAX_SEATS * SEAT_WORDS + word]
    }

    fn window(&self) -> u64 {
        self.seats.words()[WINDOW_WORD].load(Relaxed)
    }

    fn count(&self, index: u32) -> Result<u64, KernelError> {
        let values = self.counts.get(&index, 0).map_err(map_error(names::FLOW_COUNTS))?;
        Ok(values.iter().map(|Value(count)| count.datagrams).sum())
    }

    /// Says which group all datagrams are of; none if there are several.
    pub(super) fn set_only_group(&self, index: Option<u32>) {
        self.say(ONLY_GROUP_WORD, index.map_or(0, |index| u64::from(index) + 1));
    }

    /// Changes a word if it is another: each CPU that receives keeps a copy of its cache line.
    fn say(&self, word: usize, value: u64) {
        let shared = &self.seats.words()[word];
        if shared.load(Relaxed) != value {
            shared.store(value, Relaxed);
        }
    }

    /// A socket joins: what is known of its seat's load is another's.
    pub(super) fn begin(&self, seat: Seat) {
        for word in [FLOWS_AT, OWED_AT, TALKS_AT, ID_LENGTH_AT] {
            self.word(seat, word).store(0, Relaxed);
        }
    }
}

impl Steering {
    /// Says how long a flow is known that sends nothing.
    pub(crate) fn keep_flows(&mut self, idle: Duration) {
        self.flows.idle = idle;
    }

    /// To be called with every publication: time passes for flows.
    pub(crate) fn tend_flows(&mut self, now: Instant) {
        let idle = u64::try_from(self.flows.idle.as_nanos()).unwrap_or(u64::MAX);
        // A number of the clock's: the next master counts on.
        self.flows.say(WINDOW_WORD, now.0 / window_ns(idle));
    }

    /// Says whether the QUIC connection id counts where a flow is not known.
    pub(crate) fn set_connection_ids(&self, whether: bool) {
        self.flows.say(QUIC_LB_WORD, whether.into());
    }

    /// Says which worker an id names: by the number of each worker that lives, a seat.
    pub(crate) fn number_workers(&self, workers: impl IntoIterator<Item = (u32, Seat)>) {
        for (index, word) in (WORKER_WORD..).zip(packed(workers)) {
            self.flows.say(index, word);
        }
    }

    /// Counts the flows that live, for the selector.
    ///
    /// # Errors
    /// [`KernelError::Mmap`].
    pub(crate) fn count_flows(&self) -> Result<Census, KernelError> {
        let window = self.flows.window() as u32;
        let mut census = Census { established: [0; MAX_SEATS], newcomers: 0 };
        for word in self.flows.table.words()? {
            let entry = word.load(Relaxed);
            if entry == 0 || is_id(entry) || !is_alive(entry, window) {
                continue;
            }
            if is_established(entry) {
                census.established[seat(entry) as usize] += 1;
            } else {
                census.newcomers += 1;
            }
        }
        for (index, flows) in (0..).zip(census.established) {
            let word = self.flows.word(Seat(index), FLOWS_AT);
            if word.load(Relaxed) != flows {
                word.store(flows, Relaxed);
            }
        }
        Ok(census)
    }

    /// Datagrams that went to a seat, whoever had it.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn datagrams(&self, seat: Seat) -> Result<u64, KernelError> {
        self.flows.count(seat.0 % MAX_SEATS as u32)
    }

    /// What became of datagrams.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn fates(&self) -> Result<Fates, KernelError> {
        let mut fates = Fate::ALL.map(|fate| (fate, 0));
        for (fate, count) in &mut fates {
            *count = self.flows.count(MAX_SEATS as u32 + *fate as u32)?;
        }
        // Those of known flows, which are most, are not counted twice: they are what seats were given besides the others.
        let mut given = 0;
        for seat in 0..MAX_SEATS as u32 {
            given += self.flows.count(seat)?;
        }
        let others = fates.iter().filter(|(fate, _)| fate.is_given()).map(|(_, count)| count).sum();
        fates[Fate::Known as usize].1 = given.saturating_sub(others);
        Ok(fates)
    }

    /// Whether a seat's worker has been given datagrams since it has last sent any, or was last said to have read all.
    pub(crate) fn is_given(&self, seat: Seat) -> bool {
        self.flows.word(seat, OWED_AT).load(Relaxed) != 0
    }

    /// A seat's worker owes nothing.
    pub(crate) fn quit(&self, seat: Seat) {
        let word = self.flows.word(seat, OWED_AT);
        if word.load(Relaxed) != 0 {
            word.store(0, Relaxed);
        }
    }

    /// The groups of UDP sockets: addresses and members.
    pub(crate) fn flow_groups(&self) -> impl Iterator<Item = (Address, &[Member])> {
        self.held.udp().map(|((address, _), group)| (*address, group.members.as_slice()))
    }

    /// Has what a UDP socket sends count as its seat's sign of life.
    pub(super) fn sign(&mut self, socket: impl AsFd, seat: Seat) -> Result<(), KernelError> {
        let fd = socket.as_fd().as_raw_fd();
        let Value(mut owner) = self.owner.get(&fd, 0).map_err(map_error("OWNER"))?;
        owner.flags = owner.flags & ((1 << OWNER_SEAT_SHIFT) - 1) | u64::from(seat.0 + 1) << OWNER_SEAT_SHIFT;
        self.owner.insert(&fd, Value(owner), 0).map_err(map_error("OWNER"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_number_is_where_the_kernel_looks() {
        let words = packed([(0, Seat(7)), (6, Seat(255)), (MAX_WORKERS as u32, Seat(1))]);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = |number: usize| u16::from_le_bytes([bytes[2 * number], bytes[2 * number + 1]]);
        assert_eq!([at(0), at(1), at(6), at(MAX_WORKERS - 1)], [8, 0, 256, 0]);
    }
}
