//! From what is known of every seat to the table that is published for the kernel's selector.
//!
//! A seat's cost is, in this order: what its worker's reports say; nothing (0) where only the kernel's own running
//! median is known, as the number in the kernel is fresher than any copy of it; the fleet's median, for a seat of
//! which nothing is known, so that a new worker is neither shunned nor flooded. A worker that the kernel measures as
//! too fast to be true is not believed ([`believable_ns`]): most likely it answers errors. Whatever the cost is, a
//! worker whose silence proves it slower than that costs what its silence proves.
//!
//! ```
//! use llb::{model::{Instant, Seat}, policy::{Table, View, table}};
//!
//! let now = Instant(60_000_000_000);
//! let idle = View {
//!     seat: Seat(0),
//!     estimate_ns: None,
//!     at_least_ns: 0,
//!     kernel_ns: Some(5_000_000),
//!     in_flight: 0,
//!     progress_at: now,
//!     joined: true,
//!     fresh: false,
//!     few: false,
//!     held: false,
//!     parked: 0,
//!     open: 0,
//!     gone: 0,
//! };
//! // One as fast that has answered nothing for a second, though it was asked; and one that has just joined.
//! let stuck = View { seat: Seat(1), in_flight: 2, progress_at: Instant(now.0 - 1_000_000_000), ..idle };
//! let new = View { seat: Seat(2), kernel_ns: None, ..idle };
//! let Table { least, near, fewest, level, cost_ns } = table(&[stuck, new, idle], now, 0);
//! assert!(least == Some(Seat(0)) || least == Some(Seat(2)));
//! // What the kernel has measured itself is not published: 0. The new one costs what the others do.
//! assert_eq!(cost_ns[..3], [0, 0, 5_000_000]);
//! assert_eq!(near, llb::common::set::of([0, 1, 2].into_iter()));
//! // They have as many connections open, none.
//! assert_eq!((fewest, level), (near, 1));
//! ```

use crate::model::{Instant, Seat};
use llb_common::{
    abi::{MAX_SEATS, SeatSet},
    select::{Load, MIN_COST_NS, believable_ns, clearly_better, expected_ns, near},
    set,
};

/// What a worker costs that stands still for a connection it keeps, ns: it is the last choice while another is not so busy
/// that it takes a second. Its client may ask at any moment, and then it is free soon.
const HELD_NS: u64 = 1_000_000_000;

/// What is known of one seat. An example is [above](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The seat; one view each.
    pub seat: Seat,
    /// What a request costs there by its worker's reports, ns: [`crate::estimate::Estimate::get_at`].
    pub estimate_ns: Option<u64>,
    /// What it costs at the very least, ns: [`crate::estimate::Estimate::at_least`].
    pub at_least_ns: u64,
    /// The kernel's own running median, ns: [`llb_common::abi::Seat::service_ns`]; `None` if that is 0.
    pub kernel_ns: Option<u64>,
    /// Requests given since the last sign of life and choices charged: [`Load::requests`].
    pub in_flight: u64,
    /// When the seat last became busy or last answered.
    pub progress_at: Instant,
    /// Whether it takes new connections: its worker is ready and does not drain.
    pub joined: bool,
    /// Whether it has answered so little that its first answers, which are slow as a rule, would count for all.
    pub fresh: bool,
    /// Whether what the kernel has measured is of so few answers, none of them a failure, that it may be off by a factor of two.
    pub few: bool,
    /// Whether its worker has been seen to stand still for a connection that it keeps, with nothing asked there.
    pub held: bool,
    /// Requests in flight that are parked: [`Load::parked`].
    pub parked: u64,
    /// Connections open there.
    pub open: u64,
    /// Connections that have been closed there lately, within one to two seconds.
    pub gone: u64,
}

/// What is published; see [`llb_common::abi::Published`]. An example is [above](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The joined seat that would answer a new request soonest, if any is joined.
    pub least: Option<Seat>,
    /// The joined seats whose cost is not clearly above the least of them.
    pub near: SeatSet,
    /// The joined seats that have fewer open connections than `level`, and are not clearly slower.
    pub fewest: SeatSet,
    /// How many connections they are to have before others come first again.
    pub level: u64,
    /// By seat index, ns; 0 where the kernel is to use its own number.
    pub cost_ns: [u64; MAX_SEATS],
}

impl View {
    /// What a request costs there while nothing is stuck, ns.
    fn known_ns(&self) -> Option<u64> {
        self.estimate_ns.or(self.kernel_ns)
    }

    /// What to publish, ns.
    fn cost_ns(&self, fleet_ns: u64) -> u64 {
        let (usual, published) = match (self.estimate_ns, self.kernel_ns) {
            // 0 would say "unknown".
            (Some(estimate), _) => (estimate, estimate.max(MIN_COST_NS)),
            (None, Some(kernel)) if fleet_ns != 0 && (self.fresh || (self.few && is_about(kernel, fleet_ns))) => {
                (fleet_ns, fleet_ns)
            }
            (None, Some(kernel)) => match believable_ns(kernel, fleet_ns) {
                believed if believed == kernel => (kernel, 0),
                believed => (believed, believed),
            },
            (None, None) => (fleet_ns, fleet_ns),
        };
        let at_least_ns = if self.held { self.at_least_ns.max(HELD_NS) } else { self.at_least_ns };
        if at_least_ns > usual { at_least_ns.max(MIN_COST_NS) } else { published }
    }

    /// The cost that the kernel would reckon with, ns; 0 while it is not known.
    fn used_ns(&self, published_ns: u64) -> u64 {
        if published_ns != 0 { published_ns } else { self.kernel_ns.unwrap_or(0) }
    }

