//! Answers to the agent checks of a balancer above: the fleet is looked at ten times a second, from what the publisher has read anyway.

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering::Relaxed};

use super::Reports;
use crate::{
    agent::{Headroom, Listener, Sample, serve},
    engine::core::Core,
    fleet::State,
    model::Instant,
    sys::clock::now,
};

impl Reports {
    /// Takes a sample, if one is due.
    pub(in crate::engine) fn sample_headroom(&self, core: &Core, concurrency: u32, now: Instant) {
        let Some(headroom) = &self.headroom else { return };
        if headroom.borrow().is_due(now) {
            headroom.borrow_mut().sample(sample(core, concurrency), now);
        }
    }
}

fn sample(core: &Core, concurrency: u32) -> Sample {
    let (places, has_line) = (u64::from(concurrency.max(1)), concurrency > 0);
    let (mut serving, mut busy, mut waiting) = (0, 0, 0);
    for view in core.updater.views().iter().filter(|view| view.joined) {
        // Where a worker serves so many at once, each takes a place; else one is busy that is held up.
        let held = view.in_flight + if has_line { view.parked } else { 0 };
        serving += 1;
        busy += u32::from(held >= places);
        waiting += held.saturating_sub(places);
    }
    if has_line {
        waiting += core.updater.steering().books().waiting().load(Relaxed);
    }
    let finishes = |state| matches!(state, State::Draining { .. } | State::Stopping { .. });
    let draining = core.supervisor.workers().filter(|worker| finishes(worker.state)).count() as u32;
    let slots = core.supervisor.slot_count();
    Sample { slots, serving, draining, busy, waiting, is_ending: core.supervisor.is_ending() }
}

/// Tells whoever connects.
pub(in crate::engine) async fn answer(listener: Listener, headroom: Rc<RefCell<Headroom>>) {
    let error = serve(listener, || headroom.borrow().word(now()).to_string()).await;
    tracing::error!(%error, "cannot answer agent checks");
}
