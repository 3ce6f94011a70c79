use llb_common::{abi::Seat as SeatBooks, track::CONCURRENT};

use super::{ANSWERS, Auto, Doubt, LOOKS, Sight};
use crate::model::{Instant, Seat};

const MS: u64 = 1_000_000;

/// Workers that have answered a hundred requests of 4 ms, each on a connection of its own.
fn books() -> Vec<(Seat, SeatBooks)> {
    let seat = SeatBooks {
        begun: 100,
        opened: 100,
        service_ns: 4 * MS,
        queued_ns: 4 * MS as u32,
        answered: 100,
        ..SeatBooks::default()
    };
    vec![(Seat(0), seat), (Seat(1), seat)]
}

/// After so many looks that find nobody waiting for more.
fn after_looks(count: u32) -> Auto {
    let mut auto = Auto::new(Instant(0));
    (0..count).for_each(|_| auto.saw(Sight::Works));
    auto
}

#[test]
fn enough_looks_that_agree_open_the_line() {
    assert_eq!(after_looks(LOOKS - 1).judge(&books()), 0);
    assert_eq!(after_looks(LOOKS).judge(&books()), 1);
}

#[test]
fn those_that_wait_for_more_close_it() {
    let mut auto = after_looks(LOOKS);
    assert!(auto.judge(&books()) > 0);
    auto.saw(Sight::Waits);
    assert!(auto.judge(&books()) > 0, "it may have been between two requests");
    auto.saw(Sight::Waits);
    assert_eq!(auto.judge(&books()), 0);
    assert_eq!(auto.doubt(), Some(Doubt::Waits));
    // And it takes more to open it again.
    (0..LOOKS).for_each(|_| auto.saw(Sight::Works));
    assert_eq!(auto.judge(&books()), 0);
    (0..LOOKS).for_each(|_| auto.saw(Sight::Works));
    assert!(auto.judge(&books()) > 0);
}

#[test]
fn what_cannot_be_seen_opens_nothing() {
    let mut auto = after_looks(LOOKS);
    assert!(auto.judge(&books()) > 0);
    auto.saw(Sight::Hidden);
    assert_eq!(auto.judge(&books()), 0);
    assert_eq!(auto.doubt(), Some(Doubt::Hidden));
}

#[test]
fn answers_that_disagree_are_believed() {
    type Change = fn(&mut SeatBooks);
    let cases: [(Change, Doubt); 3] = [
        (|seat| seat.overtaking = CONCURRENT, Doubt::Overtakes),
        (|seat| seat.queued_ns = 2 * MS as u32, Doubt::Beside { queued_ns: 2 * MS, alone_ns: 4 * MS }),
        (|seat| (seat.service_ns, seat.queued_ns) = (MS / 2, MS as u32 / 2), Doubt::Short { alone_ns: MS / 2 }),
    ];
    for (change, doubt) in cases {
        let mut books = books();
        books.iter_mut().for_each(|(_, seat)| change(seat));
        let mut auto = after_looks(LOOKS);
        assert_eq!(auto.judge(&books), 0);
        assert_eq!(auto.doubt(), Some(doubt));
    }
}

#[test]
fn one_alone_needs_no_line() {
    let mut auto = after_looks(LOOKS);
    assert_eq!(auto.judge(&books()[..1]), 0);
    assert_eq!(auto.doubt(), Some(Doubt::Alone));
}

#[test]
fn workers_of_few_answers_are_not_judged() {
    let mut books = books();
    books.iter_mut().for_each(|(_, seat)| seat.answered = ANSWERS - 1);
    assert_eq!(after_looks(LOOKS).judge(&books), 0);
}

#[test]
fn requests_of_kept_connections_close_it() {
    let (mut auto, mut books) = (after_looks(LOOKS), books());
    assert!(auto.judge(&books) > 0);
    for (_, seat) in &mut books {
        (seat.answered, seat.opened) = (seat.answered + 100, seat.opened + 10);
    }
    assert_eq!(auto.judge(&books), 0);
    assert_eq!(auto.doubt(), Some(Doubt::Kept { percent: 90 }));
    // What is long ago weighs less and less.
    for _ in 0..20 {
        for (_, seat) in &mut books {
            (seat.answered, seat.opened) = (seat.answered + 512, seat.opened + 512);
        }
        auto.judge(&books);
    }
    assert_eq!(auto.doubt(), None);
}

