//! What the supervisor demands of the engine.

use std::time::Duration;

use super::note::Note;
use crate::model::{Address, Generation, Seat, Slot, WorkerId};

/// A worker to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewWorker {
    /// Its id.
    pub id: WorkerId,
    /// The slot to fill.
    pub slot: Slot,
    /// Its generation.
    pub generation: Generation,
    /// Whether its output is to go through llb.
    pub capture: bool,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker.
    Spawn(NewWorker),
    /// See when the worker accepts connections at a listener, and say so.
    Watch {
        /// The worker.
        id: WorkerId,
        /// The listener's cookie.
        cookie: u64,
    },
    /// Ask the worker whether it is ready, again and again until it is.
    Check(WorkerId),
    /// A socket has got a seat: the maps are to follow, before what comes after this.
    Seat {
        /// The worker.
        id: WorkerId,
        /// The socket's cookie.
        cookie: u64,
        /// Its address.
        address: Address,
        /// Its seat.
        seat: Seat,
    },
    /// A socket is to be chosen no more, is gone, or loses its flows: the maps are to follow, before what comes after this.
    Withdraw {
        /// The socket's cookie.
        cookie: u64,
    },
    /// Tell the worker to finish up: the line `{"cmd":"disconnect"}`.
    TellToFinish(WorkerId),
    /// Close connections of the worker that are idle, so that their clients turn to another.
    CloseIdle {
        /// The worker.
        id: WorkerId,
        /// Which of them.
        scope: CloseScope,
    },
    /// Send the worker the signal to end.
    Terminate(WorkerId),
    /// Kill whatever is in the worker's cgroup.
    Kill(WorkerId),
    /// The worker has exited: kill what is left in its cgroup and remove it.
    Reap(WorkerId),
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
    /// Tell those that watch what has happened.
    Note(Note),
}

/// Which connections of a worker may be closed: never one that holds a request, or an answer that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseScope {
    /// Those on which nothing has moved for so long. One that has been seen to get its answers in one piece is idle
    /// after less.
    pub pause: Duration,
    /// How many of the worker's connections may have been closed by now, of a thousand: they are closed one by one.
    pub permille: u16,
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
