//! The homes of clients, for a selector that remembers them: [`llb_common::sticky`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    mem::offset_of,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use aya::maps::Map;
use llb_common::{
    abi::{Homes, MAX_GROUPS, MAX_SEATS, Sticky as Words},
    names,
    sticky::{FADES, LANES, MAX_HOMES, bound, fade, home},
};

use super::{KernelError, Steering, books::words, error::map_error};
use crate::{
    model::{Instant, Seat, Slot, WorkerId},
    registry::Group,
    sys::mmap::SharedWords,
};

const TTL_WORD: usize = offset_of!(Words, ttl_ns) / 8;
const BOUND_WORD: usize = offset_of!(Words, bound) / 8;
const SLOTS_WORD: usize = offset_of!(Words, slots) / 8;
const NEW_WORD: usize = offset_of!(Words, new) / 8;
const MOVED_WORD: usize = offset_of!(Words, moved) / 8;
const ENTERED_WORD: usize = offset_of!(Words, entered) / 8;
const HOME_WORD: usize = offset_of!(Words, home) / 8;
const CLIENTS_WORD: usize = offset_of!(Words, clients) / 8;
/// Words of one group's homes.
const HOMES_WORDS: usize = size_of::<Homes>() / 8;

/// What makes a client whose connections all go to one slot, and how long it is remembered.
///
/// ```
/// use std::time::Duration;
/// use llb::config::Sticky;
///
/// // A client is a network of an office's size, and is forgotten an hour after its last connection was made.
/// let sticky = Sticky { v4: 24, v6: 64, ttl: Duration::from_secs(3600) };
/// assert_eq!(sticky.to_string(), "source 24,64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// So many bits of its IPv4 address, 1 to 32.
    pub v4: u8,
    /// So many bits of its IPv6 address, 1 to 128.
    pub v6: u8,
    /// How long after its last new connection.
    pub ttl: Duration,
}

impl Sticky {
    /// As the programs have it.
    pub(super) fn prefixes(self) -> u32 {
        u32::from(self.v4.clamp(1, 32)) | u32::from(self.v6.clamp(1, 128)) << 8
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {},{}", self.v4, self.v6)
    }
}

/// Whose seat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    pub seat: Seat,
    pub slot: Slot,
    pub worker: WorkerId,
    /// Which of the worker's seats.
    pub lane: usize,
}

/// How often clients were recognised, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub new: u64,
    pub moved: u64,
    pub entered: u64,
}

/// The maps of clients' homes.
pub(super) struct Clients {
    words: SharedWords,
    homes: SharedWords,
    ttl: Duration,
    fade_at: Instant,
    /// Slots that take clients.
    taking: BTreeSet<u32>,
}

impl Clients {
    /// Nothing if the programs remember no clients: then the maps are as small as can be.
    pub(super) fn map(sticky: &Map, homes: &Map) -> Result<Option<Self>, KernelError> {
        let Map::Array(data) = homes else { return Err(KernelError::Missing { what: "map", name: names::HOMES }) };
        if data.info().map_err(map_error(names::HOMES))?.max_entries() < MAX_GROUPS as u32 {
            return Ok(None);
        }
        Ok(Some(Clients {
            words: words(sticky, names::STICKY, size_of::<Words>())?,
            homes: words(homes, names::HOMES, MAX_GROUPS * size_of::<Homes>())?,
            ttl: Duration::ZERO,
            fade_at: Instant(0),
            taking: BTreeSet::new(),
        }))
    }

    fn of_slot(&self, slot: u32) -> &AtomicU64 {
        &self.words.words()[CLIENTS_WORD + slot as usize % MAX_SEATS]
    }
}

impl Steering {
    /// Says how long clients are remembered.
    pub(crate) fn remember_clients(&mut self, ttl: Duration, now: Instant) {
        let Some(clients) = &mut self.clients else { return };
        clients.ttl = ttl;
        clients.fade_at = now.after(ttl / FADES);
        clients.words.words()[TTL_WORD].store(Instant(0).after(ttl).0, Relaxed);
    }

    /// Whether clients are remembered.
    pub(crate) fn remembers_clients(&self) -> bool {
        self.clients.is_some()
    }

