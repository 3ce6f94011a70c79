//! The line: where a connection waits when no worker is free. Its places are listeners of llb's own, in the group of the
//! workers' and with one connection each. When a worker is free llb ends the listener of who came first, the kernel asks the
//! selector for another, and the selector gives the connection to that worker.
//!
//! What the selector decides on the way in is here, and what both sides have to know.
//!
//! ```
//! use llb_common::{line::{free_bit, is_free, is_place, number, place, place_of}, select::Load};
//!
//! // Workers serve one request each. The only one has one, so who comes now waits in the first free place of group 2.
//! let busy = Load { requests: 1, ..Load::default() };
//! assert!(!is_free(busy.held(), 1) && is_free(busy.held(), 2));
//! let free = 0b1100;
//! let waits_at = number(2, place(1, free_bit(free)));
//! assert!(is_place(waits_at) && !is_place(7));
//! assert_eq!(place_of(waits_at), Some((2, 66)));
//! ```

use crate::{
    abi::{MAX_GROUPS, MAX_SEATS},
    set,
};

/// Places of one group. When all are taken the choice is made as without a line.
pub const PLACES: u32 = 256;

/// The place of a group's line that the selector never claims, and the number of those that it does. It is a listener in which
/// connections wait while no worker listens.
pub const STANDBY: u32 = PLACES - 1;

/// The words that have a bit for each place: one instruction claims it.
pub const WORDS: usize = PLACES as usize / 64;

/// Where [`crate::abi::Conn::seat`] and [`crate::abi::Listener::seat`] begin to mean places.
pub const FIRST_PLACE: u32 = MAX_SEATS as u32;

/// One more than the last of them.
const END_OF_PLACES: u32 = FIRST_PLACE + MAX_GROUPS as u32 * PLACES;

/// No place is handed out on a publication older than this, ns: one comes every 10 ms, so after five that are missing llb
/// hangs, and nobody would hand its clients over.
pub const STALE_AFTER_NS: u64 = 50_000_000;

/// How often a newcomer tries for a free place while others take those that it has seen.
pub const TRIES: u32 = 3;

/// The number of a group's place, as connections and listeners carry it.
#[must_use]
#[inline(always)]
pub const fn number(group: u32, place: u32) -> u32 {
    FIRST_PLACE + group * PLACES + place
}

/// The group and the place of a number; nothing of a seat's.
#[must_use]
#[inline(always)]
pub const fn place_of(number: u32) -> Option<(u32, u32)> {
    if is_place(number) { Some(((number - FIRST_PLACE) / PLACES, (number - FIRST_PLACE) % PLACES)) } else { None }
}

/// Whether a number is a place's.
#[must_use]
#[inline(always)]
pub const fn is_place(number: u32) -> bool {
    number >= FIRST_PLACE && number < END_OF_PLACES
}

/// Whether a worker that serves so many requests at once takes one more while it holds these.
#[must_use]
#[inline(always)]
pub const fn is_free(held: u64, concurrency: u32) -> bool {
    held < concurrency as u64
}

/// A free place's bit in one of the words; none if all are taken.
#[must_use]
#[inline(always)]
pub const fn free_bit(free: u64) -> u64 {
    free & free.wrapping_neg()
}

/// The place of a bit in a word.
#[must_use]
#[inline(always)]
pub const fn place(word: usize, bit: u64) -> u32 {
    word as u32 * 64 + set::count(bit.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_numbers_of_their_own() {
        for (group, place) in [(0, 0), (0, PLACES - 1), (1, 0), (MAX_GROUPS as u32 - 1, PLACES - 1)] {
            assert_eq!(place_of(number(group, place)), Some((group, place)));
        }
        for number in [0, MAX_SEATS as u32 - 1, END_OF_PLACES, crate::abi::NO_SEAT] {
            assert_eq!(place_of(number), None);
        }
    }

    #[test]
    fn every_free_place_is_found() {
        let mut free = [u64::MAX; WORDS];
        for expected in 0..PLACES {
            let word = expected as usize / 64;
            let bit = free_bit(free[word]);
            assert_eq!(place(word, bit), expected);
            free[word] &= !bit;
        }
        assert!(free.iter().all(|word| free_bit(*word) == 0));
    }

    #[test]
    fn who_serves_two_at_once_is_free_with_one() {
        assert!(is_free(0, 1) && !is_free(1, 1));
        assert!(is_free(1, 2) && !is_free(2, 2));
    }
}