#[test]
fn each_that_is_busy_is_looked_at_in_turn() {
    let mut auto = Auto::new(Instant(0));
    let mut at = |ms: u64, busy: &[Seat]| {
        let now = Instant(ms * MS);
        if auto.is_due(now) { auto.next_to_see(busy, now) } else { None }
    };
    assert_eq!(at(0, &[]), None);
    assert_eq!(at(0, &[Seat(1), Seat(4)]), Some(Seat(1)));
    assert_eq!(at(1, &[Seat(1), Seat(4)]), None, "it has just been looked");
    assert_eq!(at(10, &[Seat(1), Seat(4)]), Some(Seat(4)));
    assert_eq!(at(20, &[Seat(1), Seat(4)]), Some(Seat(1)));
    assert_eq!(at(30, &[Seat(1)]), Some(Seat(1)));
}

/// With books that say 4 ms for a request.
fn after_hand_overs(auto: &mut Auto, gap_ns: u64) -> u32 {
    (0..1_000).for_each(|_| auto.handed_over(gap_ns));
    auto.judge(&books())
}

#[test]
fn slow_hand_overs_have_each_hold_one_more() {
    let mut auto = after_looks(LOOKS);
    assert_eq!(after_hand_overs(&mut auto, MS / 5), 1);
    assert_eq!(after_hand_overs(&mut auto, MS / 2), 2);
    assert_eq!(after_hand_overs(&mut auto, MS / 3), 2, "it has to be clearly shorter");
    assert_eq!(after_hand_overs(&mut auto, MS / 10), 1);
}

#[test]
fn slower_ones_close_the_line_for_long() {
    let mut auto = after_looks(LOOKS);
    assert_eq!(auto.judge(&books()), 1);
    (0..31).for_each(|_| auto.handed_over(30 * MS));
    assert_eq!(auto.judge(&books()), 1, "some turns of the loop may be late");
    assert_eq!(after_hand_overs(&mut auto, 3 * MS), 0);
    assert!(matches!(auto.doubt(), Some(Doubt::Gap { alone_ns: 4_000_000, .. })));
    (0..LOOKS).for_each(|_| auto.saw(Sight::Works));
    assert_eq!(auto.judge(&books()), 0);
    (0..LOOKS).for_each(|_| auto.saw(Sight::Works));
    assert_eq!(auto.judge(&books()), 1, "and it is tried again");
}

#[test]
fn a_turn_that_was_very_late_changes_nothing() {
    let mut auto = after_looks(LOOKS);
    assert_eq!(after_hand_overs(&mut auto, MS / 10), 1);
    auto.handed_over(1_000 * MS);
    assert_eq!(auto.judge(&books()), 1);
}

#[test]
fn a_line_that_stays_open_is_soon_opened_again() {
    let mut auto = after_looks(LOOKS);
    let mut close_and_count_looks = |open_for: u32| {
        auto.judge(&books());
        (0..open_for).for_each(|_| auto.saw(Sight::Works));
        assert_eq!(auto.judge(&books()), 1);
        assert_eq!(after_hand_overs(&mut auto, 3 * MS), 0);
        (1..).find(|_| {
            auto.saw(Sight::Works);
            auto.judge(&books()) > 0
        })
    };
    assert_eq!([0; 3].map(&mut close_and_count_looks), [64, 128, 256].map(Some));
    // 256 make it 128, and as many again 64: it closes once more.
    assert_eq!(close_and_count_looks(256 + 128), Some(128));
    assert_eq!(close_and_count_looks(10_000), Some(64), "never fewer than at first");
}

#[test]
fn looks_that_say_nothing_become_rare() {
    let mut auto = Auto::new(Instant(0));
    let mut pause = |now: u64| {
        let _ = auto.next_to_see(&[Seat(0)], Instant(now));
        (1..).find(|ms| auto.is_due(Instant(now + ms * MS)))
    };
    assert!((0..u64::from(LOOKS)).all(|_| pause(0) == Some(10)));
    assert_eq!(pause(0), Some(100));
}
