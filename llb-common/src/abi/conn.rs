//! Connections, and what their segments say.

use bytemuck::{Pod, Zeroable};

/// What a socket carries about its seat: the value of the socket storage `CONN`. Userspace sets it on a listener,
/// and the kernel copies it to every connection accepted from there (`BPF_F_CLONE`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Conn {
    /// A [`crate::track::Phase`] as a number. It changes together with `state`, as one word of eight bytes.
    pub phase: u32,
    /// What it speaks, and what has been said: [`crate::wire`].
    pub state: u32,
    /// The fleet's epoch when this connection was last seen: an older one says that connections have been migrated
    /// away since, and that the map `MOVED` knows whether this is one of them.
    pub epoch: u64,
    /// When the present request began, or the connection was established, ns.
    pub since: u64,
    /// [`Seat::begun`](super::Seat::begun) as it stood when the present request began: its place in the order of the seat's requests.
    pub ticket: u64,
    /// [`Seat::begun`](super::Seat::begun) as it stood when the connection was established, or last answered. If its next request is answered,
    /// the requests below this have been overtaken. [`u64::MAX`] from a move to another seat to the next answer: of what
    /// waited elsewhere nothing follows.
    pub born: u64,
    /// Seat whose books hold this connection.
    pub seat: u32,
    /// A word that keeps the size a multiple of eight.
    pub reserved: u32,
    /// What has come in.
    pub inward: Direction,
    /// What has gone out.
    pub outward: Direction,
}
const _: () = assert!(size_of::<Conn>() == 176);
const _: () = assert!(core::mem::offset_of!(Conn, phase) == 0 && core::mem::offset_of!(Conn, state) == 4);

/// How far one direction of a connection has been read. Only the program of that direction writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Direction {
    /// The highest sequence number that has been seen, plus one: what lies below is old.
    pub next: u32,
    /// Bytes of the present record or frame that are still to come, or [`crate::wire::LOST`].
    pub rest: u32,
    /// The beginning of a header that lies in two segments.
    pub head: u64,
    /// How many bytes of it are there.
    pub have: u32,
    /// In TLS the length of the last record that may be a ticket (outward), or of the last one (inward). In HTTP/2 the highest stream that has begun
    /// (inward), or the one that ended last (outward).
    pub last: u32,
    /// What its last segment says.
    pub words: Words,
}
const _: () = assert!(size_of::<Direction>() == 64);

/// What a segment says: [`crate::wire`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Words {
    /// Requests that begin.
    pub begins: u32,
    /// Requests that end: HTTP/2's streams, or one that was none after all.
    pub ends: u32,
    /// Not 0: the first byte of an answer is there.
    pub answers: u32,
    /// Not 0: the answer calls itself an error.
    pub error: u32,
    /// Not 0: how long the answer took is not known.
    pub untimed: u32,
    /// Not 0: from here on the connection is opaque; in HTTP/2, which is read on: not all could be read.
    pub opaque: u32,
    /// Bits of [`Conn::state`] to set.
    pub sets: u32,
    /// Bits to clear before.
    pub clears: u32,
    /// A ticket's length that was learnt, or [`crate::wire::NO_TICKETS`]; 0 for nothing.
    pub ticket: u32,
    /// Not 0: a part of a TLS handshake is there.
    pub handshake: u32,
}
