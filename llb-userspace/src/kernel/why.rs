//! Choices that the selector notes while somebody asks why.

use std::{
    sync::{Arc, atomic::Ordering::Release},
    time::Duration,
};

use aya::maps::{Map, MapData, RingBuf};
use bytemuck::Zeroable;
use llb_common::{
    abi::{MAX_SEATS, Seats},
    names,
    why::{HEAD, Look, Sample},
};

use super::{KernelError, Steering, error::map_error};
use crate::{
    model::{Address, Instant},
    sys::mmap::SharedWords,
};

const UNTIL_WORD: usize = std::mem::offset_of!(Seats, why_until) / 8;
const EVERY_WORD: usize = std::mem::offset_of!(Seats, why_every) / 8;

/// Where they come.
pub(crate) struct Choices {
    ring: Map,
    seats: Arc<SharedWords>,
}

/// As long as this is, choices are noted, and the memory where they come is mapped.
pub(crate) struct Noting<'a> {
    ring: RingBuf<&'a MapData>,
    choices: &'a Choices,
}

impl Choices {
    /// Without those that an earlier master has asked for.
    pub(super) fn of(ring: Map, seats: Arc<SharedWords>) -> Self {
        let choices = Choices { ring, seats };
        choices.end();
        choices
    }

    /// Has the selector note a choice, and then none for the time `every`; until `until`, and not a moment longer, whatever becomes
    /// of this process.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn note(&mut self, every: Duration, until: Instant) -> Result<Noting<'_>, KernelError> {
        let mut ring = RingBuf::try_from(&self.ring).map_err(map_error(names::CHOICES))?;
        // What has come too late for who asked before.
        while ring.next().is_some() {}
        self.seats.words()[EVERY_WORD].store(every.as_nanos() as u64, Release);
        self.seats.words()[UNTIL_WORD].store(until.0, Release);
        Ok(Noting { ring, choices: self })
    }

    fn end(&self) {
        self.seats.words()[UNTIL_WORD].store(0, Release);
    }
}

impl Noting<'_> {
    /// The choices that have been noted and not yet read.
    pub(crate) fn read(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        while let Some(record) = self.ring.next() {
            samples.extend(decode(&record));
        }
        samples
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.choices.end();
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
