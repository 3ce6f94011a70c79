//! One round: every peer once with the same requests, the ideal for those requests, and the verdict on the machine.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::arrivals::{Arrival, poisson};
use super::fleet::{Bench, Fleet};
use super::peer::Peer;
use super::quantiles::{Quantiles, median};
use super::scenario::{CLIENTS, RATE, Scenario};
use super::{closed, ideal, load};

/// Load that is not measured: every worker has been touched and llb has seen it answer.
const WARM_UP: Duration = Duration::from_millis(500);

/// A good machine keeps the shared queue's p99 below so many times the ideal's, and 5 ms: a wake-up late by a few
/// scheduler ticks is no bad minute.
const CONTROL_TIMES: u64 = 2;
const CONTROL_MORE_NS: u64 = 5_000_000;

/// No work has no ideal: there a good machine gives the shared queue at least this part of its usual connections.
const CONTROL_PART: f64 = 0.7;

/// A good machine lets the load generator begin 99 of 100 requests within this time of when they were due. The generator
/// waits for nobody, so its lateness is the machine's, at the very time at which a peer was measured.
const LATE_MAX_NS: u64 = 5_000_000;

/// So often a peer is measured in a round until the generator was on time.
const TRIES: usize = 2;

/// What a peer did in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) peer: Peer,
    pub(super) latency: Quantiles,
    /// Answers a second.
    pub(super) per_second: f64,
    pub(super) requests: usize,
    pub(super) failed: usize,
    /// How late the generator began its requests, p99, ns.
    pub(super) late_p99: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) seed: u64,
    /// What the short requests would have seen in one ideal queue; none for no work.
    pub(super) ideal: Option<Quantiles>,
    pub(super) measured: Vec<Measured>,
    /// Measurements that were made again because the generator was late.
    pub(super) repeated: usize,
}

impl Round {
    /// Measures every peer, a different one first in each round: what the machine does at the time must not always
    /// hit the same one.
    pub(super) fn run(bench: &Bench, scenario: Scenario, peers: &[Peer], seed: u64, quick: bool) -> Result<Self> {
        let duration = scenario.duration(quick);
        let arrivals = poisson(RATE, duration, seed);
        let mut order = peers.to_vec();
        order.rotate_left(seed as usize % peers.len());
        let mut repeated = 0;
        let mut measured = Vec::new();
        for peer in order {
            let once = || {
                let measured = measure(bench, scenario, peer, &arrivals, duration);
                measured.with_context(|| format!("{} in {}", peer.name(), scenario.name()))
            };
            let mut last = once()?;
            for _ in 1..TRIES {
                if last.late_p99 > LATE_MAX_NS {
                    repeated += 1;
                    last = once()?;
                }
            }
            measured.push(last);
        }
        let ideal = (scenario != Scenario::Cheap).then(|| ideal::quantiles(&arrivals, &scenario.slowness()));
        Ok(Self { seed, ideal, measured, repeated })
    }

    pub(super) fn of(&self, peer: Peer) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.peer == peer)
    }
}

fn measure(
    bench: &Bench,
    scenario: Scenario,
    peer: Peer,
    arrivals: &[Arrival],
    duration: Duration,
) -> Result<Measured> {
    let fleet = Fleet::start(bench, peer, scenario)?;
    // Other requests than the measured ones, and no long ones: they would outlast the warm-up.
    let mut warm_up = poisson(RATE, WARM_UP, u64::MAX);
    warm_up.retain(Arrival::is_short);
    if load::run(fleet.addr, warm_up)?.iter().all(|outcome| outcome.latency_ns.is_none()) {
        bail!("nobody answers at {}", fleet.addr);
    }
    if scenario == Scenario::Cheap {
        let seen = closed::run(fleet.addr, CLIENTS, duration);
        let answered = seen.latencies.len();
        return Ok(Measured {
            peer,
            latency: Quantiles::of(seen.latencies),
            per_second: answered as f64 / duration.as_secs_f64(),
            requests: answered + seen.failed,
            failed: seen.failed,
            late_p99: 0,
        });
    }
    Ok(of_outcomes(peer, &load::run(fleet.addr, arrivals.to_vec())?, duration))
}

