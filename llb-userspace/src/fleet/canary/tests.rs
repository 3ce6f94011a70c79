use llb_common::histogram::bucket;

use super::*;

fn failing(failed: u64, of: u64) -> Tally {
    Tally { answered: of, errors: failed, ..Tally::default() }
}

/// So many answers of each of these times, ms.
fn times(times: &[(u64, u64)]) -> Tally {
    let mut tally = Tally::default();
    for (ms, count) in times {
        tally.latencies[bucket(ms * 1_000_000) as usize] += count;
        tally.answered += count;
    }
    tally
}

#[test]
fn clearly_more_failures_are_seen() {
    assert!(fails_more(&failing(30, 100), &failing(0, 1_000)).is_some());
    assert!(fails_more(&failing(60, 300), &failing(50, 1_000)).is_some(), "20% instead of 5%");
    let closed = Tally { answered: 50, failed: 20, ..Tally::default() };
    let said = fails_more(&closed, &failing(0, 300)).unwrap();
    assert!(said.contains("20 of 70 requests failed") && said.contains("0 of 300"), "{said}");
}

#[test]
fn what_chance_does_is_no_verdict() {
    for (new, old) in [
        (failing(0, 100), failing(0, 1_000)),
        (failing(2, 40), failing(0, 1_000)),
        (failing(10, 100), failing(80, 1_000)),
        (failing(9, 9), failing(0, 1_000)),
        (failing(20, 100), failing(0, 20)),
        (failing(100, 100), failing(1_000, 1_000)),
        // Beyond doubt, and of no weight.
        (failing(500, 100_000), failing(0, 1_000_000)),
        (failing(0, 1_000), failing(300, 1_000)),
    ] {
        assert_eq!(fails_more(&new, &old), None, "{new} {old}");
    }
}

#[test]
fn clearly_slower_answers_are_seen() {
    let old = times(&[(5, 900), (100, 100)]);
    let said = is_slower(&times(&[(10, 90), (100, 10)]), &old).unwrap();
    assert!(said.contains("at p50"), "{said}");
    let said = is_slower(&times(&[(5, 200), (100, 100)]), &old).unwrap();
    assert!(said.contains("at p90"), "one of three is slow, of the elders' one of ten: {said}");
}

#[test]
fn as_slow_as_the_old_is_no_verdict() {
    let old = times(&[(5, 900), (100, 100)]);
    for new in [
        old.clone(),
        times(&[(5, 85), (100, 15)]),
        times(&[(6, 100)]),
        times(&[(50, 9)]),
        times(&[(1, 1_000)]),
        Tally::default(),
    ] {
        assert_eq!(is_slower(&new, &old), None, "{new}");
    }
    assert_eq!(is_slower(&times(&[(50, 100)]), &times(&[(5, 10)])), None, "too few to compare with");
}

#[test]
fn silence_is_a_verdict_of_its_own() {
    let given = |given| Tally { given, ..Tally::default() };
    assert!(is_silent(&given(5), &failing(0, 100)).is_some());
    for (new, old) in [
        (given(4), failing(0, 100)),
        (given(50), failing(0, 20)),
        (Tally { answered: 1, ..given(50) }, failing(0, 100)),
    ] {
        assert_eq!(is_silent(&new, &old), None);
    }
}

#[test]
fn few_answers_are_enough_if_all_are_slow() {
    let old = times(&[(5, 900), (100, 100)]);
    assert!(is_slower(&times(&[(300, 10)]), &old).is_some());
    assert_eq!(is_slower(&times(&[(300, 9)]), &old), None);
    assert_eq!(is_slower(&times(&[(5, 5), (300, 5)]), &old), None, "chance does that one time in 600");
}

#[test]
fn what_was_before_does_not_count() {
    let mut all = failing(3, 10);
    all.add(&times(&[(5, 4)]));
    assert_eq!(all.since(&failing(3, 10)), times(&[(5, 4)]));
    assert_eq!(failing(1, 1).since(&all), Tally::default());
}
