//! Places where connections wait while no worker is free.

use bytemuck::{Pod, Zeroable};

/// One place of a [`Line`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Place {
    /// When it was claimed, ns; 0 while it is free.
    pub claimed_at: u64,
    /// One more than the seat that gets what waits here, once its listener ends; 0: the one that the policy chooses.
    pub target: u64,
    /// Requests begun here, less those that ended.
    pub begun: u64,
    /// Connections that closed here.
    pub closed: u64,
}
const _: () = assert!(size_of::<Place>() == 32);

/// A group's line: a value of the map `LINES`, memory-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Line {
    /// The places that are free, bit by bit: the selector takes one out when it claims it, userspace puts it back.
    pub free: [u64; crate::line::WORDS],
    /// Words that fill the cache line.
    pub reserved: [u64; 8 - crate::line::WORDS],
    /// By number.
    pub place: [Place; crate::line::PLACES as usize],
}
const _: () = assert!(size_of::<Line>() == 64 + 32 * crate::line::PLACES as usize);
