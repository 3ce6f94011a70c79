//! The workers as processes: how one is spawned, where it lives, how its listener is found, when the next may start.
//!
//! A fleet is one cgroup, with a cgroup for each worker in it. What belongs to a worker is what is in its cgroup:
//! also what it forks, renames or daemonizes. So nothing is ever killed, counted or recognised by a guess.

pub mod acceptance;
pub(crate) mod backlog;
pub mod backoff;
pub mod canary;
pub mod cgroup;
pub mod channel;
pub mod closing;
pub mod course;
pub mod find;
pub mod graceful;
pub mod hang;
pub mod lock;
pub mod memory;
pub mod notify;
pub mod quiet;
pub mod recycle;
pub mod restarts;
pub mod shutdown;
pub mod spawn;
pub mod takeover;
pub mod totals;
pub mod usage;

mod bound;
mod bypass;
mod command;
mod effect;
mod note;
pub(crate) mod others;
mod reach;
mod supervisor;
mod worker;

pub(crate) use bound::Bound;
pub(crate) use bypass::Bypass;
pub(crate) use cgroup::ran_out_of_memory;
pub use cgroup::{CgroupError, FleetCgroup, WorkerCgroup, clear_leftover, end_leftover, fleet_path};
pub use command::{Canary, Command, Granted, Refusal, Style};
pub use effect::{CloseScope, Effect, Failure, NewWorker};
pub use lock::{LockError, RuntimeDir, Secret};
pub use note::{Kind, Note};
pub use notify::NotifySocket;
pub(crate) use others::Others;
pub(crate) use reach::{Unreachable, pick};
pub use spawn::{Order, Output, SpawnError, Spawned, spawn};
pub use supervisor::{Adopted, AdoptedSlot, AdoptedWorker, Rules, SlotState, Supervisor};
pub use worker::{Holding, Listener, Sight, State, Worker};
