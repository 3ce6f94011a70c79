//! Tables of a few seats, and of any.

use std::collections::HashMap;

use llb_common::{
    select::{Load, MIN_COST_NS, expected_ns},
    set,
};
use proptest::prelude::*;

use super::{view::HELD_NS, *};

const MS: u64 = 1_000_000;
const NOW: Instant = Instant(1_000 * MS);

fn unknown(seat: u32) -> View {
    View {
        seat: Seat(seat),
        estimate_ns: None,
        at_least_ns: 0,
        kernel_ns: None,
        in_flight: 0,
        progress_at: NOW,
        joined: true,
        fresh: false,
        few: false,
        held: false,
        parked: 0,
        unproven: 0,
        open: 0,
        opened: 0,
        ended: 0,
        gone: 0,
    }
}

fn reported(seat: u32, ms: u64) -> View {
    View { estimate_ns: Some(ms * MS), ..unknown(seat) }
}

fn counted(seat: u32, ms: u64) -> View {
    View { kernel_ns: Some(ms * MS), ..unknown(seat) }
}

#[test]
fn reports_win_over_the_kernels_median() {
    let views = [View { kernel_ns: Some(MS), ..reported(0, 50) }, counted(1, 5)];
    let table = table(&views, NOW, 0);
    assert_eq!(table.cost_ns[..3], [50 * MS, 0, 0]);
    assert_eq!(table.least, Some(Seat(1)));
}

#[test]
fn a_new_seat_costs_the_fleets_median_of_reports_and_kernel_medians() {
    let table = table(&[reported(0, 1), counted(1, 7), reported(2, 90), unknown(3)], NOW, 0);
    assert_eq!(table.cost_ns[3], 7 * MS);
}

#[test]
fn where_nothing_is_known_the_kernel_uses_its_own() {
    assert_eq!(table(&[unknown(0), unknown(1)], NOW, 0).cost_ns, [0; MAX_SEATS]);
    assert_eq!(
        table(&[], NOW, 3),
        Table { least: None, near: [0; 4], fewest: [0; 4], level: 1, cost_ns: [0; MAX_SEATS] }
    );
}

#[test]
fn a_lower_bound_counts_where_it_exceeds_what_is_known() {
    let bound = |ms, view| View { at_least_ns: ms * MS, ..view };
    let views = [bound(3, counted(0, 5)), bound(30, counted(1, 5)), bound(30, reported(2, 5)), bound(30, unknown(3))];
    assert_eq!(table(&views, NOW, 0).cost_ns[..4], [0, 30 * MS, 30 * MS, 30 * MS]);
}

#[test]
fn a_worker_too_fast_to_be_true_is_not_believed() {
    let fast = View { kernel_ns: Some(MS / 20), ..unknown(0) };
    let views = [fast, counted(1, 5), counted(2, 5)];
    for turn in 0..6 {
        let table = table(&views, NOW, turn);
        assert_eq!(table.cost_ns[..3], [10 * MS, 0, 0]);
        assert_ne!(table.least, Some(Seat(0)));
    }
}

#[test]
fn first_answers_count_for_little() {
    let fresh = |seat, ms| View { fresh: true, ..counted(seat, ms) };
    let table_of = |views: [View; 3]| table(&views, NOW, 0);
    assert_eq!(table_of([fresh(0, 15), counted(1, 4), counted(2, 5)]).cost_ns[..3], [4 * MS, 0, 0]);
    // Later only what may be chance.
    let few = |seat, ms| View { few: true, ..counted(seat, ms) };
    assert_eq!(table_of([few(0, 9), counted(1, 4), counted(2, 5)]).cost_ns[..3], [5 * MS, 0, 0]);
    assert_eq!(table_of([few(0, 10), counted(1, 4), counted(2, 5)]).cost_ns[..3], [0, 0, 0]);
    let cold = table_of([fresh(0, 15), fresh(1, 4), fresh(2, 9)]);
    assert_eq!((cold.cost_ns[0], cold.near), (9 * MS, set::of(0..3)), "all are equal while all are cold");
}

#[test]
fn one_held_by_a_kept_connection_is_the_last_choice() {
    let table = table(&[View { held: true, ..counted(0, 1) }, counted(1, 90)], NOW, 0);
    assert_eq!((table.least, table.near), (Some(Seat(1)), set::of([1].into_iter())));
    assert_eq!(table.cost_ns[0], HELD_NS);
}

#[test]
fn the_fewest_connections_come_first_among_those_that_are_near() {
    let open = |open, view| View { open, ..view };
    let views = [open(3, counted(0, 5)), open(2, counted(1, 5)), open(2, counted(2, 5)), open(0, counted(3, 50))];
    assert_eq!(table(&views, NOW, 0).fewest, set::of([1, 2].into_iter()));
    let views = [open(100, counted(0, 5)), open(9, counted(1, 8)), open(9, counted(2, 50)), open(60, counted(3, 5))];
    let Table { fewest, level, .. } = table(&views, NOW, 0);
    assert_eq!((fewest, level), (set::of([1].into_iter()), 56), "one that has far fewer, and is not much slower");
}

