//! Sets of seats, and how to draw one of them evenly: no loops, so the verifier follows one way only.

use crate::abi::SeatSet;

/// How many bits are set (Warren, Hacker's Delight, 2nd ed., 5-1). The instruction set of BPF has no word for it.
#[must_use]
#[inline(always)]
pub const fn count(bits: u64) -> u32 {
    let pairs = bits - ((bits >> 1) & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    let eights = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (eights.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

/// All ones if `a` is at least `b`, else 0; both below 2^31. By the sign of a difference: a comparison would become a
/// branch, and the verifier follows both ways of each.
#[inline(always)]
const fn at_least(a: u32, b: u32) -> u32 {
    !((a.wrapping_sub(b) as i32 >> 31) as u32)
}

/// The place of the set bit that has `before` set bits below it; `before` is less than [`count`] of the bits. By
/// halves: is it in the lower one, or how many does that hold?
#[must_use]
#[inline(always)]
pub const fn nth(bits: u64, before: u32) -> u32 {
    let (mut bits, mut before, mut place) = (bits, before, 0);
    let mut width = 32;
    while width > 0 {
        let low = count(bits & ((1 << width) - 1));
        let upper = at_least(before, low);
        before -= low & upper;
        place += width & upper;
        bits >>= width & upper;
        width /= 2;
    }
    place
}

/// One seat of the set, each as likely as any other if `turn` is random; nothing of an empty set.
#[must_use]
#[inline(always)]
pub fn draw(set: &SeatSet, turn: u32) -> Option<u32> {
    let [one, two, three, four] = set.map(count);
    // Seats in the words up to each.
    let (two, three, four) = (one + two, one + two + three, one + two + three + four);
    if four == 0 {
        return None;
    }
    let place = turn % four;
    let past = [one, two, three].map(|seats| at_least(place, seats));
    let word = 3_u32.wrapping_add(!past[0]).wrapping_add(!past[1]).wrapping_add(!past[2]);
    let first = (one & past[0]) + ((two - one) & past[1]) + ((three - two) & past[2]);
    let wide = past.map(|past| past as i32 as i64 as u64);
    let bits = (set[0] & !wide[0]) | (set[1] & wide[0] & !wide[1]) | (set[2] & wide[1] & !wide[2]) | (set[3] & wide[2]);
    Some(word * 64 + nth(bits, place - first))
}

/// The set of these seats.
#[must_use]
pub fn of(seats: impl Iterator<Item = u32>) -> SeatSet {
    let mut set = [0; 4];
    for seat in seats {
        set[(seat / 64) as usize % 4] |= bit(seat);
    }
    set
}

/// Whether a seat is in the set.
#[must_use]
#[inline(always)]
pub const fn contains(set: &SeatSet, seat: u32) -> bool {
    set[(seat / 64) as usize % 4] & bit(seat) != 0
}

/// The seat's bit within its word.
#[must_use]
#[inline(always)]
pub const fn bit(seat: u32) -> u64 {
    1 << (seat % 64)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_counted_and_found(bits: u64) {
            prop_assert_eq!(count(bits), bits.count_ones());
            for (before, place) in (0..64).filter(|place| bits >> place & 1 == 1).enumerate() {
                prop_assert_eq!(nth(bits, before as u32), place);
            }
        }

        #[test]
        fn every_seat_of_a_set_is_drawn_in_its_turn(set: [u64; 4]) {
            let all: u32 = set.iter().map(|bits| bits.count_ones()).sum();
            let drawn: std::collections::BTreeSet<u32> = (0..all).filter_map(|turn| draw(&set, turn)).collect();
            prop_assert_eq!(drawn.len() as u32, all);
            prop_assert!(drawn.iter().all(|seat| contains(&set, *seat)));
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(draw(&[0; 4], 7), None);
    }
}
