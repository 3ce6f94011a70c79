//! From what a worker says to what a request costs there, ns.
//!
//! ```text
//! estimate = max(median of its reports, median of its pings, age of what it still owes an answer to)
//! ```
//!
//! A report may be the middle of many requests, and weighs as many. The middle of such middles is near that of all, and what
//! half of the requests or fewer have spoiled spoils neither.
//!
//! The centre is a median that forgets, not a mean: a mean that one 200 ms request spoils shuns an idle
//! worker. A peak-sensitive average (Finagle's and linkerd's peak EWMA) does so by design, which is right where a
//! slow answer says something about a whole remote machine, and wrong where it says that one request was long.
//!
//! Pings ([`ping`]) tell how soon the worker's event loop turns, which is not what a request costs: an idle worker
//! that takes 50 ms for each request answers pings at once. So a round trip does not mix with the reports, it is a
//! lower bound: no request is answered before the loop turns.
//!
//! Silence is information only where an answer is owed. Then its age is a lower bound too, which passes the
//! worker's usual latency at the moment that the silence is longer than usual, and grows with the clock. A worker
//! that owes nothing does not grow worse because nobody asked it anything; its reports are only forgotten at some
//! time ([`FORGOTTEN_AFTER`]).
//!
//! ```
//! use std::time::Duration;
//! use llb::{estimate::{Estimate, ping::{Pinger, TOGETHER}}, model::Instant};
//!
//! let (mut estimate, mut pinger) = (Estimate::default(), Pinger::default());
//! let mut now = Instant(1_000_000_000);
//!
//! // The worker reports 5 ms, once for itself and once for the middle of 50 requests, and then one of 200 ms.
//! for latency_ms in [5, 5, 5] {
//!     estimate.observe(now, latency_ms * 1_000_000);
//!     pinger.spoke(now);
//! }
//! estimate.observe_many(now, 5_000_000, 50);
//! estimate.observe(now, 200_000_000);
//! let cost_ns = estimate.get_at(now, None).expect("it has reported enough");
//! assert!((4_500_000..5_500_000).contains(&cost_ns), "{cost_ns}");
//!
//! // It is asked whether it is there, and answers within a millisecond.
//! assert_eq!(pinger.due_at(), Some(now));
//! let id = pinger.due(now, Duration::ZERO).expect("it has spoken, and owes no answer");
//! now = now.after(Duration::from_millis(1));
//! let round_trip_ns = pinger.pong(now, id).expect("that was the ping");
//! estimate.observe_ping(now, round_trip_ns);
//!
//! // It is asked again, a little early, as another is asked now; and says nothing for 400 ms: it costs at least that.
//! now = now.after(Duration::from_millis(80));
//! assert!(pinger.due(now, TOGETHER).is_some() && pinger.outstanding() == Some(now));
//! now = now.after(Duration::from_millis(400));
//! assert_eq!(estimate.at_least(now, pinger.outstanding()), 400_000_000);
//! assert_eq!(estimate.get_at(now, pinger.outstanding()), Some(400_000_000));
//! assert_eq!(pinger.stray(), 0);
//! ```

mod median;
pub mod ping;

pub use median::{FORGOTTEN_AFTER, MAX_NS};

use crate::model::Instant;
use median::Median;

/// What one worker's reports and pings say. An example is [above](self).
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    reports: Median,
    pings: Median,
}

impl Estimate {
    /// The worker reported that a request took `latency_ns`.
    pub fn observe(&mut self, now: Instant, latency_ns: u64) {
        self.observe_many(now, latency_ns, 1);
    }

    /// The worker reported that the middle one of so many requests took `latency_ns`.
    pub fn observe_many(&mut self, now: Instant, latency_ns: u64, requests: u32) {
        self.reports.observe(now, latency_ns, requests);
    }

    /// The worker answered a ping after `round_trip_ns`.
    pub fn observe_ping(&mut self, now: Instant, round_trip_ns: u64) {
        self.pings.observe(now, round_trip_ns, 1);
    }

    /// What a request costs, ns and at most [`MAX_NS`]; nothing while the worker has reported too little, or nothing
    /// for too long: then it counts as new.
    ///
    /// `outstanding` is since when the worker has owed an answer: see [`ping::Pinger::outstanding`]. A request in
    /// flight whose age the chooser adds itself ([`llb_common::select::expected_ns`]) does not belong here: it would
    /// count twice.
    #[must_use]
    pub fn get_at(&self, now: Instant, outstanding: Option<Instant>) -> Option<u64> {
        let centre = self.reports.get_at(asked_until(now, outstanding))?;
        Some(centre.max(self.at_least(now, outstanding)))
    }

