//! A reload whose new code serves in a few slots first, beside the old workers there, and is watched.

use super::{
    AT_ONCE, Generation, Instant, Kind, Slot, State, Supervisor, Worker, WorkerId,
    roll::{CanaryTrial, Roll},
    slots::DesiredState,
};

impl Supervisor {
    /// The generation that is being watched, since when, and until when.
    #[must_use]
    pub fn watched(&self) -> Option<(Generation, Instant, Instant)> {
        let roll = self.roll?;
        let CanaryTrial { canary, since } = roll.trial?;
        since.map(|since| (roll.generation, since, since.after(canary.watch)))
    }

    /// Whether the new code may come to this slot: while it is tried, to the first ones only.
    pub(super) fn may_begin(&self, roll: Roll, slot: Slot) -> bool {
        let Some(CanaryTrial { canary, .. }) = roll.trial else { return true };
        let before = self.slots.iter().take(slot.0 as usize).filter(|entry| entry.desired == DesiredState::Filled);
        before.count() < canary.slots as usize
    }

    /// Begins to watch when all serve.
    pub(super) fn begin_to_watch(&mut self, now: Instant) {
        let Some(Roll { generation, trial: Some(CanaryTrial { canary, since: None }), .. }) = self.roll else { return };
        let serves = |worker: &&Worker| worker.generation == generation && worker.state == State::Serving;
        if self.workers.values().filter(serves).count() < canary.slots as usize {
            return;
        }
        if let Some(trial) = self.roll.as_mut().and_then(|roll| roll.trial.as_mut()) {
            trial.since = Some(now);
        }
        let watch = humantime::format_duration(canary.watch);
        let cause = format!("{} slots serve the new code, which is watched for {watch}", canary.slots);
        self.note(Kind::Canary, None, None, generation, cause);
    }

    /// The new code is worse than the old.
    pub fn canary_fails(&mut self, figures: &str, now: Instant) {
        self.due = AT_ONCE;
        if self.watched().is_some() {
            self.roll_back(&format!("the new code {figures}"), now);
        }
    }

    /// It is not: all others follow.
    pub fn canary_passes(&mut self, figures: &str, now: Instant) {
        self.due = AT_ONCE;
        let Some(roll) = self.roll.as_mut().filter(|roll| roll.trial.is_some()) else { return };
        roll.trial = None;
        let generation = roll.generation;
        self.note(Kind::Canary, None, None, generation, format!("no worse than the old code: {figures}"));
        let serves = |worker: &&Worker| worker.generation == generation && worker.state == State::Serving;
        let new: Vec<WorkerId> = self.workers.values().filter(serves).map(|worker| worker.id).collect();
        for id in new {
            self.retire_elders(id, now);
        }
        self.roll_on(now);
    }

    /// A worker has exited: one that serves new code on trial must not.
    pub(super) fn exits_on_trial(&mut self, worker: &Worker, now: Instant) {
        let is_tried = |roll: Roll| roll.trial.is_some() && roll.generation == worker.generation;
        if self.roll.is_some_and(is_tried) && worker.state == State::Serving && !worker.is_done {
            self.roll_back("a new worker has exited while the new code was watched", now);
        }
    }
}
