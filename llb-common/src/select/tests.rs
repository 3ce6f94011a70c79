extern crate std;
use super::{load::left_ns, *};
use crate::abi::Seat;
use proptest::prelude::*;
use std::{collections::BTreeSet, vec::Vec};

const MS: u64 = 1_000_000;

struct Loads {
    loads: Vec<Load>,
    /// Whether the set of the idle seats is kept.
    hinted: bool,
    last: u32,
    fewest: SeatSet,
}

impl Loads {
    fn of(loads: impl Into<Vec<Load>>) -> Self {
        Loads { loads: loads.into(), hinted: true, last: NO_SEAT, fewest: [0; 4] }
    }
}

impl Fleet for Loads {
    fn member(&self, place: u32) -> u32 {
        place
    }
    fn load(&self, seat: u32) -> Load {
        self.loads[seat as usize]
    }
    fn has(&self, seat: u32) -> bool {
        (seat as usize) < self.loads.len()
    }
    fn idle(&self, near_only: bool) -> SeatSet {
        let seats = self.loads.iter().enumerate().map(|(seat, load)| (seat as u32, load));
        let near = near(seats.clone().map(|(seat, load)| (seat, load.cost_ns)));
        let wanted = |seat: u32| self.hinted && (!near_only || set::contains(&near, seat));
        set::of(seats.filter(|(seat, load)| load.requests == 0 && wanted(*seat)).map(|(seat, _)| seat))
    }
    fn fewest(&self) -> SeatSet {
        self.fewest
    }
    fn last(&self) -> u32 {
        self.last
    }
    fn claim(&self, _: u32) -> bool {
        true
    }
}

fn idle(cost_ns: u64) -> Load {
    Load { cost_ns, ..Load::default() }
}

fn busy(requests: u64, since: u64, cost_ns: u64) -> Load {
    Load { requests, since, cost_ns, ..Load::default() }
}

