//! Wakes the workers to which connections have moved.
//!
//! When a listener closes, the connections in its queue move to others. A kernel without commit 3864c6ba1e04 (6.1 before
//! 6.1.175, 6.12 before 6.12.86) wakes nobody that waits there: a worker that sleeps would find them when its next
//! connection comes, which may be never. So llb wakes the workers itself, on every kernel: it costs a few system calls a
//! worker, and a worker that finds nothing does not notice.

use llb_common::outcome::Outcome;

use crate::{engine::core::Core, fleet::Worker, model::WorkerId, sys::socket};

/// How often workers are woken after a connection has moved, at the pace of the engine's ticks. The selector counts a
/// connection a moment before it lies in its new queue, so once might be too soon.
const ROUNDS: u32 = 2;

/// What is to be done about connections that have moved.
#[derive(Debug, Default)]
pub(in crate::engine) struct Waking {
    /// Connections that have moved since the fleet began.
    moved: u64,
    /// Rounds that are still to come.
    rounds: u32,
}

impl Waking {
    /// Whether workers are to be woken now that so many connections have moved.
    fn is_due(&mut self, moved: u64) -> bool {
        if moved != self.moved {
            *self = Waking { moved, rounds: ROUNDS };
        }
        let is_due = self.rounds > 0;
        self.rounds = self.rounds.saturating_sub(1);
        is_due
    }
}

impl Waking {
    /// Wakes every worker that is chosen from, if connections have moved.
    pub(in crate::engine) fn wake_targets(&mut self, core: &mut Core) {
        // Nothing can have moved unless a listener has closed of late.
        if !core.updater.is_forgetting() {
            return;
        }
        let Ok(counters) = core.updater.steering().counters() else { return };
        let moved = counters.get(Outcome::Migrated) + counters.get(Outcome::MigratedByHash);
        if !self.is_due(moved) {
            return;
        }
        tracing::debug!(moved, "connections have moved, waking the workers");
        // Those in a group alone: they are TCP's own, of which it is known what this does to them.
        let joined = |worker: &Worker| {
            let cookies = worker.listeners.iter().filter(|listener| listener.seat.is_some());
            cookies.map(|listener| (worker.id, listener.cookie)).collect::<Vec<_>>()
        };
        let listeners: Vec<(WorkerId, u64)> = core.supervisor.workers().flat_map(joined).collect();
        for (id, cookie) in listeners {
            // One that has closed by now has handed on what it held, and is no longer to be woken.
            if let Some(copy) = core.copy(id, cookie)
                && let Err(error) = socket::wake(copy)
            {
                tracing::debug!(slot = %core.slot(id), %error, "not woken");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ROUNDS, Waking};

    #[test]
    fn workers_are_woken_when_connections_have_moved_and_once_more() {
        let mut waking = Waking::default();
        assert!(!waking.is_due(0));
        let rounds: Vec<bool> = [3, 3, 3, 3].map(|moved| waking.is_due(moved)).into();
        assert_eq!(rounds, [true, true, false, false]);
        assert!(waking.is_due(4) && waking.is_due(5), "each move counts anew");
        assert_eq!((0..9).filter(|_| waking.is_due(5)).count() as u32, ROUNDS - 1);
    }
}
