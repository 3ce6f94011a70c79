//! Clients and their homes.

use bytemuck::{Pod, Zeroable};

use super::MAX_SEATS;

/// What is remembered of a client: a value of the maps `CLIENTS` and `NEWCOMERS`, by [`crate::sticky::Source`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Client {
    /// When it last came, ns; up to a second earlier.
    pub used_at: u64,
    /// Where it belongs: see [`crate::sticky`].
    pub home: u32,
    /// Where it goes while its slot is out, or [`crate::sticky::NO_HOME`].
    pub away: u32,
}
const _: () = assert!(size_of::<Client>() == 16);

/// What userspace says of clients that are to be remembered, and what is counted of them: the single value of the map
/// `STICKY`, memory-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Sticky {
    /// How long a client is remembered that does not come, ns.
    pub ttl_ns: u64,
    /// From so many clients on a slot gets no new ones ([`crate::sticky::bound`]).
    pub bound: u64,
    /// How many slots there are.
    pub slots: u64,
    /// Choices for clients that were not known.
    pub new: u64,
    /// Choices for clients whose slot was out.
    pub moved: u64,
    /// Clients that have been entered into `CLIENTS`.
    pub entered: u64,
    /// Words that fill the cache line.
    pub reserved: [u64; 2],
    /// By seat: one more than its home, or 0.
    pub home: [u16; MAX_SEATS],
    /// By slot: its clients, as far as is known ([`crate::sticky::fade`]).
    pub clients: [u64; MAX_SEATS],
}
const _: () = assert!(size_of::<Sticky>() == 64 + 2 * MAX_SEATS + 8 * MAX_SEATS);

/// Who is at home in a group: a value of the map `HOMES`, memory-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Homes {
    /// By home: one more than the seat that takes new connections there, or 0.
    pub seat: [u16; crate::sticky::MAX_HOMES],
}
const _: () = assert!(size_of::<Homes>() == 2 * crate::sticky::MAX_HOMES);
