//! The words that every room uses.
//!
//! ```
//! use std::{net::Ipv6Addr, time::Duration};
//! use llb::model::{Address, Generation, Instant, Seat, Slot, WorkerId};
//!
//! // Two lives in one slot, that of a worker and that of its replacement, in seats of their own.
//! let (slot, old, new) = (Slot(3), (WorkerId(17), Seat(3)), (WorkerId(41), Seat(8)));
//! assert_eq!(format!("slot {slot}: {} in {}, then {} in {}", old.0, old.1, new.0, new.1), "slot 3: 17 in 3, then 41 in 8");
//! assert!(Generation(2) > Generation(1));
//!
//! let begun = Instant(5_000_000_000);
//! let answered = begun.after(Duration::from_millis(12));
//! assert_eq!(answered.since(begun), 12_000_000);
//! assert_eq!(begun.since(answered), 0);
//!
//! assert_eq!(Address((Ipv6Addr::LOCALHOST, 8080).into()).to_string(), "[::1]:8080");
//! ```

use std::{fmt, net::SocketAddr};

pub use crate::instant::Instant;

/// One place in the fleet, 0 to N-1; what a worker sees as `WORKER_ID`. It outlives the worker that fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Index of a live worker's listeners in the kernel's maps; see [`llb_common::abi::Seat`]. Never shared by two live
/// workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub u32);

/// Grows by one with every reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// An address that workers share: one kernel reuseport group each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub SocketAddr);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Address {
    /// An IPv4 address is shown as such, also where a socket of IPv6 is bound to it.
    #[must_use]
    pub fn canonical(self) -> SocketAddr {
        SocketAddr::new(self.0.ip().to_canonical(), self.0.port())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.canonical().fmt(f)
    }
}

/// One worker's life; never used twice, where a slot and a pid may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
