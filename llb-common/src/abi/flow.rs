//! UDP.

use bytemuck::{Pod, Zeroable};

use super::MAX_SEATS;

/// A seat's UDP load.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowSeat {
    /// Flows that live and have sent more than one datagram: as userspace has counted them, and those since.
    pub flows: u64,
    /// When the first datagram came that nothing has been sent after, ns; 0: none has.
    pub owed_since: u64,
    /// Not 0: the worker has sent something.
    pub talks: u64,
    /// Of the QUIC connection ids that the worker chooses: 0, as nobody has begun a connection; [`crate::quic::ASKED`]; or
    /// [`crate::quic::told`].
    pub id_length: u64,
}
const _: () = assert!(size_of::<FlowSeat>() == 32);

/// What one CPU has counted: a value of the map `FLOW_COUNTS`, by seat, and behind the seats by [`crate::flow::Fate`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowCount {
    /// Datagrams.
    pub datagrams: u64,
    /// Of a seat: the tick of the kernel's clock in which this CPU has last seen to [`FlowSeat::owed_since`]. That word is the
    /// worker's CPU's as well, so to look at it with each datagram takes as long as all the rest.
    pub looked_in: u64,
}
const _: () = assert!(size_of::<FlowCount>() == 16);

/// What is said of UDP: the single value of the map `FLOW_SEATS`, memory-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct FlowSeats {
    /// The number of the present window of time ([`crate::flow`]). Userspace counts.
    pub window: u64,
    /// One more than the index of the fleet's group of UDP sockets if it has only one, or 0: then nobody needs to ask whose the
    /// socket is.
    pub only_group: u64,
    /// Not 0: where a flow is not known, the QUIC connection id may say whose it is ([`crate::quic`]).
    pub quic_lb: u64,
    /// Random: what connection ids are hashed with. Whoever makes up ids does not know where they come to lie.
    pub secret: u64,
    /// Words that fill the cache line.
    pub reserved: [u64; 4],
    /// By seat.
    pub seat: [FlowSeat; MAX_SEATS],
    /// By the number of a living worker (`LLB_WORKER`): one more than its first seat, or 0.
    pub worker: [u16; crate::quic::MAX_WORKERS],
}
const _: () = assert!(size_of::<FlowSeats>() == 64 + 32 * MAX_SEATS + 2 * crate::quic::MAX_WORKERS);
