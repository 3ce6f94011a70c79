//! What a choice goes by.

use bytemuck::{Pod, Zeroable};

use super::{MAX_SEATS, SeatSet};

/// What userspace publishes for the selector: the single value of the map `PUBLISHED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Published {
    /// When this was published, ns; costs older than [`crate::select::STALE_AFTER_NS`] are not used.
    pub at: u64,
    /// A [`crate::policy::Policy`] as a number.
    pub policy: u32,
    /// The least-latency worker's seat, or [`NO_SEAT`](super::NO_SEAT).
    pub least: u32,
    /// Seats whose cost is not clearly above the least of all: while one of them is idle, none can be better.
    pub near: SeatSet,
    /// The index of the fleet's group if it has only one, or [`NO_GROUP`](super::NO_GROUP): then nobody needs to ask whose the
    /// listener is.
    pub only_group: u32,
    /// How many requests a worker serves at once, if who finds none free is to wait in line; 0: nobody is.
    pub concurrency: u32,
    /// Grows with every migration of a connection: see [`Conn::epoch`](super::Conn::epoch). The kernel's word, here because it is read with
    /// every request and changes as rarely as its neighbours.
    pub epoch: u64,
    /// By seat: what one request costs there, ns; 0 if userspace knows nothing and the kernel's own
    /// [`Seat::service_ns`](super::Seat::service_ns) is to be used.
    pub cost_ns: [u64; MAX_SEATS],
}
const _: () = assert!(size_of::<Published>() == 64 + 8 * MAX_SEATS);

/// The seats that have a listener in one group: a value of the map `GROUPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Group {
    /// The same seats as in `seats`, as a set.
    pub members: SeatSet,
    /// How many of `seats` count.
    pub count: u32,
    /// A word that keeps the size a multiple of eight.
    pub reserved: u32,
    /// Seat indices, in no order.
    pub seats: [u8; MAX_SEATS],
}
const _: () = assert!(size_of::<Group>() == 40 + MAX_SEATS);
