//! Which seats come first as they have few connections open.

use llb_common::{abi::SeatSet, set};

/// A seat whose cost is below this is not slow, whatever the others' is, ns.
const NOT_SLOW_NS: u64 = 5_000_000;

/// The seats that have fewer open connections than the level, and the level: that of their mean, and one more than the
/// fewest at least. One that is not near, if it is not twice as slow, comes first too where it is far below the mean or
/// another is far above it: what lies unevenly for good costs more than a request that takes a little longer.
pub(super) fn fewest(seats: &[(u32, u64, u64)], near: &SeatSet) -> (SeatSet, u64) {
    let not_slow_ns = seats.iter().map(|(_, cost, _)| 2 * *cost).min().unwrap_or(0).max(NOT_SLOW_NS);
    let fit = || seats.iter().filter(|(_, cost, _)| *cost < not_slow_ns);
    let count = fit().count().max(1) as u64;
    let mean = fit().map(|(_, _, open)| *open).sum::<u64>() / count;
    let far = 1 + mean / 10;
    let is_uneven = fit().any(|(_, _, open)| *open > mean + far);
    let is_near = |seat: u32| set::contains(near, seat);
    let may_come_first =
        |(seat, _, open): &&(u32, u64, u64)| is_near(*seat) || open + far < mean || (is_uneven && *open <= mean);
    let least = fit().filter(may_come_first).map(|(_, _, open)| *open).min().unwrap_or(0);
    let level = mean.max(least + 1);
    let below = fit().filter(may_come_first).filter(|(_, _, open)| *open < level);
    (set::of(below.map(|(seat, ..)| *seat)), level)
}
