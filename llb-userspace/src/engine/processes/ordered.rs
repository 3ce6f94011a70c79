//! Workers that are to be started, in order. To start one takes a millisecond, and hundreds may be to be started at once: each turn of
//! the loop starts a few, and others are served in between.

use std::collections::{BTreeMap, VecDeque};

use tokio::task::{spawn_blocking, spawn_local};

use super::Processes;
use crate::{
    engine::{core::Core, inbox::Message},
    fleet::{Kind, NewWorker, Note, others},
    model::{Instant, WorkerId},
    sys::clock,
};

/// A worker that is to be started, and what is to be noted when it has been: its pid is known only then.
#[derive(Debug)]
pub(in crate::engine) struct Due {
    pub worker: NewWorker,
    pub note: Option<Note>,
}

/// Those that are to be started.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ordered(VecDeque<Due>);

impl Ordered {
    pub(in crate::engine) fn add(&mut self, worker: NewWorker) {
        self.0.push_back(Due { worker, note: None });
    }

    /// Keeps the note that says that a worker has been started, if it has not been yet, and otherwise gives it back.
    pub(in crate::engine) fn keep(&mut self, note: Note) -> Option<Note> {
        let is_of = |id: WorkerId| move |due: &&mut Due| due.worker.id == id;
        let due = note.id.filter(|_| note.kind == Kind::Spawned).and_then(|id| self.0.iter_mut().rev().find(is_of(id)));
        match due {
            Some(due) => {
                due.note = Some(note);
                None
            }
            None => Some(note),
        }
    }

    pub(in crate::engine) fn next(&mut self) -> Option<Due> {
        self.0.pop_front()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Processes {
    /// Whether workers are to be started, and nothing is to be known first.
    pub(in crate::engine) fn has_to_start(&self) -> bool {
        !self.ordered.is_empty() && !self.is_looking_for_others
    }

    /// The same, but what other fleets listen on is looked up first, beside the loop, if it has been a while.
    pub(in crate::engine) fn may_start(&mut self, core: &Core) -> bool {
        if self.has_to_start() && self.others.is_due(clock::now()) {
            self.is_looking_for_others = true;
            let (own, inbox) = (core.cgroup.path().to_owned(), core.inbox.clone());
            let look = spawn_blocking(move || others::look(&own));
            spawn_local(async move {
                // Another's ports are in nobody's way where they cannot be seen. A closed inbox is the end of the engine.
                let _ = inbox.send(Message::Others { ports: look.await.unwrap_or_default() }).await;
            });
        }
        self.has_to_start()
    }

    /// What other fleets listen on.
    pub(in crate::engine) fn found_others(&mut self, ports: BTreeMap<u32, String>, now: Instant) {
        self.is_looking_for_others = false;
        self.others.found(ports, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, Slot};

    fn worker(id: u64) -> NewWorker {
        NewWorker { id: WorkerId(id), slot: Slot(id as u32), generation: Generation(1), capture: false }
    }

    fn note(kind: Kind, id: u64) -> Note {
        Note { kind, id: Some(WorkerId(id)), slot: None, generation: Generation(1), cause: String::new() }
    }

    #[test]
    fn a_start_is_noted_when_it_has_been() {
        let mut ordered = Ordered::default();
        ordered.add(worker(1));
        ordered.add(worker(2));
        assert!(ordered.keep(note(Kind::Spawned, 2)).is_none());
        assert!(ordered.keep(note(Kind::Stopping, 2)).is_some(), "it is no start");
        assert!(ordered.keep(note(Kind::Spawned, 3)).is_some(), "it has been started");
        let next = |ordered: &mut Ordered| ordered.next().map(|due| (due.worker.id.0, due.note.is_some()));
        assert_eq!(
            [next(&mut ordered), next(&mut ordered), next(&mut ordered)],
            [Some((1, false)), Some((2, true)), None]
        );
    }
}
