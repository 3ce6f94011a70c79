use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

/// The books of a seat with so much in flight and answered, that made progress at `progress_at` ms.
fn books(in_flight: u64, answered: u64, progress_at: u64) -> SeatBooks {
    SeatBooks {
        begun: in_flight + answered,
        ended: answered,
        answered,
        progress_at: progress_at * MS,
        ..SeatBooks::default()
    }
}

fn at(ms: u64) -> Instant {
    Instant(ms * MS)
}

/// A seat with two requests that was silent from 0 on, and whose queue has been seen twice.
fn slow() -> SeatWatch {
    let books = books(2, 7, 0);
    let mut watch = SeatWatch::new(&books, at(20));
    assert_eq!(watch.step(&books, at(20)), Step::Look);
    assert_eq!(watch.looked(1, &books, at(20)), Step::Wait);
    assert_eq!(watch.step(&books, at(24)), Step::Wait, "it is not yet time for the second look");
    assert_eq!(watch.step(&books, at(29)), Step::Look);
    assert_eq!(watch.looked(1, &books, at(29)), Step::Rescue);
    assert_eq!(watch.health(), SeatHealth::Slow);
    watch
}

#[test]
fn nobody_is_watched_who_is_idle_or_made_progress_just_now() {
    assert!(!is_silent(&books(0, 7, 0), 5 * MS, at(10_000)), "nothing in flight");
    assert!(!is_silent(&books(3, 7, 90), 5 * MS, at(109)), "19 ms of silence, at 5 ms a request");
    assert!(is_silent(&books(3, 7, 90), 5 * MS, at(110)));
    assert!(!is_silent(&books(3, 7, 90), 100 * MS, at(400)), "310 ms, at 100 ms a request");
    assert!(is_silent(&books(3, 7, 90), 60_000 * MS, at(1_090)), "a second is enough, whatever requests cost");
}

#[test]
fn a_long_request_that_nobody_waits_behind_is_left_alone() {
    let books = books(1, 7, 0);
    let mut watch = SeatWatch::new(&books, at(20));
    for ms in 20..600_000 {
        match watch.step(&books, at(ms)) {
            Step::Look => assert_eq!(watch.looked(0, &books, at(ms)), Step::Wait),
            step => assert_eq!(step, Step::Wait),
        }
    }
    assert_eq!(watch.health(), SeatHealth::Healthy);
}

#[test]
fn what_waits_now_and_then_is_no_queue() {
    let books = books(9, 7, 0);
    let mut watch = SeatWatch::new(&books, at(20));
    for ms in (20..60_000).step_by(100) {
        assert_eq!(watch.looked(3, &books, at(ms)), Step::Wait);
        assert_eq!(watch.looked(0, &books, at(ms + 50)), Step::Wait);
    }
}

#[test]
fn whoever_answers_is_well() {
    let mut watch = slow();
    watch.left(at(29));
    assert_eq!(watch.step(&books(1, 8, 40), at(40)), Step::Recover);
}

#[test]
fn a_queue_is_moved_when_the_handshakes_are_over_or_take_too_long() {
    let mut watch = slow();
    watch.left(at(29));
    assert!(!watch.expects(false, at(29)), "none is under way");
    let books = books(2, 7, 0);
    for ms in (29..229).step_by(5) {
        assert!(watch.expects(true, at(ms)), "{ms}");
        assert_eq!(watch.step(&books, at(ms + 4)), Step::Wait);
        assert_eq!(watch.step(&books, at(ms + 5)), Step::Look);
        assert_eq!(watch.looked(1, &books, at(ms + 5)), Step::Rescue, "it is out already");
    }
    assert!(!watch.expects(true, at(229)), "who waits there has waited long enough");
    assert!(!watch.expects(false, at(234)));
    assert!(watch.expects(true, at(239)), "others, in the next rescue");
}

#[test]
fn connections_that_move_away_or_give_up_are_no_progress() {
    let mut watch = slow();
    watch.left(at(29));
    // Ended without an answer.
    let moved = SeatBooks { ended: 8, ..books(2, 7, 40) };
    assert_eq!(watch.step(&moved, at(41)), Step::Wait);
    assert!(watch.is_out());
}

