//! Who waits in line, who is free, and who is handed over: pure. What the selector decides on the way in is
//! [`llb_common::line`]; sockets, clocks and books are [`crate::engine`]'s.

pub(crate) mod auto;
pub(crate) mod places;

use std::collections::BTreeMap;

use llb_common::{
    line::is_free,
    select::{Load, clearly_better, expected_ns},
};

use crate::model::{Instant, Seat};

/// A place that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The group's index.
    pub group: u32,
    /// The place in its line.
    pub place: u32,
    /// Since when.
    pub since: Instant,
    /// What is known of who waits there.
    pub standing: Standing,
}

/// What is known of who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The handshake is under way: a listener that ends meanwhile resets it.
    Coming,
    /// It can be handed over.
    Waiting,
    /// The client has reset the connection.
    Gone,
}

/// A worker's seat, as the line sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// The seat.
    pub seat: Seat,
    /// What the choice goes by.
    pub load: Load,
    /// What it is certain to have: requests that have begun, or what was handed to it and has not been answered. The load has
    /// charges besides, of clients who may never come.
    pub certain: u64,
}

/// To whom somebody goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The worker's seat.
    pub seat: Seat,
    /// Whether nothing but llb has kept them apart: the worker is free, and none is likely to answer sooner.
    pub is_awaited: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Who waits goes to a worker.
    HandOver(Choice),
    /// The place is free again: nobody has come.
    TakeBack,
    /// Nobody is to answer who has gone.
    SeeOff,
}

/// How long a charge keeps a free worker from those who wait, ns: it lives for 10 to 20 ms where clients are near. Without an
/// end a flood of handshakes that are never completed would keep the line from moving.
const CHARGES_COUNT_FOR_NS: u64 = 30_000_000;

/// What one turn goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many requests a worker serves at once.
    pub concurrency: u32,
    /// How long a handshake may take.
    pub patience_ns: u64,
    /// Where to begin to look, so that equal workers take turns.
    pub turn: usize,
}

/// The part of a group's places that is kept free, a quarter. Who finds none waits at a worker, before all who are in line: at a
/// thousand newcomers a second these are enough for 64 ms in which llb is kept from its processor.
const KEPT_FREE: usize = 4;

/// What to do about everybody who waits: first come, first served, so that nobody goes before one of his group for whom none is
/// free. `candidates` are a group's, `places` is how many it has. Of more than these hold the first go to wait at workers.
pub(crate) fn decide(
    mut waiters: Vec<Waiter>,
    mut candidates: impl FnMut(u32) -> Vec<Candidate>,
    places: impl Fn(u32) -> usize,
    rules: Rules,
    now: Instant,
) -> Vec<(Waiter, Step)> {
    waiters.sort_by_key(|waiter| waiter.since);
    let mut left: BTreeMap<u32, usize> = BTreeMap::new();
    waiters.iter().for_each(|waiter| *left.entry(waiter.group).or_default() += 1);
    let mut known: BTreeMap<u32, Vec<Candidate>> = BTreeMap::new();
    let (mut taken, mut held_up): (Vec<Seat>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut steps = Vec::new();
    let mut behind = waiters.iter().filter(|waiter| waiter.standing == Standing::Waiting).count();
    for waiter in waiters {
        let age = now.since(waiter.since);
        match waiter.standing {
            Standing::Gone => steps.push((waiter, Step::SeeOff)),
            Standing::Coming if age > rules.patience_ns => steps.push((waiter, Step::TakeBack)),
            Standing::Coming => {}
            Standing::Waiting => {
                behind -= 1;
                if held_up.contains(&waiter.group) {
                    continue;
                }
                let mut all = known.entry(waiter.group).or_insert_with(|| candidates(waiter.group)).clone();
                for candidate in &mut all {
                    let more = taken.iter().filter(|seat| **seat == candidate.seat).count() as u64;
                    candidate.load.requests += more;
                    candidate.certain += more;
                    if age > CHARGES_COUNT_FOR_NS {
                        candidate.load.requests = candidate.certain;
                    }
                }
                let (left, places) = (left.entry(waiter.group).or_default(), places(waiter.group));
                let is_full = *left > places - places / KEPT_FREE;
                let make_room = || {
                    let best = best(all.iter(), now).filter(|_| is_full)?;
                    Some(Choice { seat: best.seat, is_awaited: false })
                };
                match pick(&all, behind as u64, rules, now).or_else(make_room) {
                    Some(choice) => {
                        *left -= 1;
                        taken.push(choice.seat);
                        steps.push((waiter, Step::HandOver(choice)));
                    }
                    None => held_up.push(waiter.group),
                }
            }
        }
    }
    steps
}

/// The free seat that is to have who waits: the best of them, unless a busy one is likely to answer sooner, also after those
/// `behind`.
fn pick(all: &[Candidate], behind: u64, rules: Rules, now: Instant) -> Option<Choice> {
    let (before, from) = all.split_at(rules.turn % all.len().max(1));
    let in_turn = || from.iter().chain(before);
    let free = best(in_turn().filter(|candidate| is_free(candidate.load.held(), rules.concurrency)), now)?;
    let best = best(in_turn(), now)?;
    let others = behind.saturating_mul(best.load.cost_ns) / all.len() as u64;
    let (soon, soonest) = (expected(free, now), expected(best, now));
    let choice = Choice { seat: free.seat, is_awaited: !clearly_better(soonest, soon) };
    (soon <= soonest.saturating_add(others)).then_some(choice)
}

/// The one that is likely to answer first; of those that are near each other the first.
fn best<'a>(mut candidates: impl Iterator<Item = &'a Candidate>, now: Instant) -> Option<&'a Candidate> {
    let first = candidates.next()?;
    let better = |best, next| if clearly_better(expected(next, now), expected(best, now)) { next } else { best };
    Some(candidates.fold(first, better))
}

fn expected(candidate: &Candidate, now: Instant) -> u64 {
    expected_ns(candidate.load, now.0)
}

#[cfg(test)]
mod tests;
