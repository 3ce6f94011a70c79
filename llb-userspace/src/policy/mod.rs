//! From what is known of every seat to the table that is published for the kernel's selector.
//!
//! A seat's cost is, in this order: what its worker's reports say; nothing (0) where only the kernel's own running
//! median is known, as the number in the kernel is fresher than any copy of it; the fleet's median, for a seat of
//! which nothing is known, so that a new worker is neither shunned nor flooded. A worker that the kernel measures as
//! too fast to be true is not believed ([`llb_common::select::believable_ns`]): most likely it answers errors. Whatever the cost is, a
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
//!     unproven: 0,
//!     open: 0,
//!     opened: 0,
//!     ended: 0,
//!     gone: 0,
//! };
//! // One as fast that has answered nothing for a second, though it was asked; and one that has just joined.
//! let stuck = View { seat: Seat(1), in_flight: 2, progress_at: Instant(now.0 - 1_000_000_000), ..idle };
//! let new = View { seat: Seat(2), kernel_ns: None, ..idle };
//! let Table { least, near, fewest, level, cost_ns } = table(&[stuck, new, idle], now, 0);
//! assert!(least == Some(Seat(0)) || least == Some(Seat(2)));
//! // What the kernel has measured itself is not published: 0. The new one costs what the others do.
//! assert_eq!(cost_ns[..3], [0, 0, 5_000_000]);
//! assert_eq!(near, llb_common::set::of([0, 1, 2].into_iter()));
//! // They have as many connections open, none.
//! assert_eq!((fewest, level), (near, 1));
//! ```

mod fewest;
mod view;

use llb_common::{
    abi::{MAX_SEATS, SeatSet},
    select::{clearly_better, near},
};

use self::fewest::{Keeps, fewest};
pub use self::view::View;
use crate::model::{Instant, Seat};

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
mod tests;
