//! What has happened in the fleet, for those that watch it: every transition of a worker's life, with its cause.

use crate::model::{Generation, Slot, WorkerId};

/// What it is that has come to pass; the names are those of the event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A worker's process has been started.
    Spawned,
    /// This master has taken over a worker of one that has died.
    TakenOver,
    /// A worker could not be started.
    SpawnFailed,
    /// A worker listens on an address.
    Listening,
    /// A worker is ready, and chosen from now on.
    Ready,
    /// A worker has written a message of its program's own; the cause is its text.
    Message,
    /// A worker has asked to be replaced, or has closed its channel.
    Disconnect,
    /// Connections that waited for a worker that hangs have been given to others.
    Rescued,
    /// A worker hangs: it has answered nothing for a second while others waited for it.
    Hung,
    /// A worker that hung answers again.
    Recovered,
    /// A worker has reached a limit, and is to be replaced.
    Recycling,
    /// A worker is no longer chosen, has been told to finish, and answers what it holds.
    Draining,
    /// A worker has been sent the signal to end.
    Stopping,
    /// A process of a worker has left the worker's cgroup. It is ended with the worker all the same.
    LeftCgroup,
    /// A worker has been sent SIGKILL.
    Killed,
    /// A worker's first process has exited.
    Exited,
    /// A slot is given up: none of its workers has become ready.
    Failed,
    /// A slot has no worker any more, as was asked for: it is drained, or gone.
    Emptied,
    /// Every slot has been ready once, or has failed for good.
    Up,
    /// A new generation is being started.
    Reloading,
    /// The new generation serves in a few slots and is watched, or has been watched and is no worse than the old.
    Canary,
    /// The new generation serves, and no older one is chosen any more.
    Reloaded,
    /// The new generation did not become ready: the old one serves on.
    RolledBack,
    /// The number of slots has changed.
    Scaled,
    /// The fleet serves otherwise than it may be meant to; the cause says how, and what to do.
    Warning,
    /// The fleet is ending.
    Ending,
    /// Its last worker is gone.
    Down,
}

impl Kind {
    /// The name in the event stream.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Spawned => "spawned",
            Kind::TakenOver => "taken_over",
            Kind::SpawnFailed => "spawn_failed",
            Kind::Listening => "listening",
            Kind::Ready => "ready",
            Kind::Message => "message",
            Kind::Disconnect => "disconnect",
            Kind::Rescued => "rescued",
            Kind::Hung => "hung",
            Kind::Recovered => "recovered",
            Kind::Recycling => "recycling",
            Kind::Draining => "draining",
            Kind::Stopping => "stopping",
            Kind::LeftCgroup => "left_cgroup",
            Kind::Killed => "killed",
            Kind::Exited => "exited",
            Kind::Failed => "failed",
            Kind::Emptied => "emptied",
            Kind::Up => "up",
            Kind::Reloading => "reloading",
            Kind::Canary => "canary",
            Kind::Reloaded => "reloaded",
            Kind::RolledBack => "rolled_back",
            Kind::Scaled => "scaled",
            Kind::Warning => "warning",
            Kind::Ending => "ending",
            Kind::Down => "down",
        }
    }
}

/// Something that has come to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub kind: Kind,
    /// To which worker; none if it is about a slot or the fleet.
    pub id: Option<WorkerId>,
    /// In which slot; none if it is about the fleet.
    pub slot: Option<Slot>,
    /// The generation that it is about.
    pub generation: Generation,
    /// Why.
    pub cause: String,
}
