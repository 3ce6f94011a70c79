use proptest::prelude::*;

use super::*;

#[test]
fn a_flow_lives_for_its_windows() {
    let entry = fresh(9, 4, u32::from(u16::MAX));
    for (later, lives) in [(0, true), (1, true), (4, true), (5, false), (1000, false)] {
        let window = u32::from(u16::MAX).wrapping_add(later);
        assert_eq!(find(&[entry; WAYS], 9, window).is_some(), lives, "{later} windows later");
    }
    assert!(is_alive(fresh(9, 4, 8), 7), "another CPU was a window ahead");
    assert!(!is_alive(0, 0), "an empty place");
}

#[test]
fn what_is_written_is_read() {
    let entry = fresh(u32::MAX, 255, 3);
    assert_eq!((seat(entry), is_established(entry)), (255, false));
    let entry = moved(entry, 17, 4);
    assert_eq!((seat(entry), is_established(entry), find(&[entry; WAYS], u32::MAX, 8).is_some()), (17, true, true));
}

#[test]
fn a_flood_replaces_newcomers_only() {
    let mut set: Set = [0; WAYS];
    for (way, entry) in set.iter_mut().enumerate() {
        // Three that go on, the rest has come once.
        *entry = fresh(way as u32, 1, 10);
        if way < 3 {
            *entry = seen(*entry, 10);
        }
    }
    for forged in 0..100_000 {
        set[place_for(&set, 12)] = fresh(1_000 + forged, 2, 12);
    }
    assert!((0..3).all(|hash| find(&set, hash, 12).is_some()));
}

#[test]
fn a_flood_of_pairs_replaces_no_lasting_flow() {
    let mut set: Set = core::array::from_fn(|way| seen(fresh(way as u32, 1, 10), 10));
    set[6] = seen(set[6], 11);
    for forged in 0..100_000 {
        let way = place_for(&set, 11);
        set[way] = seen(fresh(1_000 + forged, 2, 11), 11);
    }
    assert!(find(&set, 6, 11).is_some() && (0..8).filter(|hash| find(&set, *hash, 11).is_some()).count() == 1);
}

#[test]
fn an_id_stays_as_long_as_its_flow() {
    let flow = seen(of_quic(fresh(9, 4, 3), false), 7);
    assert!(is_quic(flow) && wants_id(flow) && !wants_id(of_quic(flow, true)) && !wants_id(seen(fresh(9, 4, 3), 7)));
    let entry = id(0xfeed, of_quic(flow, true));
    assert!(is_id(entry) && !is_quic(entry) && !is_id(flow) && is_established(entry));
    assert_eq!(find(&[entry; WAYS], 0xfeed, 11).map(|found| seat(found.entry)), Some(4));
    assert!(is_alive(flow, 11) && !is_alive(flow, 12) && !is_alive(entry, 12));
}

#[test]
fn the_dead_go_first_and_then_the_longest_unused() {
    let old = |hash, window| seen(fresh(hash, 0, 0), window);
    let mut set: Set = core::array::from_fn(|way| old(way as u32, 100 + way as u32 % 3));
    set[5] = fresh(5, 0, 102);
    assert_eq!(place_for(&set, 102), 5, "the newcomer, young as it is");
    set[6] = old(6, 50);
    assert_eq!(place_for(&set, 102), 6);
    let mut full: Set = core::array::from_fn(|way| old(way as u32, 102));
    full[4] = old(4, 99);
    assert_eq!(place_for(&full, 102), 4);
}

/// The order of [`place_for`] in plain words, which the verifier would follow for too long.
fn first_to_go(set: &Set, window: u32) -> usize {
    let rank = |entry: u64| match (is_alive(entry, window), is_established(entry), entry & LASTING != 0) {
        (false, ..) => (3, 0),
        (true, false, _) => (2, age(entry, window)),
        (true, true, false) => (1, age(entry, window)),
        (true, true, true) => (0, age(entry, window)),
    };
    (0..WAYS).rev().max_by_key(|way| rank(set[*way])).unwrap()
}

proptest! {
    #[test]
    fn who_goes_first_is_told_without_branches(
        set in [(); WAYS].map(|()| (any::<u32>(), 0u32..12, 0u8..4, any::<bool>())),
        window in any::<u32>(),
    ) {
        let set = set.map(|(hash, ago, times, is_there)| {
            let entry = fresh(hash, 7, window.wrapping_sub(ago).wrapping_add(1));
            let again = (0..times).fold(entry, |entry, _| seen(entry, window.wrapping_sub(ago)));
            if is_there { again } else { 0 }
        });
        prop_assert_eq!(place_for(&set, window), first_to_go(&set, window));
    }
}

#[test]
fn two_different_places_are_drawn_evenly() {
    for count in 2..9u32 {
        let mut drawn = [0u32; 9];
        for turn in 0..10_000u32 {
            let (first, second) = draw(count, turn.wrapping_mul(0x9e37_79b1));
            assert!(first != second && first < count && second < count);
            drawn[first as usize] += 1;
            drawn[second as usize] += 1;
        }
        let share = 20_000 / count;
        assert!(drawn[..count as usize].iter().all(|n| n.abs_diff(share) < share / 5), "{drawn:?}");
    }
    assert_eq!((draw(1, 77), draw(0, 77)), ((0, 0), (0, 0)));
}

#[test]
fn who_is_late_comes_last() {
    let load = |flows, owed_since, talks| FlowSeat { flows, owed_since, talks, ..FlowSeat::default() };
    let now = 1_000_000_000;
    let late = weight(&load(0, now - LATE_NS - 1, 1), now);
    assert!(late > weight(&load(100_000, now - LATE_NS, 1), now), "in time");
    assert!(late < weight(&load(0, now - 2 * LATE_NS, 1), now), "later still");
    assert_eq!(weight(&load(7, 1, 0), now), 7, "one that never answers owes nothing");
    let (always, never) = (1 << 15, 0);
    assert_eq!([better((1, 0), (2, late), always), better((1, late), (2, 9), never)], [1, 2]);
    assert_eq!([better((1, late), (2, late + 1), always), better((1, late + 1), (2, late), never)], [1, 2]);
}

#[test]
fn who_has_fewest_does_not_get_all() {
    assert_eq!(better((1, 108), (2, 80), u32::MAX), 1, "about as busy");
    let to_second = |(first, second)| (0..1_000u32).filter(|n| better((1, first), (2, second), n << 14) == 2).count();
    assert_eq!([(1_000, 0), (0, 1_000)].map(to_second), [500, 0]);
}
