//! Notes of what has come to pass, among what is to be done.

use super::Supervisor;
use crate::{
    fleet::{
        effect::Effect,
        note::{Kind, Note},
    },
    model::{Generation, Slot, WorkerId},
};

impl Supervisor {
    /// Notes what has come to pass with a worker, also what is seen of it from outside its life.
    pub fn note_worker(&mut self, kind: Kind, id: WorkerId, cause: &str) {
        if let Some(worker) = self.workers.get(&id) {
            let (slot, generation) = (worker.slot, worker.generation);
            self.note(kind, Some(id), Some(slot), generation, cause.into());
        }
    }

    /// Notes what the operator should know.
    pub fn warn(&mut self, cause: String) {
        self.note(Kind::Warning, None, None, self.generation, cause);
    }

    pub(super) fn note_fleet(&mut self, kind: Kind, cause: &str) {
        self.note(kind, None, None, self.generation, cause.into());
    }

    pub(super) fn note(
        &mut self,
        kind: Kind,
        id: Option<WorkerId>,
        slot: Option<Slot>,
        generation: Generation,
        cause: String,
    ) {
        self.effects.push_back(Effect::Note(Note { kind, id, slot, generation, cause }));
    }
}
