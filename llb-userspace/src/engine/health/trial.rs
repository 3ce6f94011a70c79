//! Watches new code that serves in a few slots (`llb reload --canary`): what it counts beside the old workers in the same time.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    engine::core::Core,
    fleet::{
        State, Worker,
        canary::{Tally, fails_more, is_silent, is_slower},
    },
    model::{Generation, Instant, Seat, WorkerId},
};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// New code that is watched, or was.
#[derive(Default)]
pub(in crate::engine) struct Trial {
    /// Which, and since when.
    of: Option<(Generation, Instant)>,
    look_at: Instant,
    /// What each worker had counted when it began.
    before: BTreeMap<WorkerId, Tally>,
    /// What is seen, in words.
    pub said: Option<String>,
}

impl Trial {
    /// Looks how new code does that is watched. Failures are cause to go back at once; times are compared when the time is
    /// over, as a program may begin slowly.
    pub(in crate::engine) fn watch_canary(&mut self, core: &mut Core, now: Instant) {
        let Some((generation, since, until)) = core.supervisor.watched() else { return };
        let is_new = self.of != Some((generation, since));
        if !is_new && now < self.look_at.min(until) {
            return;
        }
        let serving = core.supervisor.workers().filter(|worker| worker.state == State::Serving);
        let tallies: Vec<(WorkerId, bool, Tally)> =
            serving.map(|worker| (worker.id, worker.generation == generation, tally(core, worker))).collect();
        if is_new {
            self.of = Some((generation, since));
            self.before = tallies.iter().map(|(id, _, tally)| (*id, tally.clone())).collect();
        }
        self.look_at = now.after(LOOK_EVERY);
        let (mut new, mut old) = (Tally::default(), Tally::default());
        for (id, is_new, tally) in tallies {
            // A worker that has come meanwhile has begun otherwise.
            let Some(before) = self.before.get(&id) else { continue };
            if is_new { &mut new } else { &mut old }.add(&tally.since(before));
        }
        let figures = format!("new: {new}; old: {old}");
        let in_the_end = || is_slower(&new, &old).or_else(|| is_silent(&new, &old)).filter(|_| now >= until);
        let worse = fails_more(&new, &old).or_else(in_the_end);
        let said = match worse {
            Some(worse) => {
                core.supervisor.canary_fails(&worse, now);
                format!("generation {generation} {worse}")
            }
            None if now >= until => {
                core.supervisor.canary_passes(&figures, now);
                format!("generation {generation} is no worse; {figures}")
            }
            None => format!("generation {generation} is watched; {figures}"),
        };
        self.said = Some(said);
    }
}

fn tally(core: &Core, worker: &Worker) -> Tally {
    let seats: Vec<Seat> = worker.seats().collect();
    let counted = core.updater.counted(worker.id, &seats);
    Tally {
        given: counted.chosen,
        answered: counted.answered,
        errors: counted.errors,
        failed: counted.failed,
        latencies: counted.latencies,
    }
}
