//! When a verb is over, and how it went: pure, by the events that follow it.

use std::collections::BTreeSet;

use crate::{
    control::{Done, Failed, FailureKind, Reply},
    fleet::{Command, Granted, Kind},
    observe::{event::Event, status::Status},
};

/// What a verb that was granted waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Completion {
    /// Nothing: it is done.
    Nothing,
    /// The generation serves, or is given up.
    Reload { generation: u32 },
    /// The slot's next worker is ready, or has failed; `fresh` is its pid.
    Restart { slot: u32, fresh: Option<u32> },
    /// The slot's workers have exited.
    Drain { slot: u32 },
    /// Slots that are to have a worker that serves, and slots that are to be empty.
    Scale { workers: u32, coming: BTreeSet<u32>, going: BTreeSet<u32> },
}

impl Completion {
    /// What `command` waits for in the fleet as it is just after.
    pub(in crate::engine) fn of(command: Command, granted: Granted, status: &Status) -> Self {
        match (command, granted) {
            (_, Granted::Reloading(generation) | Granted::Queued(generation)) => {
                Completion::Reload { generation: generation.0 }
            }
            (Command::Restart { slot }, _) => Completion::Restart { slot: slot.0, fresh: None },
            (Command::Drain { slot }, _) => Completion::Drain { slot: slot.0 },
            (Command::Scale { workers }, _) => {
                // One that hangs serves as well: it will not become ready once more.
                let is_ready = |state: &str| ["serving", "hung"].contains(&state);
                let serves = |slot: u32| status.workers.iter().any(|w| w.slot == slot && is_ready(&w.state));
                let wanted = status.slots.iter().filter(|slot| ["filled", "waiting"].contains(&slot.state.as_str()));
                let coming = wanted.map(|slot| slot.slot).filter(|slot| !serves(*slot)).collect();
                let going = status.workers.iter().map(|worker| worker.slot).filter(|slot| *slot >= workers).collect();
                Completion::Scale { workers, coming, going }
            }
            (Command::Reload(_) | Command::Try(..) | Command::Stop, Granted::Done) => Completion::Nothing,
        }
    }

    /// How it went, if that is known without waiting.
    pub(in crate::engine) fn at_once(&self) -> Option<Reply> {
        match self {
            Completion::Nothing => Some(Reply::Done(Done { ok: true, ..Done::default() })),
            Completion::Scale { workers, coming, going } if coming.is_empty() && going.is_empty() => {
                Some(Reply::Done(Done { ok: true, workers: Some(*workers), ..Done::default() }))
            }
            _ => None,
        }
    }

    /// The reply, if this event decides it.
    pub(in crate::engine) fn see(&mut self, event: &Event) -> Option<Reply> {
        let is = |kind: Kind| event.event == kind.name();
        let here = |slot: &u32| event.slot == Some(*slot);
        let done = Done { ok: true, ..Done::default() };
        if is(Kind::Ending) {
            return failed(FailureKind::Failed, format!("the fleet is ending: {}", event.cause));
        }
        match self {
            Completion::Reload { generation } if event.generation == *generation && event.slot.is_none() => {
                if is(Kind::RolledBack) {
                    return failed(FailureKind::RolledBack, event.cause.clone());
                }
                is(Kind::Reloaded).then_some(Reply::Done(Done { generation: Some(*generation), ..done }))
            }
            Completion::Restart { slot, fresh } if here(slot) => {
                if is(Kind::Spawned) {
                    *fresh = event.pid;
                }
                let is_fresh = fresh.is_some() && event.pid == *fresh;
                if is(Kind::Ready) && is_fresh {
                    return Some(Reply::Done(Done { slot: Some(*slot), pid: *fresh, ..done }));
                }
                if is(Kind::SpawnFailed) || is(Kind::Failed) || is(Kind::Emptied) || (is(Kind::Exited) && is_fresh) {
                    return failed(FailureKind::Failed, format!("slot {slot} has no new worker: {}", event.cause));
                }
                None
            }
            Completion::Drain { slot } if here(slot) => {
                if is(Kind::Spawned) {
                    return failed(FailureKind::Failed, format!("slot {slot} is filled again: {}", event.cause));
                }
                is(Kind::Emptied).then_some(Reply::Done(Done { slot: Some(*slot), ..done }))
            }
            Completion::Scale { coming, going, .. } => {
                if is(Kind::Scaled) {
                    return failed(FailureKind::Failed, format!("scaled once more meanwhile: {}", event.cause));
                }
                let slot = event.slot?;
                if coming.contains(&slot) && (is(Kind::Failed) || is(Kind::Emptied)) {
                    return failed(FailureKind::Failed, format!("slot {slot} stays empty: {}", event.cause));
                }
                let over = (is(Kind::Ready) && coming.remove(&slot)) || (is(Kind::Emptied) && going.remove(&slot));
                if over { self.at_once() } else { None }
            }
            _ => None,
        }
    }
}

