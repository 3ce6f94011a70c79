//! What an operator may want of a running fleet, and why it may not be had.

use std::time::Duration;

use crate::model::{Generation, Slot};

/// A wish of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Replace every worker by one of a new generation.
    Reload(Style),
    /// The same, after the new code has been watched in a few slots.
    Try(Style, Canary),
    /// Have so many slots.
    Scale {
        /// 1 to [`llb_common::abi::MAX_SEATS`].
        workers: u32,
    },
    /// End the worker of a slot when it has finished, and leave the slot empty.
    Drain {
        /// The slot.
        slot: Slot,
    },
    /// Replace the worker of a slot, or fill the slot again.
    Restart {
        /// The slot.
        slot: Slot,
    },
    /// End everything in order.
    Stop,
}

/// How a reload goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// All new workers start beside the old ones; when all are ready the old ones go.
    AtOnce,
    /// Slot by slot: each old worker goes when the new one of its slot is ready, or before.
    Rolling {
        /// How many workers there may be more than slots, those that are ending included. With none each old worker ends
        /// before the new one of its slot starts.
        max_surge: u32,
    },
}

/// How new code is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// In how many slots, the first ones.
    pub slots: u32,
    /// For how long it is watched, once all of them serve.
    pub watch: Duration,
}

/// What follows from a wish that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is done, or goes its way.
    Done,
    /// This generation is being started.
    Reloading(Generation),
    /// This one will be, when the reload that is going on is over.
    Queued(Generation),
}

/// Why a wish is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not everything has been ready once.
    #[error("the fleet is still coming up; wait until it serves")]
    ComingUp,
    /// It is ending.
    #[error("the fleet is ending")]
    Ending,
    /// There is no such slot.
    #[error("there is no slot {slot}; the fleet has slots 0 to {}", slots.saturating_sub(1))]
    NoSuchSlot {
        /// The one that was named.
        slot: Slot,
        /// How many there are.
        slots: u32,
    },
    /// Nobody else would serve.
    #[error(
        "no other worker serves just now, so connections would be refused; start another one first, or stop the fleet"
    )]
    LastOne,
    /// Too many slots to try new code in, or none.
    #[error("new code is tried in some slots beside others: give 1 to {most} of them, as --canary")]
    BadCanary {
        /// One less than are filled.
        most: usize,
    },
    /// Nothing is counted by which new code could be compared.
    #[error("--canary needs a fleet with --tracking full: nothing else counts failures and times")]
    NoBooks,
    /// A number of workers that cannot be.
    #[error("a fleet has 1 to {} workers", llb_common::abi::MAX_SEATS)]
    BadCount,
    /// Too many workers of earlier generations have not ended yet.
    #[error(
        "only {free} of {} seats are free, and the new workers need {needed}: older ones have not finished; \
         wait for them, take a shorter --drain-timeout, or reload with --rolling",
        llb_common::abi::MAX_SEATS
    )]
    NoSeats {
        /// Free seats.
        free: usize,
        /// One for each new worker.
        needed: usize,
    },
}
