//! Why a connection went where it went: what `llb why` shows of each choice. The kernel notes what a choice has read; here the
//! choice is made again from that, by the same code, and each worker gets a verdict.

mod replay;
mod text;

use llb_common::{
    outcome::Outcome,
    policy::Policy,
    select::{Load, NOT_SERVING, expected_ns},
    why::{LINED_UP, MOVING, Sample},
};
use serde::{Deserialize, Serialize};

pub(crate) use text::report;

use replay::{Path, Replay};

/// A worker, by its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatedWorker {
    pub slot: u32,
    pub pid: u32,
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Since choices are noted, ms.
    pub at_ms: f64,
    /// The address that the connection came to; none if the choice did not come so far.
    pub address: Option<String>,
    /// What it counts as: `llb_common::outcome`.
    pub outcome: String,
    /// Why it went where it went.
    pub reason: Reason,
    /// Whether it had waited elsewhere.
    pub moved: bool,
    /// The slot that got it; none if it was left to the kernel's hash, or waits in line.
    pub slot: Option<u32>,
    /// Its worker.
    pub pid: Option<u32>,
    /// All that it could have gone to, by slot.
    pub workers: Vec<Considered>,
}

/// A worker that a connection could have gone to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Considered {
    pub slot: u32,
    pub pid: u32,
    /// What the choice made of it.
    pub verdict: Verdict,
    /// When it would have answered, µs.
    pub expected_us: f64,
    /// What one request costs it, µs; 0 if that is not known.
    pub cost_us: f64,
    /// Requests that it was given and connections that are on their way to it.
    pub requests: u64,
    /// Requests that it holds without being held up by them.
    pub parked: u64,
    /// How many of these may hold it up after all, as no worker has been seen to serve others beside so many.
    pub unproven: u64,
    /// For how long it has had requests and answered none, µs.
    pub silent_us: Option<f64>,
}

/// Why a connection went where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The worker was idle, and none is clearly faster.
    Idle,
    /// The worker is awake, and answers its next request sooner than one that has to be woken.
    Awake,
    /// It is expected to answer soonest.
    Least,
    /// It was its turn, as the policy says.
    Turn,
    /// It is the published least-latency worker, as the policy says.
    Published,
    /// Its client's slot.
    Sticky,
    /// It waits in line.
    Waits,
    /// It waited, and this worker became free.
    HandedOver,
    /// Left to the kernel's hash.
    Hash,
    /// Another choice was made at the same moment: what was read was no longer so.
    Raced,
}

impl Reason {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Reason::Idle => "idle",
            Reason::Awake => "awake",
            Reason::Least => "least expected",
            Reason::Turn => "its turn",
            Reason::Published => "published as least",
            Reason::Sticky => "its client's slot",
            Reason::Waits => "nobody free: waits in line",
            Reason::HandedOver => "free: handed over from the line",
            Reason::Hash => "left to the kernel's hash",
            Reason::Raced => "raced with another choice",
        }
    }
}

/// What a choice made of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Took it.
    Taken,
    /// Saw that it is busy, while another is idle.
    Busy,
    /// Looked at its load: another is expected to answer sooner, or as soon.
    Later,
    /// Saw that it is idle; another idle one was drawn.
    NotDrawn,
    /// Saw that it is idle; an idle one with fewer open connections was there.
    MoreOpen,
    /// Saw that it is idle; it costs clearly more than another idle one.
    Dearer,
    /// Did not look at it.
    NotLookedAt,
}

impl Verdict {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Verdict::Taken => "taken",
            Verdict::Busy => "busy",
            Verdict::Later => "later",
            Verdict::NotDrawn => "not drawn",
            Verdict::MoreOpen => "more open",
            Verdict::Dearer => "dearer",
            Verdict::NotLookedAt => "not looked at",
        }
    }
}

/// What was seen in a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The fleet's name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// For how long, ms.
    pub for_ms: f64,
    /// How many choices the selector made meanwhile.
    pub made: u64,
    /// Those that were noted, oldest first.
    pub choices: Vec<Choice>,
}

/// What a choice was made of, in words. `seated` says who sits where, `address` where the group is.
pub(crate) fn explain(
    sample: &Sample,
    since_ns: u64,
    seated: impl Fn(u32) -> Option<SeatedWorker>,
    address: Option<String>,
) -> Choice {
    let outcome = Outcome::ALL.get(sample.outcome as usize).copied().unwrap_or(Outcome::FallbackMap);
    let replay = Replay::of(sample);
    let taken = (outcome.is_chosen()).then_some(sample.seat);
    let reason = reason(sample, outcome, &replay);
    let looks = &sample.looks[..sample.count as usize];
    let mut workers: Vec<Considered> = looks
        .iter()
        .filter_map(|look| {
            let SeatedWorker { slot, pid } = seated(look.seat)?;
            let verdict = if taken == Some(look.seat) { Verdict::Taken } else { replay.verdict(look.seat, sample) };
            Some(considered(slot, pid, verdict, weighed(look.load(), sample.flags), sample.at))
        })
        .collect();
    workers.sort_by_key(|worker| (worker.slot, worker.pid));
    let to = taken.and_then(seated);
    Choice {
        at_ms: sample.at.saturating_sub(since_ns) as f64 / 1e6,
        address: address.filter(|_| sample.count > 0),
        outcome: outcome.name().to_owned(),
        reason,
        moved: sample.flags & MOVING != 0,
        slot: to.map(|to| to.slot),
        pid: to.map(|to| to.pid),
        workers,
    }
}

/// Where there is a line nobody waits at a worker, be it as awake as it may.
fn weighed(load: Load, flags: u32) -> Load {
    Load { queued_ns: if flags & LINED_UP != 0 { 0 } else { load.queued_ns }, ..load }
}

fn considered(slot: u32, pid: u32, verdict: Verdict, load: Load, now: u64) -> Considered {
    let us = |ns: u64| ns as f64 / 1e3;
    Considered {
        slot,
        pid,
        verdict,
        expected_us: us(expected_ns(load, now)),
        cost_us: us(load.cost_ns),
        requests: load.requests,
        parked: load.parked,
        unproven: load.unproven,
        silent_us: (load.since != NOT_SERVING).then(|| us(now.saturating_sub(load.since))),
    }
}

fn reason(sample: &Sample, outcome: Outcome, replay: &Replay) -> Reason {
    match outcome {
        Outcome::Sticky => return Reason::Sticky,
        Outcome::Waits => return Reason::Waits,
        Outcome::HandedOver => return Reason::HandedOver,
        // Migrated ones become that after the choice.
        Outcome::First | Outcome::PassedOver | Outcome::Migrated => {}
        _ => return Reason::Hash,
    }
    match Policy::from_u32(sample.policy) {
        _ if sample.count == 0 => Reason::Sticky,
        // Its client's slot, or its turn that another CPU has taken meanwhile.
        _ if replay.seat != Some(sample.seat) => Reason::Raced,
        Policy::Hash => Reason::Hash,
        Policy::RoundRobin => Reason::Turn,
        Policy::Argmin if sample.seat == sample.least => Reason::Published,
        Policy::Argmin => Reason::Turn,
        Policy::LeastLatency | Policy::LeastInflight => match replay.path {
            Path::Drawn => Reason::Idle,
            Path::Awake => Reason::Awake,
            Path::Searched => Reason::Least,
        },
    }
}

#[cfg(test)]
mod tests;
