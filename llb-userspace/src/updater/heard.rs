//! What workers have said, and when they are asked.

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

/// Of those that have said something.
#[derive(Debug)]
pub(super) struct Heard {
    workers: HashMap<WorkerId, Said>,
    /// No ping is due before.
    ping_at: Instant,
}

#[derive(Debug, Default)]
struct Said {
    estimate: Estimate,
    pinger: Pinger,
}

impl Default for Heard {
    fn default() -> Self {
        Heard { workers: HashMap::new(), ping_at: NEVER }
    }
}

impl Heard {
    pub(super) fn hear(&mut self, worker: WorkerId, report: &Report, now: Instant) {
        let Said { estimate, pinger } = self.workers.entry(worker).or_default();
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

    /// Who is to be asked, with the ping's id: whoever is due within a while, once the first one is.
    pub(super) fn pings(&mut self, now: Instant) -> Vec<(WorkerId, u64)> {
        if now < self.ping_at {
            return Vec::new();
        }
        let due = |(worker, said): (&WorkerId, &mut Said)| Some((*worker, said.pinger.due(now, TOGETHER)?));
        let pings = self.workers.iter_mut().filter_map(due).collect();
        self.ping_at = self.workers.values().filter_map(|said| said.pinger.due_at()).min().unwrap_or(NEVER);
        pings
    }

    /// What a worker's reports make of it, and since when it owes an answer to a ping.
    pub(super) fn of(&self, worker: WorkerId) -> Option<(&Estimate, Option<Instant>)> {
        self.workers.get(&worker).map(|said| (&said.estimate, said.pinger.outstanding()))
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

    fn asked(heard: &mut Heard, ms: u64) -> Vec<u64> {
        let mut asked: Vec<u64> = heard.pings(at(ms)).into_iter().map(|(worker, _)| worker.0).collect();
        asked.sort_unstable();
        asked
    }

    #[test]
    fn those_that_are_nearly_due_are_asked_with_the_first_and_keep_step() {
        let mut heard = Heard::default();
        for (worker, ms) in [(0, 0), (1, 40)] {
            heard.hear(WorkerId(worker), &Report::Ready, at(ms));
            assert_eq!(asked(&mut heard, ms), [worker]);
            heard.hear(WorkerId(worker), &PONG, at(ms));
        }
        assert_eq!(asked(&mut heard, 99), [0; 0]);
        assert_eq!(asked(&mut heard, 100), [0, 1], "the second is due at 140");
        for worker in [0, 1] {
            heard.hear(WorkerId(worker), &Report::Pong { id: 1, lag_ns: 0 }, at(101 + worker));
        }
        assert_eq!(asked(&mut heard, 200), [0; 0]);
        assert_eq!(asked(&mut heard, 201), [0, 1]);
        // Without an answer they are asked again two seconds later.
        assert_eq!(asked(&mut heard, 2_200), [0; 0]);
        assert_eq!(asked(&mut heard, 2_201), [0, 1]);
    }

    #[test]
    fn one_that_is_forgotten_is_asked_no_more_and_a_new_one_at_once() {
        let mut heard = Heard::default();
        heard.hear(WorkerId(0), &Report::Ready, at(0));
        heard.forget(WorkerId(0));
        assert_eq!((asked(&mut heard, 0).len(), heard.of(WorkerId(0)).is_none()), (0, true));
        heard.hear(WorkerId(1), &Report::Disconnect, at(1));
        assert_eq!(asked(&mut heard, 1), [1]);
    }

    #[test]
    fn who_has_answered_once_owes_the_next_answer() {
        let mut heard = Heard::default();
        let owed = |heard: &Heard| heard.of(WorkerId(0)).and_then(|(_, owed)| owed);
        heard.hear(WorkerId(0), &Report::Ready, at(0));
        heard.pings(at(0));
        assert_eq!(owed(&heard), None, "it may not know of pings");
        heard.hear(WorkerId(0), &PONG, at(5));
        heard.pings(at(105));
        assert_eq!(owed(&heard), Some(at(105)));
        heard.hear(WorkerId(0), &Report::Latency { ns: 1, requests: 1 }, at(200));
        assert_eq!(owed(&heard), Some(at(200)), "it is not silent");
    }
}
