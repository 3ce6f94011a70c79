//! What is noted of a choice while somebody asks why (`llb why`): what the choice read, and which seat it took. The kernel side writes
//! it, userspace makes the choice again from it ([`crate::select::choose`]) and so knows each step.

use bytemuck::{Pod, Zeroable};

use crate::{
    abi::{MAX_SEATS, SeatSet},
    select::Load,
};

/// [`Sample::flags`]: there is a line, so what is published of the seat that was chosen last does not count.
pub const LINED_UP: u32 = 1;

/// [`Sample::flags`]: a connection that waited, and whose listener closed.
pub const MOVING: u32 = 2;

/// What a choice knows of one seat: a [`Load`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Look {
    /// [`Load::requests`]
    pub requests: u64,
    /// [`Load::since`]
    pub since: u64,
    /// [`Load::cost_ns`]
    pub cost_ns: u64,
    /// [`Load::queued_ns`]
    pub queued_ns: u64,
    /// [`Load::parked`]
    pub parked: u64,
    /// [`Load::unproven`]
    pub unproven: u64,
    /// Not 0: [`Load::concurrent`].
    pub concurrent: u32,
    /// Whose.
    pub seat: u32,
}
const _: () = assert!(size_of::<Look>() == 56);

impl Look {
    /// Of a seat's load.
    #[must_use]
    #[inline(always)]
    pub fn of(seat: u32, load: Load) -> Self {
        let Load { requests, since, cost_ns, queued_ns, concurrent, parked, unproven } = load;
        Look { requests, since, cost_ns, queued_ns, parked, unproven, concurrent: concurrent.into(), seat }
    }

    /// The load again.
    #[must_use]
    pub const fn load(&self) -> Load {
        let Look { requests, since, cost_ns, queued_ns, parked, unproven, concurrent, .. } = *self;
        Load { requests, since, cost_ns, queued_ns, concurrent: concurrent != 0, parked, unproven }
    }
}

/// One choice: a record of the ring buffer `CHOICES`, which ends after the last look.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Sample {
    /// When, ns.
    pub at: u64,
    /// [`crate::select::Fleet::idle`] of all members.
    pub idle: SeatSet,
    /// The same of those that are near the least cost.
    pub near: SeatSet,
    /// [`crate::select::Fleet::fewest`]
    pub fewest: SeatSet,
    /// [`crate::select::Fleet::last`]
    pub last: u32,
    /// The published least-latency seat.
    pub least: u32,
    /// What the search began with.
    pub turn: u32,
    /// Index of the group.
    pub group: u32,
    /// A [`crate::policy::Policy`] as a number.
    pub policy: u32,
    /// [`LINED_UP`] and [`MOVING`].
    pub flags: u32,
    /// A [`crate::outcome::Outcome`] as a number.
    pub outcome: u32,
    /// Who got it: a seat, a place in line, or [`crate::abi::NO_SEAT`].
    pub seat: u32,
    /// A word that keeps the size a multiple of eight.
    pub reserved: u32,
    /// How many of `looks` count: all members, or none where it came to no choice.
    pub count: u32,
    /// By place in the group.
    pub looks: [Look; MAX_SEATS],
}
const _: () = assert!(size_of::<Sample>() == HEAD + size_of::<Look>() * MAX_SEATS);

/// Bytes of a [`Sample`] before its looks.
pub const HEAD: usize = core::mem::offset_of!(Sample, looks);