#[test]
fn one_that_keeps_less_comes_first_until_it_has_had_its_share() {
    let keeps = |seat, open, gone| View { open, gone, ..counted(seat, 5) };
    let fewest = |gone| table(&[keeps(0, 1, gone), keeps(1, 2, 9), keeps(2, 2, 9), keeps(3, 3, 9)], NOW, 0).fewest;
    assert_eq!(fewest(10), set::of([0].into_iter()));
    assert_eq!(fewest(12), set::of([1, 2].into_iter()), "those that have had less");
}

#[test]
fn one_that_is_near_alone_does_not_keep_all_connections() {
    let near = |open| View { open, kernel_ns: Some(MS / 5), ..unknown(0) };
    let slower = |seat, open| View { open, ..counted(seat, 1) };
    let table_of = |most| table(&[near(most), slower(1, 8), slower(2, 8), slower(3, 8)], NOW, 0);
    assert_eq!(table_of(16).near, set::of([0].into_iter()));
    assert_eq!((table_of(16).fewest, table_of(16).level), (set::of(1..4), 10));
    assert_eq!((table_of(9).fewest, table_of(9).level), (set::of([0].into_iter()), 10), "no more than a little");
}

#[test]
fn an_estimate_of_nothing_is_published_as_the_least_cost() {
    assert_eq!(table(&[reported(0, 0)], NOW, 0).cost_ns[0], MIN_COST_NS);
}

#[test]
fn a_hung_seat_is_not_the_least_however_fast_it_was() {
    let hung = View { in_flight: 1, progress_at: Instant(0), ..counted(0, 1) };
    for turn in 0..4 {
        assert_eq!(table(&[hung, counted(1, 50)], NOW, turn).least, Some(Seat(1)));
    }
}

#[test]
fn a_seat_that_has_not_joined_is_known_and_never_the_least() {
    let draining = View { joined: false, ..reported(0, 1) };
    let table = table(&[draining, reported(1, 90)], NOW, 0);
    assert_eq!((table.least, table.cost_ns[0]), (Some(Seat(1)), MS));
}

#[test]
fn a_seat_beyond_the_kernels_room_is_left_out() {
    let table = table(&[reported(MAX_SEATS as u32, 1)], NOW, 0);
    assert_eq!(table, Table { least: None, near: [0; 4], fewest: [0; 4], level: 1, cost_ns: [0; MAX_SEATS] });
}

#[test]
fn ties_take_turns_fairly_whatever_stands_between_them() {
    let views = [reported(0, 90), reported(1, 90), reported(2, 10), reported(3, 90), reported(4, 11)];
    let mut times: HashMap<Seat, u32> = HashMap::new();
    for turn in 0..10 {
        *times.entry(table(&views, NOW, turn).least.unwrap()).or_default() += 1;
    }
    assert_eq!(times, HashMap::from([(Seat(2), 5), (Seat(4), 5)]));
}

fn any_views() -> impl Strategy<Value = Vec<View>> {
    let cost = || prop::option::of(1u64..10_000 * MS);
    let fields = (cost(), prop_oneof![Just(0), 0u64..10_000 * MS], cost(), 0u64..100, 0u64..2_000 * MS, any::<bool>());
    prop::collection::btree_map(0u32..MAX_SEATS as u32, fields, 0..40).prop_map(|views| {
        views
            .into_iter()
            .map(|(seat, (estimate_ns, at_least_ns, kernel_ns, in_flight, progress_at, joined))| View {
                seat: Seat(seat),
                estimate_ns,
                at_least_ns,
                kernel_ns,
                in_flight,
                progress_at: Instant(progress_at),
                joined,
                ..unknown(seat)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_least_is_a_joined_seat_and_none_is_clearly_better(views in any_views(), turn: u64) {
        let table = table(&views, NOW, turn);
        prop_assert_eq!(table.least.is_some(), views.iter().any(|view| view.joined));
        let expected = |view: &View| {
            let kernel = llb_common::abi::Seat {
                begun: view.in_flight,
                progress_at: view.progress_at.0,
                service_ns: view.kernel_ns.unwrap_or(0),
                ..Default::default()
            };
            expected_ns(Load::of(&kernel, table.cost_ns[view.seat.0 as usize]), NOW.0)
        };
        if let Some(least) = table.least {
            let least = views.iter().find(|view| view.seat == least).unwrap();
            prop_assert!(least.joined);
            for view in views.iter().filter(|view| view.joined) {
                prop_assert!(!clearly_better(expected(view), expected(least)));
            }
        }
    }

    #[test]
    fn a_seat_that_is_not_listed_costs_nothing(views in any_views(), turn: u64) {
        let table = table(&views, NOW, turn);
        for (seat, cost) in table.cost_ns.into_iter().enumerate() {
            let view = views.iter().find(|view| view.seat.0 as usize == seat);
            prop_assert!(view.is_some() || cost == 0);
        }
    }

    #[test]
    fn no_cost_is_below_what_silence_proves(views in any_views(), turn: u64) {
        let table = table(&views, NOW, turn);
        for view in &views {
            let cost = table.cost_ns[view.seat.0 as usize];
            let used = if cost == 0 { view.kernel_ns.unwrap_or(0) } else { cost };
            prop_assert!(used >= view.at_least_ns);
        }
    }

    #[test]
    fn nothing_panics_at_the_extremes(seat: u32, estimate_ns: Option<u64>, at_least_ns: u64, in_flight: u64, turn: u64) {
        let _ = table(&[View { estimate_ns, at_least_ns, in_flight, ..unknown(seat) }], NOW, turn);
    }
}
