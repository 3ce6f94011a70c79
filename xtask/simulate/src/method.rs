//! The ways to choose a worker that are compared.

use llb_common::policy::Policy;

use llb_kit::random::Random;

use super::{MS, SECOND, books::Books};

/// How the worker of a connection is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The ideal: one queue from which every free worker takes. No choice at connection time can beat it with equal
    /// workers, because a choice cannot be taken back.
    Central,
    /// One of llb's policies, by `llb_common::select::choose`, with a table published every so many ns.
    Llb(Policy, u64),
    /// The one with fewer requests of two drawn at random (Mitzenmacher, 2001).
    TwoChoices,
    /// The one with the lower load of two, by Finagle's peak-sensitive moving average of latencies.
    PeakEwma,
}

/// How often userspace publishes, ns: `llb-userspace/src/updater/mod.rs`.
const EVERY: u64 = 10 * MS;

/// All that are compared; the ideal first, as the others are told in its terms.
pub(super) const ALL: [Method; 10] = [
    Method::Central,
    Method::Llb(Policy::LeastLatency, EVERY),
    Method::Llb(Policy::LeastInflight, EVERY),
    Method::TwoChoices,
    Method::PeakEwma,
    Method::Llb(Policy::RoundRobin, EVERY),
    Method::Llb(Policy::Hash, EVERY),
    Method::Llb(Policy::Argmin, MS),
    Method::Llb(Policy::Argmin, 10 * MS),
    Method::Llb(Policy::Argmin, 100 * MS),
];

impl Method {
    pub(super) fn name(self) -> String {
        match self {
            Method::Central => "central queue".into(),
            Method::Llb(Policy::Argmin, every) => format!("argmin, {} ms", every / MS),
            Method::Llb(policy, _) => policy.name().into(),
            Method::TwoChoices => "p2c".into(),
            Method::PeakEwma => "peak-ewma".into(),
        }
    }

    pub(super) fn publishes_every(self) -> Option<u64> {
        match self {
            Method::Llb(_, every) => Some(every),
            Method::Central | Method::TwoChoices | Method::PeakEwma => None,
        }
    }

    /// The seat for a connection.
    pub(super) fn choose(self, books: &mut Books, peaks: &[Peak], random: &mut Random, now: u64) -> u32 {
        match self {
            Method::Llb(policy, _) => books.choose(policy, random.any_u32(), now).unwrap_or_else(|| any(books, random)),
            Method::TwoChoices => of_two(books, random, |books, seat| books.requests(seat, now) as f64),
            Method::PeakEwma => {
                of_two(books, random, |books, seat| peaks[seat as usize].load(books.requests(seat, now), now))
            }
            Method::Central => unreachable!("a central queue does not choose"),
        }
    }
}

fn any(books: &Books, random: &mut Random) -> u32 {
    books.members[below(random, books.members.len())]
}

fn below(random: &mut Random, count: usize) -> usize {
    random.below(count as u64) as usize
}

fn of_two(books: &Books, random: &mut Random, load: impl Fn(&Books, u32) -> f64) -> u32 {
    let count = books.members.len();
    let first = below(random, count);
    let second = if count > 1 { (first + 1 + below(random, count - 1)) % count } else { first };
    let (first, second) = (books.members[first], books.members[second]);
    if load(books, second) < load(books, first) { second } else { first }
}

/// A latency that rises at once and sinks slowly: Finagle's `PeakEwma`, with its constants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    cost_ns: f64,
    at: u64,
}

/// Time in which an old latency sinks to 1/e of its weight, ns.
const TAU: f64 = 10.0 * SECOND as f64;

/// What a request costs at a seat of which nothing is known and which has requests already, ns.
const PENALTY: f64 = 65_535.0 * SECOND as f64;

impl Peak {
    pub(super) fn observe(&mut self, latency_ns: u64, now: u64) {
        let latency = latency_ns as f64;
        let keep = (-((now - self.at) as f64) / TAU).exp();
        self.cost_ns = if latency > self.cost_ns { latency } else { self.cost_ns * keep + latency * (1.0 - keep) };
        self.at = now;
    }

    fn load(self, requests: u64, now: u64) -> f64 {
        let keep = (-((now - self.at) as f64) / TAU).exp();
        let cost = self.cost_ns * keep;
        if cost == 0.0 && requests != 0 { PENALTY } else { cost * (requests + 1) as f64 }
    }
}
