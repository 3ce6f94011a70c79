//! Choices that the selector notes while somebody asks why.

use std::{sync::atomic::Ordering::Release, time::Duration};

use aya::maps::{Map, MapData, RingBuf};
use bytemuck::Zeroable;
use llb_common::{
    abi::{MAX_SEATS, Seats},
    names,
    why::{HEAD, Look, Sample},
};

use super::{KernelError, Steering, books::words};
use crate::{
    model::{Address, Instant},
    sys::mmap::SharedWords,
};

const UNTIL_WORD: usize = std::mem::offset_of!(Seats, why_until) / 8;
const EVERY_WORD: usize = std::mem::offset_of!(Seats, why_every) / 8;

/// Where they come.
pub(crate) struct Choices {
    ring: RingBuf<MapData>,
    seats: SharedWords,
}

/// As long as this is, choices are noted.
pub(crate) struct Noting<'a>(&'a mut Choices);

impl Choices {
    /// Without those that an earlier master has asked for.
    pub(super) fn of(ring: RingBuf<MapData>, seats: &Map) -> Result<Self, KernelError> {
        let seats = words(seats, names::SEATS, size_of::<Seats>())?;
        let mut choices = Choices { ring, seats };
        choices.end();
        choices.discard();
        Ok(choices)
    }

    /// Has the selector note a choice, and then none for the time `every`; until `until`, and not a moment longer, whatever becomes
    /// of this process.
    pub(crate) fn note(&mut self, every: Duration, until: Instant) -> Noting<'_> {
        self.discard();
        self.seats.words()[EVERY_WORD].store(every.as_nanos() as u64, Release);
        self.seats.words()[UNTIL_WORD].store(until.0, Release);
        Noting(self)
    }

    fn end(&self) {
        self.seats.words()[UNTIL_WORD].store(0, Release);
    }

    fn discard(&mut self) {
        while self.ring.next().is_some() {}
    }
}

impl Noting<'_> {
    /// The choices that have been noted and not yet read.
    pub(crate) fn read(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        while let Some(record) = self.0.ring.next() {
            samples.extend(decode(&record));
        }
        samples
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A record ends after its last look.
fn decode(record: &[u8]) -> Option<Sample> {
    let mut sample = Sample::zeroed();
    bytemuck::bytes_of_mut(&mut sample).get_mut(..record.len())?.copy_from_slice(record);
    let is_whole =
        sample.count as usize <= MAX_SEATS && record.len() == HEAD + sample.count as usize * size_of::<Look>();
    is_whole.then_some(sample)
}

impl Steering {
    /// Where choices come that are noted, once; later calls return nothing.
    pub(crate) fn take_choices(&mut self) -> Option<Choices> {
        self.choices.take()
    }

    /// The address of a group of TCP listeners.
    pub(crate) fn group_address(&self, index: u32) -> Option<Address> {
        self.held().tcp().find(|(_, group)| group.index == index).map(|((address, _), _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_cut_is_no_choice() {
        let mut sample = Sample::zeroed();
        (sample.count, sample.looks[1].seat) = (2, 7);
        let bytes = &bytemuck::bytes_of(&sample)[..HEAD + 2 * size_of::<Look>()];
        assert_eq!(decode(bytes), Some(sample));
        assert_eq!(decode(&bytes[..bytes.len() - 8]), None);
        assert_eq!(decode(&vec![0; size_of::<Sample>() + 8]), None);
    }
}
