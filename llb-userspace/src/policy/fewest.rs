//! Which seats come first as they have few connections open.

use llb_common::{abi::SeatSet, set};

/// A seat whose cost is below this is not slow, whatever the others' is, ns.
const NOT_SLOW_NS: u64 = 5_000_000;

/// What connections a joined seat has.
#[derive(Clone, Copy)]
pub(super) struct Keeps {
    pub seat: u32,
    pub cost_ns: u64,
    pub open: u64,
    pub gone: u64,
}

/// The seats that have fewer open connections than the level, and the level: that of their mean, and one more than the
/// fewest at least. One that is not near, if it is not twice as slow, comes first too where it is far below the mean or
/// another is far above it: what lies unevenly for good costs more than a request that takes a little longer. One that has
/// had its share of those that came and went lately does not come first: it would have nearly all of them for keeping one
/// less.
pub(super) fn fewest(seats: &[Keeps], near: &SeatSet) -> (SeatSet, u64) {
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
