use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Instant {
    Instant(ms * MS)
}

fn heard() -> Pinger {
    let mut pinger = Pinger::default();
    pinger.spoke(at(0));
    pinger
}

#[test]
fn a_worker_that_never_spoke_is_never_asked() {
    let mut pinger = Pinger::default();
    assert_eq!(pinger.due(at(1_000_000), Duration::ZERO), None);
    assert_eq!(pinger.pong(at(1_000_001), 0), None);
    assert_eq!((pinger.due(at(2_000_000), Duration::ZERO), pinger.stray()), (None, 1));
}

#[test]
fn the_next_ping_is_due_100_ms_after_the_pong() {
    let mut pinger = heard();
    assert_eq!(pinger.due(at(0), Duration::ZERO), Some(0));
    assert_eq!(pinger.due(at(50), Duration::ZERO), None);
    assert_eq!(pinger.pong(at(60), 0), Some(60 * MS));
    assert_eq!(pinger.due(at(159), Duration::ZERO), None);
    assert_eq!(pinger.due(at(160), Duration::ZERO), Some(1));
}

#[test]
fn a_ping_may_be_said_ahead_with_others() {
    let mut pinger = heard();
    pinger.due(at(0), TOGETHER);
    pinger.pong(at(1), 0);
    assert_eq!((pinger.due(at(50), TOGETHER), pinger.due_at()), (None, Some(at(101))));
    assert_eq!(pinger.due(at(51), TOGETHER), Some(1));
    assert_eq!(pinger.due(at(2_050), TOGETHER), None, "what is out is no sooner said again");
    assert_eq!(pinger.due_at(), Some(at(2_051)));
}

#[test]
fn a_worker_that_never_answers_is_asked_three_times_and_left_alone() {
    let mut pinger = heard();
    let asked: Vec<u64> = (0..60_000).filter(|ms| pinger.due(at(*ms), Duration::ZERO).is_some()).collect();
    assert_eq!(asked, [0, 2_000, 4_000]);
    assert_eq!(pinger.outstanding(), None);
}

#[test]
fn a_worker_that_has_answered_owes_a_pong_however_long_it_takes() {
    let mut pinger = heard();
    pinger.due(at(0), Duration::ZERO);
    assert_eq!(pinger.outstanding(), None);
    pinger.pong(at(1), 0);
    assert_eq!((pinger.outstanding(), pinger.due(at(101), Duration::ZERO)), (None, Some(1)));
    let asked: Vec<u64> = (101..10_000).filter(|ms| pinger.due(at(*ms), Duration::ZERO) == Some(1)).collect();
    assert_eq!(asked, [2_101, 4_101, 6_101, 8_101]);
    assert_eq!(pinger.outstanding(), Some(at(101)));
    assert_eq!(pinger.pong(at(10_000), 1), Some(9_899 * MS));
    assert_eq!(pinger.outstanding(), None);
}

#[test]
fn a_worker_that_speaks_is_not_silent() {
    let mut pinger = heard();
    pinger.due(at(0), Duration::ZERO);
    pinger.pong(at(1), 0);
    pinger.due(at(101), Duration::ZERO);
    pinger.spoke(at(500));
    assert_eq!(pinger.outstanding(), Some(at(500)));
}

#[test]
fn stray_pongs_are_counted_and_change_nothing() {
    let mut pinger = heard();
    pinger.due(at(0), Duration::ZERO);
    assert_eq!(pinger.pong(at(1), 9), None);
    assert_eq!(pinger.pong(at(2), 0), Some(2 * MS));
    assert_eq!(pinger.pong(at(3), 0), None);
    assert_eq!(pinger.stray(), 2);
}

proptest! {
    #[test]
    fn at_most_one_ping_is_out_and_pings_keep_their_distance(
        steps in prop::collection::vec((0u64..3_000, 0u8..4), 0..200),
    ) {
        let mut pinger = Pinger::default();
        let (mut now, mut out, mut ponged) = (0, None, None);
        for (gap, event) in steps {
            now += gap;
            match (event, out) {
                (0, _) => pinger.spoke(at(now)),
                (1, Some(id)) => {
                    if pinger.pong(at(now), id).is_some() {
                        (out, ponged) = (None, Some(now));
                    }
                }
                _ => {
                    if let Some(id) = pinger.due(at(now), Duration::ZERO) {
                        prop_assert!(out.is_none_or(|unanswered| unanswered == id));
                        prop_assert!(ponged.is_none_or(|ponged| now >= ponged + 100));
                        out = Some(id);
                    }
                }
            }
            prop_assert!(pinger.outstanding().is_none_or(|since| out.is_some() && since <= at(now)));
        }
    }
}
