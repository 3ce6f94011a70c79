//! What the lives of workers demand of the engine.

use std::time::Duration;

use crate::model::{Address, Generation, Seat, Slot, WorkerId};

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker, with its output through llb if `capture`.
    Spawn {
        /// Its id.
        id: WorkerId,
        /// The slot to fill.
        slot: Slot,
        /// Its generation.
        generation: Generation,
        /// Whether its output is to go through llb.
        capture: bool,
    },
    /// See when the worker accepts connections at a listener, and say so.
    Watch {
        /// The worker.
        id: WorkerId,
        /// The listener's cookie.
        cookie: u64,
    },
    /// Put a listener into its group.
    Join {
        /// The worker.
        id: WorkerId,
        /// The listener's cookie.
        cookie: u64,
        /// Its address.
        address: Address,
        /// The seat to give it.
        seat: Seat,
    },
    /// Take a listener out of its group.
    Leave {
        /// The listener's cookie.
        cookie: u64,
    },
    /// A listener is gone: forget it when no connection can be migrating from it any more.
    Forget {
        /// The listener's cookie.
        cookie: u64,
    },
    /// Tell the worker to finish up: the line `{"cmd":"disconnect"}`.
    TellToFinish(WorkerId),
    /// See the worker's clients out, so that they turn to another.
    SeeOut {
        /// The worker.
        id: WorkerId,
        /// Whose connections.
        whom: Whom,
    },
    /// Send SIGTERM to the worker's processes.
    Terminate(WorkerId),
    /// Kill whatever is in the worker's cgroup.
    Kill(WorkerId),
    /// The worker has exited: kill what is left in its cgroup and remove it.
    Bury(WorkerId),
    /// Say that this was the last attempt at a slot.
    GiveUp {
        /// The worker.
        id: WorkerId,
        /// Its slot.
        slot: Slot,
    },
    /// Every slot has been ready once, or was given up.
    Up,
    /// The fleet cannot come up. It is being ended; the error is to be shown.
    Fail(Failure),
    /// The last worker is gone, as was asked for.
    Down,
}

/// Clients whose connections are to be closed from the worker's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Those who hold no request, and on whose connection nothing has moved for so long.
    Idle(Duration),
    /// All: each connection ends with the answer that it waits for.
    All,
}

/// Why a fleet cannot come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Workers exit before they are ready.
    Exited {
        /// The worker.
        id: WorkerId,
    },
    /// A worker does not become ready in time.
    NotReady {
        /// The worker.
        id: WorkerId,
    },
    /// A worker could not even be spawned.
    Spawn {
        /// The worker.
        id: WorkerId,
    },
}
