//! What workers' latencies are by their reports, and when each worker is pinged.

use std::collections::HashMap;

use crate::{
    estimate::{
        Estimate,
        ping::{Pinger, TOGETHER},
    },
    model::{Instant, WorkerId},
    report::Report,
};

/// So late that it does not come.
const NEVER: Instant = Instant(u64::MAX);

/// Of the workers that have reported something.
#[derive(Debug)]
pub(super) struct Estimates {
    workers: HashMap<WorkerId, PingedWorker>,
    /// No ping is due before.
    ping_at: Instant,
}

#[derive(Debug, Default)]
struct PingedWorker {
    estimate: Estimate,
    pinger: Pinger,
}

impl Default for Estimates {
    fn default() -> Self {
        Estimates { workers: HashMap::new(), ping_at: NEVER }
    }
}

impl Estimates {
    pub(super) fn on_report(&mut self, worker: WorkerId, report: &Report, now: Instant) {
        let PingedWorker { estimate, pinger } = self.workers.entry(worker).or_default();
        match *report {
            Report::Pong { id, lag_ns } => {
                if let Some(round_trip) = pinger.pong(now, id) {
                    estimate.observe_ping(now, round_trip.max(lag_ns));
                }
            }
            Report::Latency { ns, requests } => {
                estimate.observe_many(now, ns, requests);
                pinger.spoke(now);
            }
            Report::Ready | Report::Disconnect => pinger.spoke(now),
        }
        self.ping_at = pinger.due_at().map_or(self.ping_at, |at| at.min(self.ping_at));
    }

    /// The pings that are due, with their ids. Once the first is due, those that are nearly due go with it.
    pub(super) fn pings(&mut self, now: Instant) -> Vec<(WorkerId, u64)> {
        if now < self.ping_at {
            return Vec::new();
        }
        let due = |(id, worker): (&WorkerId, &mut PingedWorker)| Some((*id, worker.pinger.due(now, TOGETHER)?));
        let pings = self.workers.iter_mut().filter_map(due).collect();
        self.ping_at = self.workers.values().filter_map(|worker| worker.pinger.due_at()).min().unwrap_or(NEVER);
        pings
    }

    /// A worker's estimate, and since when it owes an answer to a ping.
    pub(super) fn of(&self, worker: WorkerId) -> Option<(&Estimate, Option<Instant>)> {
        self.workers.get(&worker).map(|worker| (&worker.estimate, worker.pinger.outstanding()))
    }

    pub(super) fn forget(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PONG: Report = Report::Pong { id: 0, lag_ns: 0 };

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn asked(estimates: &mut Estimates, ms: u64) -> Vec<u64> {
        let mut asked: Vec<u64> = estimates.pings(at(ms)).into_iter().map(|(worker, _)| worker.0).collect();
        asked.sort_unstable();
        asked
    }

    #[test]
    fn those_that_are_nearly_due_are_asked_with_the_first_and_keep_step() {
        let mut estimates = Estimates::default();
        for (worker, ms) in [(0, 0), (1, 40)] {
            estimates.on_report(WorkerId(worker), &Report::Ready, at(ms));
            assert_eq!(asked(&mut estimates, ms), [worker]);
            estimates.on_report(WorkerId(worker), &PONG, at(ms));
        }
        assert_eq!(asked(&mut estimates, 99), [0; 0]);
        assert_eq!(asked(&mut estimates, 100), [0, 1], "the second is due at 140");
        for worker in [0, 1] {
            estimates.on_report(WorkerId(worker), &Report::Pong { id: 1, lag_ns: 0 }, at(101 + worker));
        }
        assert_eq!(asked(&mut estimates, 200), [0; 0]);
        assert_eq!(asked(&mut estimates, 201), [0, 1]);
        // Without an answer they are asked again two seconds later.
        assert_eq!(asked(&mut estimates, 2_200), [0; 0]);
        assert_eq!(asked(&mut estimates, 2_201), [0, 1]);
    }

    #[test]
    fn one_that_is_forgotten_is_asked_no_more_and_a_new_one_at_once() {
        let mut estimates = Estimates::default();
        estimates.on_report(WorkerId(0), &Report::Ready, at(0));
        estimates.forget(WorkerId(0));
        assert_eq!((asked(&mut estimates, 0).len(), estimates.of(WorkerId(0)).is_none()), (0, true));
        estimates.on_report(WorkerId(1), &Report::Disconnect, at(1));
        assert_eq!(asked(&mut estimates, 1), [1]);
    }

    #[test]
    fn who_has_answered_once_owes_the_next_answer() {
        let mut estimates = Estimates::default();
        let owed = |estimates: &Estimates| estimates.of(WorkerId(0)).and_then(|(_, owed)| owed);
        estimates.on_report(WorkerId(0), &Report::Ready, at(0));
        estimates.pings(at(0));
        assert_eq!(owed(&estimates), None, "it may not know of pings");
        estimates.on_report(WorkerId(0), &PONG, at(5));
        estimates.pings(at(105));
        assert_eq!(owed(&estimates), Some(at(105)));
        estimates.on_report(WorkerId(0), &Report::Latency { ns: 1, requests: 1 }, at(200));
        assert_eq!(owed(&estimates), Some(at(200)), "it is not silent");
    }
}