#[test]
fn a_slow_one_hangs_after_a_second_and_that_is_told_once() {
    let mut watch = slow();
    watch.left(at(29));
    let books = books(1, 7, 0);
    assert_ne!(watch.step(&books, at(999)), Step::Tell);
    assert_eq!(watch.step(&books, at(1_000)), Step::Tell);
    assert_eq!(watch.health(), SeatHealth::Hung);
    assert_ne!(watch.step(&books, at(1_009)), Step::Tell);
    assert_eq!(watch.silent_ns(at(1_500)), 1_500 * MS);
}

#[test]
fn one_that_is_out_with_nothing_in_flight_is_tried_ever_later() {
    let mut watch = slow();
    let (idle, one) = (books(0, 7, 30), books(1, 7, 30));
    watch.left(at(1_000));
    assert_eq!(watch.looked(0, &one, at(2_000)), Step::Wait, "what is in flight may be answered");
    assert_eq!(watch.looked(0, &idle, at(1_999)), Step::Wait);
    assert_eq!(watch.looked(0, &idle, at(2_000)), Step::Try);
    assert!(!watch.is_out());
    // It still does not answer.
    assert_eq!(watch.looked(1, &one, at(2_100)), Step::Wait);
    assert_eq!(watch.looked(1, &one, at(2_109)), Step::Rescue);
    watch.left(at(2_109));
    assert_eq!(watch.looked(0, &idle, at(4_108)), Step::Wait);
    assert_eq!(watch.looked(0, &idle, at(4_109)), Step::Try);
}

#[test]
fn what_was_on_the_way_to_one_that_has_left_is_moved_at_once() {
    let mut watch = slow();
    watch.left(at(29));
    assert_eq!(watch.looked(1, &books(2, 7, 0), at(79)), Step::Rescue);
}