    /// Says who lives where: in each group the newest member of a slot.
    pub(crate) fn settle(&mut self, residents: &[Resident], slots: u32) {
        let Some(clients) = &mut self.clients else { return };
        let shared = clients.words.words();
        shared[SLOTS_WORD].store(slots.into(), Relaxed);
        let mut home_of = [0u16; MAX_SEATS];
        for resident in residents {
            home_of[resident.seat.0 as usize % MAX_SEATS] = home(resident.slot.0, resident.lane) as u16 + 1;
        }
        store(&shared[HOME_WORD..], &bytemuck::must_cast::<_, [u64; MAX_SEATS / 4]>(home_of));
        clients.taking.clear();
        for Group { index, members, .. } in self.held.groups.values() {
            let here = |resident: &&Resident| members.iter().any(|member| member.seat == resident.seat);
            let here: Vec<Resident> = residents.iter().filter(here).copied().collect();
            let table: [u64; HOMES_WORDS] = bytemuck::must_cast(homes_of(&here));
            store(&clients.homes.words()[*index as usize * HOMES_WORDS..], &table);
            clients.taking.extend(here.iter().map(|resident| resident.slot.0));
        }
        for slot in slots..MAX_SEATS as u32 {
            clients.of_slot(slot).store(0, Relaxed);
        }
    }

    /// To be called with every publication: how many clients a slot may have to be given more.
    pub(crate) fn tend_clients(&mut self, now: Instant) {
        let Some(clients) = &mut self.clients else { return };
        if now >= clients.fade_at {
            clients.fade_at = now.after(clients.ttl / FADES);
            for slot in 0..MAX_SEATS as u32 {
                let word = clients.of_slot(slot);
                word.fetch_sub(fade(word.load(Relaxed)), Relaxed);
            }
        }
        let bound = bound(clients.taking.iter().map(|slot| clients.of_slot(*slot).load(Relaxed)));
        clients.words.words()[BOUND_WORD].store(bound, Relaxed);
    }

    /// How many clients a slot has, as far as is known.
    pub(crate) fn clients(&self, slot: Slot) -> Option<u64> {
        self.clients.as_ref().map(|clients| clients.of_slot(slot.0).load(Relaxed))
    }

    /// What has been counted of clients.
    pub(crate) fn recognised(&self) -> Option<Recognised> {
        let words = self.clients.as_ref()?.words.words();
        let word = |word: usize| words[word].load(Relaxed);
        Some(Recognised { new: word(NEW_WORD), moved: word(MOVED_WORD), entered: word(ENTERED_WORD) })
    }
}

/// Lines of memory that stay as they are need not be fetched anew.
fn store(shared: &[AtomicU64], words: &[u64]) {
    for (shared, word) in shared.iter().zip(words) {
        if shared.load(Relaxed) != *word {
            shared.store(*word, Relaxed);
        }
    }
}

/// By home one more than the seat, of a group's members. Lanes that the newest worker of a slot does not have share those that
/// it has.
fn homes_of(members: &[Resident]) -> [u16; MAX_HOMES] {
    let mut slots: BTreeMap<Slot, Vec<Resident>> = BTreeMap::new();
    for member in members {
        slots.entry(member.slot).or_default().push(*member);
    }
    let mut homes = [0; MAX_HOMES];
    for (slot, mut here) in slots {
        let newest = here.iter().map(|resident| resident.worker).max();
        here.retain(|resident| Some(resident.worker) == newest);
        here.sort_by_key(|resident| resident.lane);
        for lane in 0..LANES {
            homes[home(slot.0, lane) as usize] = here[lane % here.len()].seat.0 as u16 + 1;
        }
    }
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(seat: u32, slot: u32, worker: u64, lane: usize) -> Resident {
        Resident { seat: Seat(seat), slot: Slot(slot), worker: WorkerId(worker), lane }
    }

    #[test]
    fn the_newest_worker_of_a_slot_is_at_home_there() {
        let old_and_new = [resident(0, 0, 1, 0), resident(1, 1, 2, 0), resident(2, 0, 3, 0)];
        let homes = homes_of(&old_and_new);
        assert_eq!((homes[home(0, 0) as usize], homes[home(1, 0) as usize], homes[home(2, 0) as usize]), (3, 2, 0));
        // Rolled back.
        assert_eq!(homes_of(&old_and_new[..2])[home(0, 0) as usize], 1);
    }

    #[test]
    fn every_lane_of_a_slot_leads_to_a_listener() {
        let two = homes_of(&[resident(9, 5, 1, 1), resident(4, 5, 1, 0)]);
        assert_eq!([0, 1, 2, 3].map(|lane| two[home(5, lane) as usize]), [5, 10, 5, 10]);
    }
}
