//! The supervisor as the tests ask it: event by event, what each makes to be done. What is told meanwhile is kept apart.

use std::ops::{Deref, DerefMut};

use super::*;
use crate::fleet::{
    command::{Command, Granted, Refusal},
    note::Note,
    recycle::Excess,
};

/// The supervisor, and what it has told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    supervisor: Supervisor,
    notes: Vec<Note>,
}

impl Deref for Told {
    type Target = Supervisor;

    fn deref(&self) -> &Supervisor {
        &self.supervisor
    }
}

impl DerefMut for Told {
    fn deref_mut(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }
}

macro_rules! events {
    ($($event:ident($($given:ident: $what:ty),*);)*) => {
        impl Told {
            $(pub(super) fn $event(&mut self, $($given: $what),*) -> Vec<Effect> {
                self.supervisor.$event($($given),*);
                self.done()
            })*
        }
    };
}

events! {
    accepts(id: WorkerId, cookie: u64, now: Instant);
    answers(id: WorkerId, answer: &str, now: Instant);
    asks_to_leave(id: WorkerId, now: Instant);
    canary_fails(figures: &str, now: Instant);
    canary_passes(figures: &str, now: Instant);
    closes(cookie: u64);
    exited(id: WorkerId, now: Instant);
    hangs_up(id: WorkerId, now: Instant);
    listener_closes(cookie: u64, now: Instant);
    listens(id: WorkerId, cookie: u64, address: Address, now: Instant);
    queues(id: WorkerId, cookie: u64, waiting: bool, now: Instant);
    recycle(due: Vec<(WorkerId, Excess)>, now: Instant);
    replace(id: WorkerId, cause: &str, at_once: bool, now: Instant);
    replace_hung(id: WorkerId, cause: &str, now: Instant);
    says_ready(id: WorkerId, now: Instant);
    spawn_failed(id: WorkerId, now: Instant);
    stop(now: Instant);
}

impl Told {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Told { supervisor: Supervisor::new(rules, now), notes: Vec::new() }
    }

    pub(super) fn tick(
        &mut self,
        now: Instant,
        sight: impl Fn(&Worker) -> Sight,
        drained: impl Fn(Seat) -> bool,
    ) -> Vec<Effect> {
        self.supervisor.tick(now, sight, drained);
        self.done()
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) -> Result<(Granted, Vec<Effect>), Refusal> {
        let granted = self.supervisor.command(command, now)?;
        Ok((granted, self.done()))
    }

    pub(super) fn adopt(
        &mut self,
        found: Adopted,
        is_used: impl Fn(Seat) -> bool,
        now: Instant,
    ) -> (Vec<WorkerId>, Vec<Effect>) {
        let ids = self.supervisor.adopt(found, is_used, now);
        (ids, self.done())
    }

    /// What has been told since this was last asked.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn done(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.supervisor.next_effect() {
            match effect {
                Effect::Note(note) => self.notes.push(note),
                effect => {
                    if let Effect::Spawn(worker) = effect {
                        self.supervisor.spawned(worker.id);
                    }
                    effects.push(effect);
                }
            }
        }
        effects
    }
}