fn chosen(loads: Vec<Load>, least: u32, turn: u32, now: u64) -> u32 {
    let count = loads.len() as u32;
    match choose(Policy::LeastLatency, &Loads::of(loads), count, least, turn, now) {
        Choice::Seat { seat, .. } => seat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_seat_beats_a_busy_one() {
    for turn in 0..2 {
        let busy = busy(1, 10 * MS, 5 * MS);
        assert_eq!(chosen(Vec::from([busy, idle(5 * MS)]), NO_SEAT, turn, 11 * MS), 1);
    }
}

#[test]
fn a_busy_fast_seat_beats_an_idle_slow_one() {
    for turn in 0..2 {
        let fast = busy(2, 10 * MS, 5 * MS);
        assert_eq!(chosen(Vec::from([fast, idle(50 * MS)]), NO_SEAT, turn, 11 * MS), 0);
    }
}

#[test]
fn nobody_waits_at_a_seat_of_unknown_cost_while_another_is_idle() {
    let now = 10 * MS;
    for turn in 0..3 {
        assert_eq!(
            chosen(Vec::from([busy(1, now - MS, 0), idle(15 * MS), busy(1, now, 15 * MS)]), NO_SEAT, turn, now),
            1
        );
        assert_eq!(chosen(Vec::from([idle(0), idle(15 * MS), busy(1, now, 0)]), NO_SEAT, turn, now), 0, "it is tried");
        let polled = Load { parked: 3, ..idle(0) };
        assert_eq!(chosen(Vec::from([busy(1, now, 0), polled, busy(1, now, 15 * MS)]), NO_SEAT, turn, now), 1);
        // Of those that are not known the one that has fewer, and of these the one that is not silent.
        assert_eq!(chosen(Vec::from([busy(2, now, 0), busy(1, now - MS, 0)]), NO_SEAT, turn, now), 1);
        assert_eq!(chosen(Vec::from([busy(1, 0, 0), busy(1, 800 * MS, 0)]), NO_SEAT, turn, 800 * MS), 1);
    }
}

#[test]
fn a_seat_without_progress_grows_worse() {
    let hung = busy(1, 0, MS);
    let queue = busy(4, 299 * MS, MS);
    assert_eq!(chosen(Vec::from([hung, queue]), NO_SEAT, 0, 2 * MS), 0);
    assert_eq!(chosen(Vec::from([hung, queue]), NO_SEAT, 0, 300 * MS), 1);
}

#[test]
fn a_short_queue_beats_an_idle_seat_that_is_slow_to_wake() {
    let awake = |requests| Load { queued_ns: MS / 50, ..busy(requests, 10 * MS, MS) };
    for (requests, seat) in [(5, 0), (60, 1)] {
        let fleet = Loads { last: 0, ..Loads::of([awake(requests), idle(MS)]) };
        let choice = choose(Policy::LeastLatency, &fleet, 2, NO_SEAT, 0, 10 * MS);
        assert_eq!(choice, Choice::Seat { seat, first: false });
    }
}

#[test]
fn a_seat_that_serves_several_at_a_time_is_given_patience() {
    let several = Load { concurrent: true, ..busy(1, 0, MS) };
    assert_eq!(expected_ns(several, 30 * MS), 2 * MS);
    assert_eq!(expected_ns(several, 45 * MS), 46 * MS);
    assert_eq!(expected_ns(busy(1, 0, MS), 50 * MS), 51 * MS);
    let cheap = Load { cost_ns: MS / 10, ..several };
    assert_eq!(expected_ns(cheap, 7 * MS), 7 * MS + MS / 10);
}

#[test]
fn what_is_left_sinks_until_it_is_overdue() {
    let left = |silent| left_ns(8 * MS, silent * MS) / MS;
    assert_eq!([0, 4, 8, 10, 12, 16, 80].map(left), [8, 6, 4, 8, 12, 16, 80]);
}

#[test]
fn ties_rotate() {
    let loads = Vec::from([idle(MS), idle(MS + MS / 16), idle(MS)]);
    let seats: Vec<u32> = (0..3).map(|turn| chosen(loads.clone(), 0, turn, MS)).collect();
    assert_eq!(seats, [0, 1, 2]);
}

#[test]
fn the_published_seat_is_a_candidate_in_a_large_fleet() {
    let mut loads = Vec::from([idle(10 * MS); 200]);
    loads[150] = idle(MS);
    assert_eq!(chosen(loads, 150, 3, MS), 150);
}

#[test]
fn least_inflight_counts_and_nothing_else() {
    let load = |requests, cost_ms| busy(requests, 0, cost_ms * MS);
    let fleet = Loads::of([load(3, 1), load(2, 90), load(3, 1)]);
    for turn in 0..3 {
        let choice = choose(Policy::LeastInflight, &fleet, 3, 0, turn, 900 * MS);
        assert_eq!(choice, Choice::Seat { seat: 1, first: false });
    }
}

#[test]
fn the_search_goes_on_while_all_are_busy_and_ends_with_an_idle_one() {
    let busy = busy(1, 0, 5 * MS);
    let mut loads = Vec::from([busy; 200]);
    loads[150] = idle(5 * MS);
    loads[170] = idle(5 * MS);
    let fleet = Loads { hinted: false, ..Loads::of(loads) };
    let choice = choose(Policy::LeastLatency, &fleet, 200, NO_SEAT, 0, MS);
    assert_eq!(choice, Choice::Seat { seat: 150, first: false });
}

#[test]
fn an_idle_seat_is_drawn_only_if_no_other_costs_clearly_less() {
    let drawn = |loads: [Load; 3]| -> BTreeSet<u32> {
        (0..3).map(|turn| chosen(Vec::from(loads), NO_SEAT, turn, MS)).collect()
    };
    assert_eq!(drawn([idle(50 * MS), idle(5 * MS), idle(5 * MS)]), BTreeSet::from([1, 2]));
    let busy = Load { requests: 1, since: MS, ..idle(5 * MS) };
    assert_eq!(drawn([idle(50 * MS), busy, busy]), BTreeSet::from([1, 2]));
}

#[test]
fn a_worker_at_work_is_chosen_again_while_that_is_sooner_than_to_wake_another() {
    let awake = |requests| Load { queued_ns: 20_000, ..busy(requests, MS, 100_000) };
    assert_eq!(super::awake(awake(2), MS + 5_000), Awake::Here);
    assert_eq!(super::awake(awake(4), MS), Awake::Here, "a tie");
    assert_eq!(super::awake(awake(5), MS + 5_000), Awake::Elsewhere, "its queue is too long");
    assert_eq!(super::awake(awake(2), MS + 90_000), Awake::Elsewhere, "it makes no progress");
    assert_eq!(super::awake(Load { queued_ns: 300_000, ..awake(1) }, MS), Awake::Never, "one of many takes long");
    assert_eq!(super::awake(Load { queued_ns: 0, ..awake(1) }, MS), Awake::Never, "nothing is known");
}

#[test]
fn a_slow_worker_at_work_does_not_end_the_search_for_a_fast_one() {
    // It is chosen over its own kind that sleep, and is still eight times as dear as the idle one.
    let slow = Load { queued_ns: MS / 2, ..busy(1, 10 * MS, 8 * MS) };
    assert_eq!(awake(slow, 10 * MS), Awake::Here);
    let fleet = Loads { hinted: false, ..Loads::of([slow, slow, idle(MS / 8)]) };
    for turn in 0..3 {
        let choice = choose(Policy::LeastLatency, &fleet, 3, NO_SEAT, turn, 10 * MS);
        assert_eq!(choice, Choice::Seat { seat: 2, first: false });
    }
}

#[test]
fn a_seat_is_not_late_with_requests_that_have_not_come() {
    let seat = Seat { charged: 1, progress_at: 1, service_ns: MS, ..Seat::default() };
    assert_eq!(expected_ns(Load::of(&seat, 0), 900 * MS), 2 * MS);
    let seat = Seat { begun: 1, charged: 0, ..seat };
    assert_eq!(expected_ns(Load::of(&seat, 0), 900 * MS), 901 * MS - 1);
}

#[test]
fn a_seat_that_serves_beside_costs_more_with_each_request() {
    // Sixteen requests wait for 20 ms each, side by side: the next one would be answered in 20 ms as well.
    let seat = |begun| Seat { begun, service_ns: 20 * MS, queued_ns: (20 * MS / begun) as u32, ..Seat::default() };
    let load = |begun| Load { since: 10 * MS, ..Load::of(&seat(begun), 0) };
    assert!(load(16).concurrent);
    assert_eq!(awake(load(16), 10 * MS), Awake::Never);
    assert!(clearly_better(expected_ns(load(4), 10 * MS), expected_ns(load(16), 10 * MS)));
    assert!(clearly_better(20 * MS, expected_ns(load(2), 10 * MS)), "an idle one comes first");
    // One after the other, each as long as the first.
    assert!(!load(1).concurrent);
    // To wake a worker takes as long.
    assert!(!Load::of(&Seat { service_ns: MS, ..seat(16) }, 0).concurrent);
}

#[test]
fn what_no_worker_has_been_seen_to_hold_may_hold_it_up() {
    // Four requests, and the worker waits for more: they are polls, or each of its four threads has one.
    let holding = |held| Seat { begun: held, passed: held, service_ns: MS, ..Seat::default() };
    let expected = |held, beside| expected_ns(Load::of(&holding(held), 0).beside(beside), 0);
    assert_eq!(expected(4, 3) - expected(4, 4), MS);
    assert_eq!(expected(4, 9), expected(4, 4), "it has been seen to hold more");
    assert!(clearly_better(expected(4, 3), expected(5, 3)), "one more may wait");
    let fleet = Loads { hinted: false, ..Loads::of([4, 3, 4].map(|held| Load::of(&holding(held), 0).beside(3))) };
    for turn in 0..3 {
        let choice = choose(Policy::LeastLatency, &fleet, 3, NO_SEAT, turn, 0);
        assert_eq!(choice, Choice::Seat { seat: 1, first: false });
    }
}

#[test]
fn a_seat_of_which_nothing_is_known_costs_what_the_first_answer_took() {
    let unknown = |requests| busy(requests, 10 * MS, 0).or_like(5 * MS);
    let expected = |load| expected_ns(load, 10 * MS);
    assert_eq!(expected(unknown(2)), expected(busy(2, 10 * MS, 5 * MS)));
    assert!(expected(busy(2, 10 * MS, 0)) > expected(busy(100, 10 * MS, 5 * MS)), "there has been none");
    assert_eq!(expected(idle(0).or_like(5 * MS)), MIN_COST_NS, "it is tried");
    assert_eq!(busy(2, 10 * MS, MS).or_like(5 * MS), busy(2, 10 * MS, MS));
}

#[test]
fn round_robin_takes_turns_and_argmin_stays() {
    let fleet = Loads::of([idle(MS); 3]);
    let seat = |policy, turn| choose(policy, &fleet, 3, 2, turn, 0);
    assert_eq!(seat(Policy::RoundRobin, 4), Choice::Seat { seat: 1, first: true });
    assert_eq!(seat(Policy::Argmin, 4), Choice::Seat { seat: 2, first: true });
    assert_eq!(seat(Policy::Hash, 4), Choice::Hash);
    assert_eq!(choose(Policy::RoundRobin, &fleet, 0, NO_SEAT, 0, 0), Choice::NoSeat);
}

fn any_load() -> impl Strategy<Value = Load> {
    (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(requests, since, cost_ns, queued_ns, concurrent)| Load {
            requests: requests >> 1,
            since,
            cost_ns,
            queued_ns,
            concurrent,
            parked: requests >> 60,
            unproven: requests >> 62,
        },
    )
}

proptest! {
    #[test]
    fn the_choice_is_always_a_member(
        loads in proptest::collection::vec(any_load(), 1..256),
        policy in 0u32..6, turn: u32, now: u64, pick: u32,
    ) {
        let count = loads.len() as u32;
        let least = if pick % 3 == 0 { NO_SEAT } else { pick % count };
        match choose(Policy::from_u32(policy), &Loads::of(loads), count, least, turn, now) {
            Choice::Seat { seat, .. } => prop_assert!(seat < count),
            Choice::Hash => prop_assert!(!(1..=4).contains(&policy)),
            Choice::NoSeat => prop_assert!(false),
        }
    }

    #[test]
    fn long_polls_put_no_idle_seat_behind_a_busy_one(
        held: u64, held_there: u64, requests in 1u64..50, silent in 0u64..1_000 * MS, cost_ns in 8u64..200 * MS,
    ) {
        let now = 2_000 * MS;
        let idle = Load { parked: held >> 2, ..idle(cost_ns) };
        let busy = Load { parked: held_there >> 2, ..busy(requests, now - silent, cost_ns) };
        // Rounding is not a request.
        prop_assert!(expected_ns(idle, now) <= expected_ns(busy, now) + 8, "{idle:?} {busy:?}");
    }

    #[test]
    fn no_seat_seen_is_clearly_better_than_the_chosen(
        loads in proptest::collection::vec((0u64..50, 0u64..1_000 * MS, 1u64..200 * MS), 1..=VISIT as usize),
        turn: u32,
    ) {
        let loads: Vec<Load> =
            loads.into_iter().map(|(requests, since, cost_ns)| busy(requests, since, cost_ns)).collect();
        let now = 1_000 * MS;
        let best = expected_ns(loads[chosen(loads.clone(), NO_SEAT, turn, now) as usize], now);
        for load in loads {
            // Each replacement gains an eighth at least, so what was passed over is not better by two eighths.
            prop_assert!(expected_ns(load, now) >= best - best / 4);
        }
    }
}

#[test]
fn of_idle_seats_those_with_the_fewest_connections_come_first() {
    let fleet = |fewest: &[u32]| {
        let mut fleet = Loads::of([idle(MS), busy(1, 0, MS), idle(MS), idle(MS)]);
        fleet.fewest = set::of(fewest.iter().copied());
        fleet
    };
    let chosen = |fewest, turn| choose(Policy::LeastLatency, &fleet(fewest), 4, NO_SEAT, turn, MS);
    for turn in 0..8 {
        assert_eq!(chosen(&[1, 2], turn), Choice::Seat { seat: 2, first: false });
        assert_ne!(chosen(&[1], turn), Choice::Seat { seat: 1, first: false }, "it is busy");
    }
}

#[test]
fn of_busy_equals_the_longest_busy_wins() {
    let now = 100 * MS;
    for (concurrent, parked) in [(false, 0), (true, 2)] {
        // Of 25 ms each has worked so many.
        let loads: Vec<Load> =
            [9, 24, 22, 3].map(|ms| Load { concurrent, parked, ..busy(1, now - ms * MS, 25 * MS) }).into();
        for turn in 0..4 {
            assert_eq!(chosen(loads.clone(), NO_SEAT, turn, now), 1, "{concurrent}, turn {turn}");
        }
    }
}

#[test]
fn idle_with_polls_beats_nearly_done() {
    let now = 100 * MS;
    let polls = Load { parked: 9, ..idle(25 * MS) };
    for concurrent in [false, true] {
        let nearly_done = Load { concurrent, ..busy(1, now - 24 * MS, 25 * MS) };
        for turn in 0..3 {
            assert_eq!(
                chosen([nearly_done, polls, nearly_done].into(), NO_SEAT, turn, now),
                1,
                "{concurrent}, turn {turn}"
            );
        }
    }
}

#[test]
fn of_idle_workers_one_poll_more_is_a_tie() {
    let now = 100 * MS;
    // Their costs differ by a few hundredths, as those of equal workers do.
    let idle = |cost_us: u64, parked| Load { concurrent: true, parked, ..idle(cost_us * 1_000) };
    let loads: Vec<Load> = [idle(4_336, 1), idle(4_626, 2), idle(4_428, 2), idle(4_354, 3)].into();
    assert_eq!([0, 1, 2, 3].map(|turn| chosen(loads.clone(), NO_SEAT, turn, now)), [0, 1, 2, 3]);
}
