//! One round: every peer once with the same requests, and the ideal for those requests.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::arrivals::{Arrival, arrivals};
use super::busy::Idle;
use super::fleet::{Bench, Fleet};
use super::measured::Measured;
use super::noise;
use super::peer::Peer;
use super::spec::{Control, Load, Spec, Stop};
use super::{ideal, open_loop, slices};
use llb_kit::clock::now;
use llb_kit::quantiles::Quantiles;

/// Load that is not measured: every worker has been touched and llb has seen it answer.
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) seed: u64,
    /// What the requests would have seen in one ideal queue, where that is the control.
    pub(super) ideal: Option<Quantiles>,
    pub(super) measured: Vec<Measured>,
    /// Measurements that were made again because the generator was late.
    pub(super) repeated: usize,
}

impl Round {
    /// Measures every peer, a different one first in each round: what the machine does at the time must not always
    /// hit the same one. So often as `tries` says a peer is measured until the generator was on time.
    pub(super) fn run(bench: &Bench, spec: &Spec, seed: u64, tries: usize) -> Result<Self> {
        let mut order = spec.peers.clone();
        order.rotate_left(seed as usize % spec.peers.len().max(1));
        if let Load::Closed { clients, requests_each } = spec.load {
            let measured = slices::run(bench, spec, &order, clients, requests_each)?;
            return Ok(Self { seed, ideal: None, measured, repeated: 0 });
        }
        let requests = arrivals(&spec.load, spec.duration, seed);
        let mut repeated = 0;
        let mut measured = Vec::new();
        for peer in order {
            let once = || measure(bench, spec, peer, &requests).with_context(|| peer.name());
            let mut last = once()?;
            for _ in 1..tries {
                if noise::is_late(&last) {
                    repeated += 1;
                    last = once()?;
                }
            }
            measured.push(last);
        }
        let ideal = (spec.control == Control::Ideal).then(|| ideal::quantiles(&requests, &spec.slowness));
        Ok(Self { seed, ideal, measured, repeated })
    }

    pub(super) fn of(&self, peer: Peer) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.peer == peer)
    }
}

fn measure(bench: &Bench, spec: &Spec, peer: Peer, requests: &[Arrival]) -> Result<Measured> {
    let fleet = Fleet::start(bench, peer, spec)?;
    // Other requests than the measured ones, and no long ones: they would outlast the warm-up.
    let mut warm_up = arrivals(&spec.load, WARM_UP, u64::MAX);
    warm_up.retain(|arrival| arrival.counts);
    if open_loop::run(fleet.addr, &warm_up)?.iter().all(|outcome| outcome.latency_ns.is_none()) {
        bail!("nobody answers at {}", fleet.addr);
    }
    let before = Idle::read(now())?;
    let outcomes = thread::scope(|scope| {
        if let Some(stop) = spec.stop {
            let pid = fleet.worker(stop.slot)?;
            scope.spawn(move || stand_still(pid, stop));
        }
        open_loop::run(fleet.addr, requests).context("the load cannot be sent")
    })?;
    let busy = Idle::read(now())?.busy_since(&before);
    Ok(Measured::of_outcomes(peer, &outcomes, spec.duration, busy))
}

/// The worker lives: its fleet ends after the load, and the load lasts longer than this.
fn stand_still(worker: Pid, stop: Stop) {
    thread::sleep(stop.after);
    let stopped = kill(worker, Signal::SIGSTOP);
    thread::sleep(stop.lasts);
    if let Err(error) = stopped.and(kill(worker, Signal::SIGCONT)) {
        eprintln!("worker {worker} was not stopped and continued: {error}");
    }
}
