//! The books of seats.

use bytemuck::{Pod, Zeroable};

use super::{MAX_SEATS, SeatSet};

/// One seat's books. Only the kernel programs write them, but for `service_ns`, which userspace sets to 0 when what it
/// says is of another time or worker, `due_at`, put off after a rescue, and, when it has seen that the worker lives,
/// `progress_at`, `passed` and `alive`; all counters but [`settled`](Seat::settled) only grow, so a difference of two can be read at any time without a lock and cannot wrap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Seat {
    /// Requests begun: the first byte has come in, or the server spoke first.
    pub begun: u64,
    /// Requests ended: the first byte went out, the connection closed, or it moved to another seat.
    pub ended: u64,
    /// Connections that the selector gave to this seat, migrated ones too: each is charged at once.
    pub charged: u64,
    /// Charges that became requests, were closed, or have been forgotten.
    pub settled: u64,
    /// Requests that do not count against the worker any more: ended ones, and those that are parked, as the worker has
    /// shown a sign of life for a younger one. The others, [`begun`](Seat::begun) less these, it was given since its last
    /// sign of life ([`crate::select::given`]).
    pub passed: u64,
    /// When the seat last became busy, or its worker last showed a sign of life, ns.
    pub progress_at: u64,
    /// A running centre of the service times, ns ([`crate::track::centre_after`]); 0 until the first answer.
    pub service_ns: u64,
    /// A running mean of the times between two answers while requests waited, ns, at most 4 s
    /// ([`crate::track::pace_after`]); 0 while none has. What one more request costs a worker that is awake.
    pub queued_ns: u32,
    /// How often answers overtake, of [`crate::track::OVERTAKING_ALWAYS`]: whether the worker serves several at a time.
    pub overtaking: u32,
    /// [`charged`](Seat::charged) as it stood at the last roll: what is forgotten at the next.
    pub mark: u64,
    /// When charges are to be rolled next, ns.
    pub due_at: u64,
    /// The watermark of the last sign of life: requests whose [`Conn::ticket`](super::Conn::ticket) is below it are answered, over or parked.
    pub alive: u64,
    /// Connections established.
    pub opened: u64,
    /// Connections closed, or moved to another seat.
    pub closed: u64,
    /// Requests that got a first byte back.
    pub answered: u64,
    /// Connections that the worker closed or reset without answering the request it held, or soon and without a byte.
    pub failed: u64,
    /// A running centre of the handshakes' round trips, us ([`crate::track::handshake_after`]); 0 until the first.
    pub handshake_us: u32,
    /// By how much errors raise [`service_ns`](Seat::service_ns), in 256ths of what it would be without them
    /// ([`crate::track::pace_after`]).
    pub penalty: u32,
    /// Answers that say themselves that they are errors: "HTTP/1.x 5".
    pub errors: u64,
    /// Service times that [`service_ns`](Seat::service_ns) is made of, while they are few: [`crate::track::FEW_SAMPLES`].
    pub samples: u64,
    /// Room for more words, so that a seat fills three cache lines exactly: the first is what a choice reads, and the last
    /// what is seldom written.
    pub reserved: [u64; 6],
}
const _: () = assert!(size_of::<Seat>() == 192);
const _: () = assert!(core::mem::offset_of!(Seat, mark) == 64);

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 128;

/// How long a seat's answers took, from a request's first byte in to the first byte out: a value of the map `LATENCY`.
/// The buckets are those of [`crate::histogram`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Histogram {
    /// Answers by bucket.
    pub counts: [u64; BUCKETS],
}
const _: () = assert!(size_of::<Histogram>() == 8 * BUCKETS);

/// The seats of a fleet: the single value of the map `SEATS`. One lookup reaches them all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Seats {
    /// By seat index.
    pub seat: [Seat; MAX_SEATS],
    /// Seats that had nothing in flight and no charge when last looked at: a hint, so that a choice needs to look at
    /// one of them only. The selector takes a seat out when it chooses it; an answer, or userspace when it publishes,
    /// puts it back.
    pub idle: SeatSet,
    /// Seats with fewer open connections than [`level`](Self::level): of idle ones these come first. Userspace publishes the
    /// set, and the selector takes a seat out when it has come up to the level.
    pub fewest: SeatSet,
    /// The seat that was chosen last.
    pub last: u64,
    /// How many open connections a seat is to have before others come first again.
    pub level: u64,
    /// What the first answer took, ns, of the seat of which that was last known; 0 until then. What busy seats are taken to
    /// cost of which nothing is known ([`crate::select::Load::or_like`]), until userspace publishes the fleet's median.
    pub first_ns: u64,
    /// Beside how many older requests one was answered lately, at most: so many the workers have been seen to hold without being held up
    /// by them. Where each of `k` threads serves one it is never more than `k - 1`; where polls are held, as many as they are. Of all
    /// seats, as they are copies of one program. Userspace takes some of it away with time.
    pub beside: u64,
    /// What the fleet's TLS 1.3 session tickets look like: the length of their records, 0 if it is not known, or
    /// [`crate::wire::NO_TICKETS`].
    pub ticket: u64,
    /// How many places are taken in all lines.
    pub waiting: u64,
    /// How many connections of llb's own are meant for one worker: entries of `REACHES`. Userspace's word; while it is 0 nobody
    /// looks for them.
    pub reaching: u64,
    /// Until when choices are noted for `llb why`, ns; 0: they are not. Userspace's word; the kernel sees to the time itself, so
    /// that it also ends where userspace does.
    pub why_until: u64,
    /// How long to wait after a choice that was noted, ns.
    pub why_every: u64,
    /// When the next choice is to be noted, ns.
    pub why_next: u64,
}
const _: () = assert!(size_of::<Seats>() == 192 * MAX_SEATS + 144);