/// A request without an answer counts as one of the timeout: a refusal is not a fast answer.
fn of_outcomes(peer: Peer, outcomes: &[load::Outcome], duration: Duration) -> Measured {
    let given_up = load::TIMEOUT.as_nanos() as u64;
    let short = outcomes.iter().filter(|outcome| outcome.arrival.is_short());
    let failed = outcomes.iter().filter(|outcome| outcome.latency_ns.is_none()).count();
    Measured {
        peer,
        latency: Quantiles::of(short.map(|outcome| outcome.latency_ns.unwrap_or(given_up)).collect()),
        per_second: (outcomes.len() - failed) as f64 / duration.as_secs_f64(),
        requests: outcomes.len(),
        failed,
        late_p99: Quantiles::of(outcomes.iter().map(|outcome| outcome.late_ns).collect()).p99,
    }
}

/// The rounds in which the machine was quiet enough to compare anything.
pub(super) fn good(rounds: &[Round]) -> Vec<&Round> {
    let shared = |round: &Round| round.of(Peer::Shared).copied();
    let usual = median(rounds.iter().filter_map(shared).map(|shared| shared.per_second).collect());
    let on_time = |round: &Round| round.measured.iter().all(|measured| measured.late_p99 <= LATE_MAX_NS);
    let is_good = |round: &&Round| match (shared(round), round.ideal) {
        _ if !on_time(round) => false,
        (Some(shared), Some(ideal)) => shared.latency.p99 <= CONTROL_TIMES * ideal.p99 + CONTROL_MORE_NS,
        (Some(shared), None) => shared.per_second >= CONTROL_PART * usual,
        (None, _) => false,
    };
    rounds.iter().filter(is_good).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn round(ideal_p99: Option<u64>, p99: u64, per_second: f64) -> Round {
        let latency = Quantiles { p99, ..Quantiles::default() };
        let shared = Measured { peer: Peer::Shared, latency, per_second, requests: 1, failed: 0, late_p99: 0 };
        let ideal = ideal_p99.map(|p99| Quantiles { p99, ..Quantiles::default() });
        Round { seed: 1, ideal, measured: vec![shared], repeated: 0 }
    }

    #[test]
    fn a_round_whose_control_is_far_from_its_ideal_is_thrown_away() {
        let rounds = [round(Some(7 * MS), 19 * MS, 0.0), round(Some(7 * MS), 20 * MS, 0.0)];
        let good = good(&rounds);
        assert_eq!(good.iter().map(|round| round.measured[0].latency.p99).collect::<Vec<_>>(), [19 * MS]);
    }

    #[test]
    fn a_round_in_which_the_generator_was_late_for_anybody_is_thrown_away() {
        let mut late = round(Some(7 * MS), 8 * MS, 0.0);
        late.measured.push(Measured { peer: Peer::Nginx, late_p99: 6 * MS, ..late.measured[0] });
        assert!(good(&[late]).is_empty());
    }

    #[test]
    fn without_work_a_round_is_held_against_the_others() {
        let rounds = [round(None, 1, 30_000.0), round(None, 1, 28_000.0), round(None, 1, 9_000.0)];
        assert_eq!(good(&rounds).len(), 2);
        assert_eq!(good(&rounds[2..]).len(), 1, "one round has nothing to be held against");
    }

    #[test]
    fn what_fails_counts_as_given_up() {
        let arrival = Arrival { due_ns: 0, work_ms: super::super::arrivals::SHORT_MS };
        let outcome = |latency_ns| load::Outcome { arrival, late_ns: 7, latency_ns };
        let measured = of_outcomes(Peer::Plain, &[outcome(None), outcome(Some(5))], Duration::from_secs(1));
        assert_eq!((measured.failed, measured.latency.p50, measured.late_p99), (1, 5, 7));
        assert_eq!(measured.latency.p99, 3_000 * MS);
    }
}
