//! What an operator wants of the fleet.

use llb_common::abi::MAX_SEATS;

use super::{
    AT_ONCE, Instant, Kind, Phase, Slot, State, Supervisor,
    slots::{DesiredState, SlotEntry},
};
use crate::fleet::{
    command::{Command, Granted, Refusal},
    restarts::RestartCause,
};

impl Supervisor {
    /// Grants a wish, or says why not; then nothing has changed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn command(&mut self, command: Command, now: Instant) -> Result<Granted, Refusal> {
        match (self.phase, command) {
            (_, Command::Stop) => {
                self.stop(now);
                return Ok(Granted::Done);
            }
            (Phase::ComingUp, _) => return Err(Refusal::ComingUp),
            (Phase::Ending, _) => return Err(Refusal::Ending),
            (Phase::Up, _) => {}
        }
        let granted = match command {
            Command::Reload(style) => self.reload(style, None, now)?,
            Command::Try(style, canary) => self.reload(style, Some(canary), now)?,
            Command::Scale { workers } => self.scale(workers, now)?,
            Command::Drain { slot } => self.empty(slot, now)?,
            Command::Restart { slot } => self.restart(slot, now)?,
            Command::Stop => Granted::Done,
        };
        self.due = AT_ONCE;
        Ok(granted)
    }

    pub(super) fn scale(&mut self, workers: u32, now: Instant) -> Result<Granted, Refusal> {
        let (before, wanted) = (self.slots.len(), workers as usize);
        if !(1..=MAX_SEATS).contains(&wanted) {
            return Err(Refusal::BadCount);
        }
        if wanted == before {
            return Ok(Granted::Done);
        }
        if wanted < before && !self.serves_but(|slot| slot.0 >= workers) {
            return Err(Refusal::LastOne);
        }
        self.slots.truncate(wanted);
        while self.slots.len() < wanted {
            self.slots.push(SlotEntry::due(&self.backoff, now));
        }
        self.note_fleet(Kind::Scaled, &format!("asked for, from {before} to {wanted} workers"));
        for id in self.ids() {
            if self.workers[&id].slot.0 >= workers {
                self.dismiss(id, "its slot is gone", now);
            }
        }
        (wanted..before).for_each(|gone| self.note_if_emptied(Slot(gone as u32)));
        self.spawn_due(now);
        self.roll_on(now);
        Ok(Granted::Done)
    }

    fn empty(&mut self, slot: Slot, now: Instant) -> Result<Granted, Refusal> {
        self.require_slot(slot)?;
        if !self.serves_but(|other| other == slot) {
            return Err(Refusal::LastOne);
        }
        if let Some(entry) = self.entry(slot) {
            (entry.desired, entry.spawn_at) = (DesiredState::Drained, None);
        }
        for id in self.in_slot(slot) {
            self.dismiss(id, "drained, as asked for", now);
        }
        self.note_if_emptied(slot);
        self.roll_on(now);
        Ok(Granted::Done)
    }

    fn restart(&mut self, slot: Slot, now: Instant) -> Result<Granted, Refusal> {
        self.require_slot(slot)?;
        if let Some(entry) = self.entry(slot) {
            (entry.desired, entry.failures, entry.why) = (DesiredState::Filled, 0, Some(RestartCause::Restarted));
        }
        for id in self.in_slot(slot) {
            match self.workers[&id].state {
                State::Starting { .. } => self.terminate(id, "restarted, as asked for", now),
                State::Serving => self.replace(id, "restarted, as asked for", true, now),
                State::Draining { .. } | State::Stopping { .. } | State::Killed => {}
            }
        }
        if !self.has_current(slot)
            && let Some(entry) = self.entry(slot)
        {
            entry.spawn_at = Some(now);
        }
        self.spawn_due(now);
        Ok(Granted::Done)
    }

    /// Tells if a slot that is not to be filled has no worker any more.
    pub(super) fn note_if_emptied(&mut self, slot: Slot) {
        let cause = match self.entry(slot).map(|entry| entry.desired) {
            None => "the slot is gone, as asked for",
            Some(DesiredState::Drained) => "the slot is drained, as asked for",
            Some(DesiredState::Filled | DesiredState::Failed) => return,
        };
        if self.in_slot(slot).is_empty() {
            self.note(Kind::Emptied, None, Some(slot), self.generation, cause.into());
        }
    }

    fn require_slot(&self, slot: Slot) -> Result<(), Refusal> {
        let slots = self.slots.len() as u32;
        if slot.0 < slots { Ok(()) } else { Err(Refusal::NoSuchSlot { slot, slots }) }
    }

    /// Whether somebody serves in another slot than these.
    fn serves_but(&self, excluded: impl Fn(Slot) -> bool) -> bool {
        self.workers.values().any(|worker| worker.state == State::Serving && !excluded(worker.slot))
    }
}