    /// When a new request would be answered there, ns from `now`, as the kernel would reckon with that cost.
    fn expected_ns(&self, cost_ns: u64, now: Instant) -> u64 {
        expected_ns(
            Load {
                requests: self.in_flight,
                since: self.progress_at.0,
                cost_ns,
                parked: self.parked,
                ..Load::default()
            },
            now.0,
        )
    }
}

/// Makes the table of all seats in `views`, joined or not. A view of a seat that the kernel has no room for
/// ([`MAX_SEATS`]) is left out. `turn` is any number that grows by one with every table: seats that are not clearly
/// better than one another become the least in turn. An example is [above](self).
#[must_use]
pub fn table(views: &[View], now: Instant, turn: u64) -> Table {
    let fleet_ns = fleet_ns(views);
    let mut cost_ns = [0; MAX_SEATS];
    let mut used = Vec::with_capacity(views.len());
    let mut expected = Vec::with_capacity(views.len());
    let mut open = Vec::with_capacity(views.len());
    for view in views {
        let Some(cost) = cost_ns.get_mut(view.seat.0 as usize) else { continue };
        *cost = view.cost_ns(fleet_ns);
        if view.joined {
            let cost = view.used_ns(*cost);
            used.push((view.seat.0, cost));
            open.push(Keeps { seat: view.seat.0, cost_ns: cost, open: view.open, gone: view.gone });
            expected.push((view.seat, view.expected_ns(cost, now)));
        }
    }
    let near = near(used.iter().copied());
    let (fewest, level) = fewest(&open, &near);
    Table { least: least(&expected, turn), near, fewest, level, cost_ns }
}

/// What a request costs the fleet's middle worker, ns; 0 while that is not known.
pub(crate) fn fleet_ns(views: &[View]) -> u64 {
    let known: Vec<u64> = views.iter().filter_map(View::known_ns).collect();
    let warm: Vec<u64> = views.iter().filter(|view| !view.fresh).filter_map(View::known_ns).collect();
    // The first to be known, or to be warm, is the first to have answered, and that may be one that only fails.
    let is_most = |some: &[u64]| 2 * some.len() > views.len();
    match is_most(&known) {
        false => 0,
        true if is_most(&warm) => median(warm),
        true => median(known),
    }
}

/// A seat whose cost is below this is not slow, whatever the others' is, ns.
const NOT_SLOW_NS: u64 = 5_000_000;

/// What connections a joined seat has.
#[derive(Clone, Copy)]
struct Keeps {
    seat: u32,
    cost_ns: u64,
    open: u64,
    gone: u64,
}

/// The seats that have fewer open connections than the level, and the level: that of their mean, and one more than the
/// fewest at least. One that is not near, if it is not twice as slow, comes first too where it is far below the mean or
/// another is far above it: what lies unevenly for good costs more than a request that takes a little longer. One that has
/// had its share of those that came and went lately does not come first: it would have nearly all of them for keeping one
/// less.
fn fewest(seats: &[Keeps], near: &SeatSet) -> (SeatSet, u64) {
    let not_slow_ns = seats.iter().map(|keeps| 2 * keeps.cost_ns).min().unwrap_or(0).max(NOT_SLOW_NS);
    let fit = || seats.iter().filter(|keeps| keeps.cost_ns < not_slow_ns);
    let count = fit().count().max(1) as u64;
    let mean = fit().map(|keeps| keeps.open).sum::<u64>() / count;
    let mean_gone = fit().map(|keeps| keeps.gone).sum::<u64>() / count;
    let far = 1 + mean / 10;
    let is_uneven = fit().any(|keeps| keeps.open > mean + far);
    let may_come_first = |keeps: &&Keeps| {
        let Keeps { seat, open, gone, .. } = **keeps;
        let has_had_its_share = gone > mean_gone + mean.saturating_sub(open);
        let is_fit = set::contains(near, seat) || open + far < mean || (is_uneven && open <= mean);
        is_fit && !has_had_its_share
    };
    let least = fit().filter(may_come_first).map(|keeps| keeps.open).min().unwrap_or(0);
    let level = mean.max(least + 1);
    let below = fit().filter(may_come_first).filter(|keeps| keeps.open < level);
    (set::of(below.map(|keeps| keeps.seat)), level)
}

/// Whether two costs differ by less than a factor of two.
fn is_about(a: u64, b: u64) -> bool {
    a < 2 * b && b < 2 * a
}

/// The lower median, ns: of two workers' costs the better, as a new one is more likely well than ill. 0 of none.
fn median(mut costs: Vec<u64>) -> u64 {
    costs.sort_unstable();
    costs.get(costs.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

fn least(expected: &[(Seat, u64)], turn: u64) -> Option<Seat> {
    let best = expected.iter().map(|(_, ns)| *ns).min()?;
    let tied = || expected.iter().filter(|(_, ns)| !clearly_better(best, *ns));
    let place = turn % tied().count() as u64;
    tied().nth(place as usize).map(|(seat, _)| *seat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

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
            open: 0,
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
        let views =
            [bound(3, counted(0, 5)), bound(30, counted(1, 5)), bound(30, reported(2, 5)), bound(30, unknown(3))];
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
        let views =
            [open(100, counted(0, 5)), open(9, counted(1, 8)), open(9, counted(2, 50)), open(60, counted(3, 5))];
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
        let fields =
            (cost(), prop_oneof![Just(0), 0u64..10_000 * MS], cost(), 0u64..100, 0u64..2_000 * MS, any::<bool>());
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
}