fn failed(kind: FailureKind, error: String) -> Option<Reply> {
    Some(Reply::Failed(Failed { error, failure: Some(kind) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, slot: Option<u32>, pid: Option<u32>, generation: u32) -> Event {
        Event { seq: 1, at_ms: 0, event: kind.name().into(), slot, pid, generation, cause: "a cause".into() }
    }

    fn see(completion: &mut Completion, events: &[(Kind, u32, u32)]) -> Option<Reply> {
        let told = |(kind, slot, pid): &(Kind, u32, u32)| completion.see(&event(*kind, Some(*slot), Some(*pid), 1));
        let mut replies: Vec<_> = events.iter().map(told).collect();
        let last = replies.pop();
        assert!(replies.iter().all(Option::is_none), "only the last one tells");
        last.flatten()
    }

    fn kind_of(reply: Option<Reply>) -> Option<FailureKind> {
        match reply {
            Some(Reply::Failed(failed)) => failed.failure,
            _ => None,
        }
    }

    #[test]
    fn a_reload_waits_for_its_own_generation() {
        let mut completion = Completion::Reload { generation: 3 };
        for (kind, slot, generation) in
            [(Kind::Reloaded, None, 2), (Kind::RolledBack, None, 2), (Kind::Ready, Some(0), 3), (Kind::Up, None, 3)]
        {
            assert_eq!(completion.see(&event(kind, slot, None, generation)), None, "{kind:?}");
        }
        let rolled_back = completion.clone().see(&event(Kind::RolledBack, None, None, 3));
        assert_eq!(kind_of(rolled_back), Some(FailureKind::RolledBack));
        let ending = completion.clone().see(&event(Kind::Ending, None, None, 2));
        assert_eq!(kind_of(ending), Some(FailureKind::Failed));
        let done = Done { ok: true, generation: Some(3), ..Done::default() };
        assert_eq!(completion.see(&event(Kind::Reloaded, None, None, 3)), Some(Reply::Done(done)));
    }

    #[test]
    fn a_restart_waits_for_the_new_worker_and_not_for_the_old_one() {
        let fresh = || Completion::Restart { slot: 1, fresh: None };
        // Of another slot, of the old worker, and then its own.
        let before = [(Kind::Ready, 0, 9), (Kind::Exited, 1, 7), (Kind::Spawned, 1, 8), (Kind::Draining, 1, 7)];
        let done = Done { ok: true, slot: Some(1), pid: Some(8), ..Done::default() };
        let ready = see(&mut fresh(), &[&before[..], &[(Kind::Ready, 1, 8)]].concat());
        assert_eq!(ready, Some(Reply::Done(done)));
        for end in [(Kind::Exited, 1, 8), (Kind::Failed, 1, 0), (Kind::Emptied, 1, 0), (Kind::SpawnFailed, 1, 0)] {
            let ended = see(&mut fresh(), &[&before[..], &[end]].concat());
            assert_eq!(kind_of(ended), Some(FailureKind::Failed), "{end:?}");
        }
    }

    #[test]
    fn a_drain_waits_until_the_slot_is_empty() {
        let fresh = || Completion::Drain { slot: 1 };
        let before = [(Kind::Draining, 1, 7), (Kind::Spawned, 0, 8), (Kind::Exited, 1, 7), (Kind::Emptied, 0, 0)];
        let done = Done { ok: true, slot: Some(1), ..Done::default() };
        let emptied = see(&mut fresh(), &[&before[..], &[(Kind::Emptied, 1, 0)]].concat());
        assert_eq!(emptied, Some(Reply::Done(done)));
        let filled = see(&mut fresh(), &[&before[..], &[(Kind::Spawned, 1, 9)]].concat());
        assert_eq!(kind_of(filled), Some(FailureKind::Failed));
    }

    #[test]
    fn scaling_waits_for_all_that_come_and_all_that_go() {
        let scale = |coming: &[u32], going: &[u32]| Completion::Scale {
            workers: 4,
            coming: coming.iter().copied().collect(),
            going: going.iter().copied().collect(),
        };
        let done = Some(Reply::Done(Done { ok: true, workers: Some(4), ..Done::default() }));
        assert_eq!(scale(&[], &[]).at_once(), done);
        let mut up = scale(&[2, 3], &[]);
        assert_eq!(up.at_once(), None);
        assert_eq!(see(&mut up.clone(), &[(Kind::Ready, 3, 1), (Kind::Ready, 0, 2), (Kind::Ready, 2, 3)]), done);
        assert_eq!(kind_of(see(&mut up, &[(Kind::Ready, 3, 1), (Kind::Failed, 2, 0)])), Some(FailureKind::Failed));
        let mut down = scale(&[], &[4, 5]);
        let emptied = [(Kind::Emptied, 5, 0), (Kind::Exited, 4, 1), (Kind::Emptied, 4, 0)];
        assert_eq!(see(&mut down.clone(), &emptied), done);
        assert_eq!(kind_of(see(&mut down, &[(Kind::Scaled, 0, 0)])), Some(FailureKind::Failed));
    }
}
