//! The layout of every map value that crosses the kernel line.
//!
//! Each struct derives [`bytemuck::Pod`], so one with padding does not compile, and states its size beside it.
//! Change a struct and the version in [`crate::names::ABI`] grows: the loader refuses an object of another version.

mod choice;
mod conn;
mod flow;
mod line;
mod reach;
mod seat;
mod socket;
mod sticky;

pub use self::{
    choice::{Group, Published},
    conn::{Conn, Direction, Words},
    flow::{FlowCount, FlowSeat, FlowSeats},
    line::{Line, Place},
    reach::{Asker, Reach},
    seat::{BUCKETS, Histogram, Seat, Seats},
    socket::{
        EVENT_ANSWER, EVENT_BIND, EVENT_CLOSE, EVENT_LISTEN, EVENT_RECEIVE, EVENT_RELEASE, Endpoint, Listener,
        MAX_OWN_PORTS, OWNER_ALONE, OWNER_LLB, OWNER_SEAT_SHIFT, OWNER_SHARES, OwnPorts, Owner, SCOPE_UDP, SocketEvent,
        TAKEN_UDP,
    },
    sticky::{Client, Homes, Sticky},
};

/// Seats of one fleet: the most workers (old and new ones during a reload together) that can be chosen from.
/// A power of two and at most 256, so that a `u8` is always a valid index and the verifier needs no check.
pub const MAX_SEATS: usize = 256;

/// Groups (protocol, address and port) of one fleet. A worker rarely has more than a handful of listeners.
pub const MAX_GROUPS: usize = 64;

/// Listeners of one fleet, living and just closed: a full house and the one that replaces it, and the places of all lines.
pub const MAX_LISTENERS: usize = 2 * MAX_SEATS * 8 + MAX_GROUPS * crate::line::PLACES as usize;

/// "No seat" where a seat's index is expected.
pub const NO_SEAT: u32 = u32::MAX;

/// "No group" where a group's index is expected.
pub const NO_GROUP: u32 = u32::MAX;

/// A set of seats, bit by bit: seat `s` is bit `s % 64` of word `s / 64`.
pub type SeatSet = [u64; MAX_SEATS / 64];