#[test]
fn whoever_does_not_stand_still_is_helped_again_soon_and_then_ever_later() {
    let (mut watch, books) = (slow(), books(2, 7, 0));
    let mut now = 29;
    let mut tries = Vec::new();
    while now < 5_000 {
        watch.left(at(now));
        watch.resists(at(now));
        let begun = now;
        while matches!(watch.step(&books, at(now)), Step::Wait | Step::Tell) {
            now += 1;
        }
        assert_eq!(watch.looked(1, &books, at(now)), Step::Rescue);
        tries.push(now - begun);
    }
    assert_eq!(tries[..8], [50, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
    watch.migrated(1);
    watch.resists(at(now));
    assert_eq!(watch.step(&books, at(now + 50)), Step::Look, "it has stood still meanwhile");
}

#[test]
fn whoever_was_given_what_waited_for_another_is_watched_until_he_takes_it() {
    let idle = books(0, 7, 0);
    let mut watch = SeatWatch::receiving(&idle, 5 * MS, at(100));
    assert!(!watch.is_suspected());
    assert_eq!(watch.step(&idle, at(119)), Step::Wait);
    assert_eq!(watch.step(&idle, at(120)), Step::Look);
    assert_eq!(watch.looked(4, &idle, at(120)), Step::Wait);
    let mut hangs = watch.clone();
    assert_eq!(hangs.looked(4, &idle, at(129)), Step::Rescue);
    assert!(hangs.is_suspected());
    // He has accepted them.
    assert_eq!(watch.looked(0, &idle, at(129)), Step::Wait);
    assert_eq!(watch.step(&idle, at(130)), Step::Recover);
}

/// What happens to a worker between two looks, 9 ms apart.
#[derive(Clone, Copy, Debug)]
struct Turn {
    answers: bool,
    waiting: u32,
    in_flight: u64,
    others_are_better: bool,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (prop::bool::weighted(0.2), 0..3u32, 0..3u64, any::<bool>()).prop_map(
        |(answers, waiting, in_flight, others_are_better)| Turn { answers, waiting, in_flight, others_are_better },
    );
    prop::collection::vec(turn, 0..400)
}

proptest! {
    /// A queue is only moved if somebody waits in it, twice in a row and without an answer between; whoever is told to
    /// hang has been silent for long; whoever is out comes in again by an answer, or by a trial with nothing in flight.
    #[test]
    fn steps_have_their_reasons(turns in turns()) {
        let (mut watch, mut answered, mut progress_at) = (None::<SeatWatch>, 7, 0);
        let (mut queued_looks, mut told) = (0, 0);
        for (turn, now) in turns.iter().zip((1..).map(|turn| 9 * turn)) {
            if turn.answers {
                (answered, progress_at) = (answered + 1, now);
            }
            let books = books(turn.in_flight, answered, progress_at);
            let Some(watched) = &mut watch else {
                if is_silent(&books, MS, at(now)) {
                    (watch, queued_looks, told) = (Some(SeatWatch::new(&books, at(now))), 0, 0);
                }
                continue;
            };
            let was_out = watched.is_out();
            let mut step = watched.step(&books, at(now));
            prop_assert!(!turn.answers || step == Step::Recover, "an answer ends it at once");
            if step == Step::Look {
                queued_looks = if turn.waiting > 0 { queued_looks + 1 } else { 0 };
                step = watched.looked(turn.waiting, &books, at(now));
            }
            match step {
                Step::Rescue => {
                    prop_assert!(turn.waiting > 0 && (was_out || queued_looks >= 2));
                    if turn.others_are_better {
                        watched.left(at(now));
                    }
                }
                Step::Tell => {
                    told += 1;
                    prop_assert!(told == 1 && watched.silent_ns(at(now)) >= 1_000 * MS);
                }
                Step::Try => prop_assert!(was_out && turn.in_flight == 0 && turn.waiting == 0),
                Step::Recover => {
                    prop_assert!(turn.answers || (turn.in_flight == 0 && !was_out));
                    watch = None;
                }
                Step::Wait => {}
                Step::Look => prop_assert!(false, "looked already"),
            }
        }
    }

    #[test]
    fn whoever_answers_often_enough_is_never_watched(costs in prop::collection::vec(1..19u64, 1..500)) {
        let mut progress_at = 0;
        for cost in costs {
            prop_assert!(!is_silent(&books(20, 7, progress_at), MS, at(progress_at + cost)));
            progress_at += cost;
        }
    }
}

#[test]
fn many_that_are_watched_are_searched_in_turn_and_one_alone_at_once() {
    let mut alone = SeatWatch::new(&books(1, 7, 0), at(20));
    assert!(alone.is_searched(1, at(20)) && alone.is_searched(1, at(70)));
    let mut all: Vec<SeatWatch> = (0..64).map(|_| SeatWatch::new(&books(1, 7, 0), at(20))).collect();
    let mut searched = [0; 64];
    for ms in 20..6_320 {
        for (watch, times) in all.iter_mut().zip(&mut searched) {
            *times += u32::from(watch.is_searched(64, at(ms)));
        }
    }
    // 630 ms from one to the next: a hundred a second in all.
    assert!(searched.iter().all(|times| *times == 9 || *times == 10), "{searched:?}");
}

#[test]
fn nobody_is_looked_for_where_nobody_has_come() {
    let before = books(1, 7, 0);
    let mut watch = SeatWatch::new(&before, at(20));
    assert!(watch.is_worth_a_look(&before, 64, at(20)));
    assert_eq!(watch.looked(0, &before, at(20)), Step::Wait);
    assert!(!watch.is_worth_a_look(&before, 64, at(70)));
    for (charged, opened) in [(1, 0), (0, 1)] {
        let come = SeatBooks { charged: before.charged + charged, opened: before.opened + opened, ..before };
        assert!(watch.is_worth_a_look(&come, 64, at(70)));
    }
    assert!(watch.is_worth_a_look(&before, 64, at(650)), "what its worker does is to be seen");
    watch.looked(2, &before, at(650));
    assert!(watch.is_worth_a_look(&before, 64, at(651)), "who waited waits still");
    watch.left(at(651));
    watch.looked(0, &before, at(660));
    assert!(watch.is_worth_a_look(&before, 64, at(661)), "it is tried in its time");
}
