//! What a balancer above is told: the fleet is looked at ten times a second, from what the publisher has read anyway.

use std::sync::atomic::Ordering::Relaxed;

use super::Engine;
use crate::{
    agent::{Sample, Word},
    fleet::State,
    model::Instant,
};

impl Engine {
    /// Takes a sample, if one is due.
    pub(super) fn sample_headroom(&mut self, now: Instant) {
        let Some(agent) = &self.agent else { return };
        if agent.borrow().is_due(now) {
            agent.borrow_mut().sample(self.sample(), now);
        }
    }

    fn sample(&self) -> Sample {
        let places = u64::from(self.config.concurrency.unwrap_or(1).max(1));
        let count = |wanted: fn(&State) -> bool| {
            self.lives.workers().filter(|worker| wanted(&worker.state)).count() as u32
        };
        let (mut serving, mut busy, mut waiting) = (0, 0, 0);
        for view in self.updater.views().iter().filter(|view| view.joined) {
            // With a line its places count; without one a worker is busy that holds anything up.
            let held = view.in_flight + if self.config.concurrency.is_some() { view.parked } else { 0 };
            serving += 1;
            busy += u32::from(held >= places);
            waiting += held.saturating_sub(places);
        }
        if self.lines.is_some() {
            waiting += self.updater.steering().books().waiting().load(Relaxed);
        }
        Sample {
            slots: self.lives.slots().count() as u32,
            serving,
            draining: count(|state| matches!(state, State::Draining { .. } | State::Stopping { .. })),
            busy,
            waiting,
            is_ending: self.lives.is_ending(),
        }
    }
}

/// What is told at `now`.
pub(super) fn line(word: Word) -> String {
    word.to_string()
}
