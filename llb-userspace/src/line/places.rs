//! Some of a line's places: a set, bit by bit as the selector has it.

use std::ops::{BitOr, Not};

use llb_common::line::{PLACES, WORDS};

/// A set of places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(pub [u64; WORDS]);

impl Places {
    /// The word of a place, and its bit there.
    pub(crate) const fn bit(place: u32) -> (usize, u64) {
        let place = place % PLACES;
        (place as usize / 64, 1 << (place % 64))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == [0; WORDS]
    }

    pub(crate) fn contains(self, place: u32) -> bool {
        let (word, bit) = Places::bit(place);
        self.0[word] & bit != 0
    }

    pub(crate) fn insert(&mut self, place: u32) {
        let (word, bit) = Places::bit(place);
        self.0[word] |= bit;
    }

    pub(crate) fn remove(&mut self, place: u32) {
        let (word, bit) = Places::bit(place);
        self.0[word] &= !bit;
    }

    /// By number.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> {
        (0..PLACES).filter(move |place| self.contains(*place))
    }

    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl Not for Places {
    type Output = Self;

    fn not(self) -> Self {
        Places(self.0.map(|word| !word))
    }
}

impl BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Places(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_until_it_is_removed() {
        for place in [0, 63, 64, PLACES - 1] {
            let mut places = Places::default();
            places.insert(place);
            assert!(places.contains(place) && !places.contains(place ^ 1) && !places.is_empty());
            assert_eq!((places.iter().collect::<Vec<_>>(), places.count()), (vec![place], 1));
            assert_eq!((!places).count(), PLACES - 1);
            assert_eq!((places | Places([1; WORDS])).count(), WORDS as u32 + u32::from(place % 64 != 0));
            places.remove(place);
            assert!(places.is_empty());
        }
    }
}