    /// A lower bound of what a request costs, ns and at most [`MAX_NS`]: it holds also for a worker that reports no
    /// latency, and whatever else is known of it.
    #[must_use]
    pub fn at_least(&self, now: Instant, outstanding: Option<Instant>) -> u64 {
        let turn = self.pings.get_at(asked_until(now, outstanding)).unwrap_or(0);
        let age = outstanding.map_or(0, |since| now.since(since));
        turn.max(age).min(MAX_NS)
    }
}

/// A worker that owes an answer is silent because it is stuck, so what it said before is not forgotten meanwhile.
fn asked_until(now: Instant, outstanding: Option<Instant>) -> Instant {
    outstanding.map_or(now, |since| since.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    /// One that has reported 5 ms every 10 ms for a second.
    fn steady() -> Estimate {
        let mut estimate = Estimate::default();
        for report in 1..=100 {
            estimate.observe(at(10 * report), 5 * MS);
        }
        estimate
    }

    #[test]
    fn silence_counts_once_it_is_longer_than_usual_and_an_answer_is_owed() {
        let estimate = steady();
        let usual = estimate.get_at(at(1_000), None).unwrap();
        let asked = Some(at(1_000));
        assert_eq!(estimate.get_at(at(1_004), asked), Some(usual));
        assert_eq!(estimate.get_at(at(1_200), asked), Some(200 * MS));
        assert_eq!(estimate.get_at(at(100_000), asked), Some(99_000 * MS));
    }

    #[test]
    fn an_idle_worker_does_not_grow_worse_and_is_new_again_at_last() {
        let estimate = steady();
        let usual = estimate.get_at(at(1_000), None);
        assert_eq!(estimate.get_at(at(30_000), None), usual);
        assert_eq!(estimate.get_at(at(32_000), None), None);
    }

    #[test]
    fn a_report_of_many_requests_weighs_as_many_as_one_each() {
        let (mut batched, mut single) = (Estimate::default(), Estimate::default());
        for (latency, requests) in [(5 * MS, 100), (200 * MS, 40), (7 * MS, 90)] {
            batched.observe_many(at(1_000), latency, requests);
            (0..requests).for_each(|_| single.observe(at(1_000), latency));
            assert_eq!(batched.get_at(at(1_000), None), single.get_at(at(1_000), None));
        }
        assert!(batched.get_at(at(1_000), None).is_some_and(|ns| ns < 8 * MS));
    }

    #[test]
    fn quick_pings_do_not_make_slow_requests_look_quick() {
        let mut estimate = steady();
        for ping in 0..1_000 {
            estimate.observe_ping(at(1_000 + ping), MS / 10);
        }
        assert_eq!(estimate.get_at(at(2_000), None), steady().get_at(at(2_000), None));
    }

    #[test]
    fn slow_pings_raise_the_estimate() {
        let mut estimate = steady();
        for ping in 0..10 {
            estimate.observe_ping(at(1_000 + 100 * ping), 50 * MS);
        }
        assert!(estimate.get_at(at(2_000), None).unwrap() > 45 * MS);
        assert!(estimate.at_least(at(2_000), None) > 45 * MS);
    }

    #[test]
    fn a_worker_that_only_answers_pings_has_a_bound_and_no_estimate() {
        let mut estimate = Estimate::default();
        for ping in 0..10 {
            estimate.observe_ping(at(ping), MS);
        }
        assert_eq!(estimate.get_at(at(10), None), None);
        assert_eq!(estimate.at_least(at(30), Some(at(10))), 20 * MS);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_owed_silence_never_improves_the_estimate(
            observed in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..50),
            since: u64, earlier: u64, later: u64,
        ) {
            let mut estimate = Estimate::default();
            for (now, ns, is_ping) in observed {
                if is_ping { estimate.observe_ping(Instant(now), ns) } else { estimate.observe(Instant(now), ns) }
            }
            let owed = Some(Instant(since));
            let (earlier, later) = (Instant(earlier.max(since)), Instant(later.max(earlier).max(since)));
            prop_assert!(estimate.get_at(earlier, owed) <= estimate.get_at(later, owed));
            prop_assert!(estimate.get_at(later, owed).is_none_or(|ns| ns <= MAX_NS));
        }

        #[test]
        fn idle_time_never_worsens_the_estimate(gaps_ms in prop::collection::vec(0u64..100_000, 1..20)) {
            let estimate = steady();
            let mut now = 1_000;
            let mut last = estimate.get_at(at(now), None).unwrap();
            for gap in gaps_ms {
                now += gap;
                let ns = estimate.get_at(at(now), None).unwrap_or(0);
                prop_assert!(ns <= last);
                last = ns;
            }
        }
    }
}
