//! What a balancer above is told: the fleet is looked at ten times a second, from what the publisher has read anyway.

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering::Relaxed};

use super::Engine;
pub(super) use crate::agent::Listener;
use crate::{
    agent::{Headroom, Sample, serve},
    fleet::State,
    model::Instant,
    sys::clock::now,
};

impl Engine {
    /// Takes a sample, if one is due.
    pub(super) fn sample_headroom(&mut self, now: Instant) {
        let Some(headroom) = &self.headroom else { return };
        if headroom.borrow().is_due(now) {
            headroom.borrow_mut().sample(self.sample(), now);
        }
    }

    fn sample(&self) -> Sample {
        let places = u64::from(self.config.concurrency.unwrap_or(1));
        let (mut serving, mut busy, mut waiting) = (0, 0, 0);
        for view in self.updater.views().iter().filter(|view| view.joined) {
            // Where a worker serves so many at once, each takes a place; else one is busy that is held up.
            let held = view.in_flight + if self.config.concurrency.is_some() { view.parked } else { 0 };
            serving += 1;
            busy += u32::from(held >= places);
            waiting += held.saturating_sub(places);
        }
        if self.lines.is_some() {
            waiting += self.updater.steering().books().waiting().load(Relaxed);
        }
        let finishes = |state| matches!(state, State::Draining { .. } | State::Stopping { .. });
        let draining = self.lives.workers().filter(|worker| finishes(worker.state)).count() as u32;
        let slots = self.lives.slots().count() as u32;
        Sample { slots, serving, draining, busy, waiting, is_ending: self.lives.is_ending() }
    }
}

/// Tells whoever connects.
pub(super) async fn answer(listener: Listener, headroom: Rc<RefCell<Headroom>>) {
    let error = serve(listener, || headroom.borrow().word(now()).to_string()).await;
    tracing::error!(%error, "cannot answer agent checks");
}
