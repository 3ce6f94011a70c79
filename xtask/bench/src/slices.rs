//! Closed loops: all fleets are up, and take turns in short slices, so that whatever the machine does hits all of them.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::closed_loop;
use super::fleet::{Bench, Fleet};
use super::measured::Measured;
use super::peer::Peer;
use super::spec::Spec;

/// How long one is measured at a time. /proc/stat counts in 10 ms, so much shorter ones would tell nothing of CPU time.
const SLICE: Duration = Duration::from_millis(250);

pub(super) fn run(
    bench: &Bench,
    spec: &Spec,
    peers: &[Peer],
    clients: usize,
    requests_each: usize,
) -> Result<Vec<Measured>> {
    let mut fleets = Vec::new();
    for peer in peers {
        let fleet = Fleet::start(bench, *peer, spec)?;
        // Every worker has been touched, and llb has seen it answer.
        if closed_loop::run(fleet.addr, clients, requests_each, SLICE)?.latencies.is_empty() {
            bail!("nobody answers at {}, {}", fleet.addr, peer.name());
        }
        fleet.rest(true);
        fleets.push((*peer, fleet, Vec::new()));
    }
    let turns = spec.duration.as_millis().div_ceil(SLICE.as_millis()).max(1) as usize;
    for turn in 0..turns {
        // There and back again: of two neighbours each comes first once.
        let there = turn % 2 == 0;
        for at in 0..fleets.len() {
            let at = if there { at } else { fleets.len() - 1 - at };
            let (peer, fleet, slices) = &mut fleets[at];
            fleet.rest(false);
            let slice = closed_loop::run(fleet.addr, clients, requests_each, SLICE).with_context(|| peer.name());
            fleet.rest(true);
            slices.push(slice?);
        }
    }
    Ok(fleets.into_iter().map(|(peer, _fleet, slices)| Measured::of_slices(peer, &slices)).collect())
}
