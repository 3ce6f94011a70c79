//! Whether a worker has reached a limit after which it is replaced: pure, from what has been counted of it.
//!
//! Workers that start together would reach the same limit together. So each has limits of its own, by a number that is its
//! process's for life: another master comes to the same ones.

use std::time::Duration;

use crate::config::Recycling;

/// A worker's own limit of requests or age is less than what was asked for by at most this part of it.
const SPREAD: u128 = 4;

/// What has been counted of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Requests answered.
    pub answered: u64,
    /// Time since it was spawned, ns.
    pub age_ns: u64,
    /// Memory, bytes; none if that is not known.
    pub memory: Option<u64>,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The figure as a part of the limit, in thousandths.
    pub permille: u64,
    /// Which limit, and by what figure.
    pub cause: String,
}

/// The number by which a process has limits of its own, from its pid and [its start](crate::sys::procfs::started_at).
#[must_use]
pub fn lot(pid: i32, started_at: u64) -> u32 {
    // The mixing step of splitmix64: neighbours get numbers that are far apart.
    let mut word = started_at.rotate_left(22) ^ u64::from(pid.unsigned_abs());
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ (word >> 31)) >> 32) as u32
}

/// Which limit a worker has reached, if any: the one that it is furthest beyond.
#[must_use]
pub fn excess(limits: &Recycling, lot: u32, figures: &Figures) -> Option<Excess> {
    let requests = limits.max_requests.and_then(|limit| {
        let own = spread(limit, lot);
        let cause = || format!("{} requests answered; its limit is {own} (--max-requests {limit})", figures.answered);
        reached(figures.answered, own, cause)
    });
    let age = limits.max_age.and_then(|limit| {
        let own = spread(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), lot);
        let (is, may, limit) = (time(figures.age_ns), time(own), humantime::format_duration(limit));
        reached(figures.age_ns, own, || format!("{is} old; its limit is {may} (--max-age {limit})"))
    });
    let memory = limits.max_memory.zip(figures.memory).and_then(|(limit, memory)| {
        reached(memory, limit, || format!("{} of memory; its limit is {} (--max-memory)", mib(memory), mib(limit)))
    });
    [requests, age, memory].into_iter().flatten().max_by_key(|excess| excess.permille)
}

fn reached(figure: u64, limit: u64, cause: impl Fn() -> String) -> Option<Excess> {
    let permille = u128::from(figure) * 1_000 / u128::from(limit.max(1));
    (figure >= limit).then(|| Excess { permille: u64::try_from(permille).unwrap_or(u64::MAX), cause: cause() })
}

/// A limit as it is for the process of this number.
fn spread(limit: u64, lot: u32) -> u64 {
    let less = u128::from(limit) * u128::from(lot) / (SPREAD << 32);
    limit - less as u64
}

/// To the second, or to the millisecond where that is all there is.
fn time(ns: u64) -> humantime::FormattedDuration {
    let time = Duration::from_nanos(ns);
    let whole = if time < Duration::from_secs(60) { time.as_millis() as u64 } else { time.as_secs() * 1_000 };
    humantime::format_duration(Duration::from_millis(whole))
}

fn mib(bytes: u64) -> String {
    format!("{:.1}M", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Figures = Figures { answered: 0, age_ns: 0, memory: None };
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn without_limits_nobody_is_too_old() {
        let much = Figures { answered: u64::MAX, age_ns: u64::MAX, memory: Some(u64::MAX) };
        assert_eq!(excess(&Recycling::default(), 0, &much), None);
    }

    #[test]
    fn each_limit_is_named_with_its_figure() {
        let limits = Recycling { max_requests: Some(1_000), max_age: Some(HOUR), max_memory: Some(64 << 20) };
        let said = |figures: Figures| excess(&limits, 0, &figures).map(|excess| excess.cause);
        assert_eq!(said(NOTHING), None);
        assert_eq!(said(Figures { answered: 999, age_ns: 3_599_000_000_000, memory: Some((64 << 20) - 1) }), None);
        for (figures, cause) in [
            (Figures { answered: 1_000, ..NOTHING }, "1000 requests answered; its limit is 1000 (--max-requests 1000)"),
            (Figures { age_ns: 3_661_000_000_000, ..NOTHING }, "1h 1m 1s old; its limit is 1h (--max-age 1h)"),
            (Figures { memory: Some(96 << 20), ..NOTHING }, "96.0M of memory; its limit is 64.0M (--max-memory)"),
        ] {
            assert_eq!(said(figures).as_deref(), Some(cause));
        }
        let both = Figures { answered: 1_001, age_ns: 7_200_000_000_000, memory: None };
        assert!(said(both).unwrap().contains("--max-age"), "the one that it is furthest beyond");
    }

    #[test]
    fn limits_are_spread_over_their_last_quarter() {
        let limits = Recycling { max_requests: Some(1_000), max_age: Some(HOUR), ..Recycling::default() };
        let at = |lot, figures| excess(&limits, lot, &figures).is_some();
        let answered = |answered| Figures { answered, ..NOTHING };
        assert!(!at(u32::MAX, answered(749)) && at(u32::MAX, answered(751)));
        assert!(!at(0, answered(999)) && at(0, answered(1_000)));
        let aged = |age_ns| Figures { age_ns, ..NOTHING };
        assert!(at(u32::MAX, aged(2_701_000_000_000)) && !at(u32::MAX / 2, aged(2_701_000_000_000)));
        let lots: Vec<u32> = (1..=1_000).map(|pid| lot(4_000 + pid, 77_123)).collect();
        let below = lots.iter().filter(|lot| **lot < u32::MAX / 2).count();
        assert!((400..600).contains(&below), "{below} of 1000 are in the lower half");
        assert_eq!(lot(4_001, 77_123), lots[0], "it is the process's for life");
    }

    #[test]
    fn any_number_is_a_limit() {
        for limit in [1, 2, 5, u64::MAX] {
            for lot in [0, 1, u32::MAX] {
                assert!((1..=limit).contains(&spread(limit, lot)), "{limit} {lot}");
            }
        }
        let limits = Recycling { max_requests: Some(1), max_age: Some(Duration::MAX), max_memory: Some(0) };
        let much = Figures { answered: u64::MAX, age_ns: u64::MAX, memory: Some(u64::MAX) };
        assert!(excess(&limits, 7, &much).is_some_and(|excess| excess.permille == u64::MAX));
    }
}
