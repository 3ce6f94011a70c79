//! The answer to HAProxy's agent-check (`--agent`), for a balancer above this machine: how much of its weight the fleet can take.
//!
//! The weight follows the free workers: a host with half as many free ones gets half as many new connections. It is damped twice. A
//! running mean takes out what a single request does, and a limit on the rise keeps hosts from being flooded as soon as they say
//! that they are free. The answer changes by whole steps only, so that it does not flap.
//!
//! `Headroom` is pure: a sample and the time in, words out. `listen` answers whoever connects.

mod listen;

use std::time::Duration;

pub(crate) use listen::AgentError;
pub(crate) use listen::{Listener, serve};

use crate::model::Instant;

/// How often a sample is taken: often enough to see most requests of 100 ms.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// After so long a change counts for two thirds: a balancer asks every two seconds or so, and must see what its last change has
/// done before it sees the next.
const SETTLES_NS: f64 = 2e9;

/// The weight rises by so many points a second at most. It falls as fast as the mean.
const RISE_PER_S: f64 = 15.0;

/// The answer changes in steps of so many points.
const STEP: f64 = 5.0;

/// The least that is answered while anybody serves: if all hosts said 0, the balancer would refuse its clients.
const LEAST: f64 = 1.0;

/// How long after the start the answer also says that the host is no longer drained, as the master before may have said that it is.
/// Later that is the balancer's operator's to say.
const READY_FOR: Duration = Duration::from_secs(60);

/// The fleet as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Slots that have, or are to have, a worker.
    pub slots: u32,
    /// Workers that take new connections.
    pub serving: u32,
    /// Workers that finish what they hold.
    pub draining: u32,
    /// Of those that serve, those that are busy.
    pub busy: u32,
    /// Connections that wait: in line, or behind a worker's request.
    pub waiting: u64,
    /// Whether the fleet is ending.
    pub is_ending: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nobody serves.
    Down,
    /// What is there is finished, and nothing new is to come.
    Drain,
    /// Percent of the weight that the balancer's operator has given to this host.
    Up { percent: u32, is_new: bool },
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Word::Down => f.write_str("down"),
            Word::Drain => f.write_str("drain"),
            Word::Up { percent, is_new: true } => write!(f, "ready up {percent}%"),
            Word::Up { percent, is_new: false } => write!(f, "up {percent}%"),
        }
    }
}

/// How much the fleet can take, over time.
#[derive(Debug)]
pub(crate) struct Headroom {
    began: Instant,
    sampled_at: Option<Instant>,
    last: Sample,
    /// The running mean, points.
    mean: f64,
    /// What it may be by now, points.
    weight: f64,
    /// The last answer, in points.
    told: f64,
}

impl Headroom {
    pub(crate) fn new(now: Instant) -> Self {
        Headroom { began: now, sampled_at: None, last: Sample::default(), mean: 0.0, weight: 0.0, told: 0.0 }
    }

    /// Whether it is time for another sample.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.sampled_at.is_none_or(|at| now >= at.after(SAMPLE_EVERY))
    }

    /// Takes a sample.
    pub(crate) fn sample(&mut self, sample: Sample, now: Instant) {
        let was_serving = self.last.serving > 0;
        self.last = sample;
        let passed_ns = self.sampled_at.map(|at| now.since(at) as f64);
        self.sampled_at = Some(now);
        if sample.serving == 0 {
            return;
        }
        let free = points(sample);
        // A fleet that has just come up is cold: it begins at what half of its workers could take.
        let Some(passed_ns) = passed_ns.filter(|_| was_serving) else {
            (self.mean, self.weight) = (free, free.min(50.0));
            self.told = step(self.weight);
            return;
        };
        self.mean += (free - self.mean) * (1.0 - (-passed_ns / SETTLES_NS).exp());
        self.weight = self.mean.min(self.weight + RISE_PER_S * passed_ns / 1e9);
        // By more than half a step, so that a value on the border between two stays where it is.
        if (self.weight - self.told).abs() > 0.75 * STEP {
            self.told = step(self.weight);
        }
    }

    /// The answer at `now`.
    pub(crate) fn word(&self, now: Instant) -> Word {
        match self.last {
            Sample { is_ending: true, .. } => Word::Drain,
            Sample { serving: 0, draining: 1.., .. } => Word::Drain,
            Sample { serving: 0, .. } => Word::Down,
            _ => Word::Up { percent: self.told as u32, is_new: now < self.began.after(READY_FOR) },
        }
    }
}

/// The share of all workers that are free, less the connections that wait for one, in points.
fn points(Sample { slots, serving, busy, waiting, .. }: Sample) -> f64 {
    let free = f64::from(serving) - f64::from(busy) - waiting as f64;
    (100.0 * free / f64::from(slots.max(serving))).clamp(LEAST, 100.0)
}

fn step(points: f64) -> f64 {
    ((points / STEP).round() * STEP).max(LEAST)
}

#[cfg(test)]
mod tests;
