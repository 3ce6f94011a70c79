//! The layout of every map value that crosses the kernel line.
//!
//! Each struct derives [`bytemuck::Pod`], so one with padding does not compile, and states its size beside it.
//! Change a struct and the version in [`crate::names::ABI`] grows: the loader refuses an object of another version.

use bytemuck::{Pod, Zeroable};

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
    /// The watermark of the last sign of life: requests whose [`Conn::ticket`] is below it are answered, over or parked.
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

/// A set of seats, bit by bit: seat `s` is bit `s % 64` of word `s / 64`.
pub type SeatSet = [u64; MAX_SEATS / 64];

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
const _: () = assert!(size_of::<Seats>() == 192 * MAX_SEATS + 128);

/// What userspace publishes for the selector: the single value of the map `PUBLISHED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Published {
    /// When this was published, ns; costs older than [`crate::select::STALE_AFTER_NS`] are not used.
    pub at: u64,
    /// A [`crate::policy::Policy`] as a number.
    pub policy: u32,
    /// The least-latency worker's seat, or [`NO_SEAT`].
    pub least: u32,
    /// Seats whose cost is not clearly above the least of all: while one of them is idle, none can be better.
    pub near: SeatSet,
    /// The index of the fleet's group if it has only one, or [`NO_GROUP`]: then nobody needs to ask whose the
    /// listener is.
    pub only_group: u32,
    /// How many requests a worker serves at once, if who finds none free is to wait in line; 0: nobody is.
    pub concurrency: u32,
    /// Grows with every migration of a connection: see [`Conn::epoch`]. The kernel's word, here because it is read with
    /// every request and changes as rarely as its neighbours.
    pub epoch: u64,
    /// By seat: what one request costs there, ns; 0 if userspace knows nothing and the kernel's own
    /// [`Seat::service_ns`] is to be used.
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

/// One place of a [`Line`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Place {
    /// When it was claimed, ns; 0 while it is free.
    pub claimed_at: u64,
    /// One more than the seat that gets what waits here, once its listener ends; 0: whom the policy chooses.
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
    pub free: u64,
    /// Words that fill the cache line.
    pub reserved: [u64; 7],
    /// By number.
    pub place: [Place; crate::line::PLACES as usize],
}
const _: () = assert!(size_of::<Line>() == 64 + 32 * crate::line::PLACES as usize);

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
    /// A word that fills half a cache line.
    pub reserved: u64,
}
const _: () = assert!(size_of::<FlowSeat>() == 32);

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
    /// Words that fill the cache line.
    pub reserved: [u64; 5],
    /// By seat.
    pub seat: [FlowSeat; MAX_SEATS],
    /// By the number of a living worker (`LLB_WORKER`): one more than its first seat, or 0.
    pub worker: [u16; crate::quic::MAX_WORKERS],
}
const _: () = assert!(size_of::<FlowSeats>() == 64 + 32 * MAX_SEATS + 2 * crate::quic::MAX_WORKERS);

/// Where one listening socket belongs: a value of the map `LISTENERS`, by socket cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Listener {
    /// Index into `GROUPS`.
    pub group: u32,
    /// Seat of the listener, or [`NO_SEAT`] while it has not joined; of a listener of llb's own its place in line
    /// ([`crate::line::number`]).
    pub seat: u32,
}
const _: () = assert!(size_of::<Listener>() == 8);

/// From where llb itself connects to one worker: a key of the map `REACHES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Asker {
    /// The address.
    pub source: crate::sticky::Source,
    /// The port, host byte order.
    pub port: u64,
}
const _: () = assert!(size_of::<Asker>() == 24);

/// Whom such a connection is meant for: a value of the map `REACHES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Reach {
    /// Index into `SOCKETS`: `group * MAX_SEATS + seat`.
    pub place: u32,
    /// 1 once the selector has sent it there.
    pub is_made: u32,
}
const _: () = assert!(size_of::<Reach>() == 8);

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
    /// [`Seat::begun`] as it stood when the present request began: its place in the order of the seat's requests.
    pub ticket: u64,
    /// [`Seat::begun`] as it stood when the connection was established, or last answered. If its next request is answered,
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

/// Whose socket it is, and what it has bound: the value of the socket storage `OWNER`, set when the socket binds; and the
/// key of the map `BOUND`, which names the first socket of a worker on an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Owner {
    /// Id of the worker's cgroup (the inode number of its directory).
    pub cgroup: u64,
    /// What it has bound.
    pub endpoint: Endpoint,
    /// [`OWNER_SHARES`] and [`OWNER_ALONE`].
    pub flags: u64,
}
const _: () = assert!(size_of::<Owner>() == 40);

/// [`Owner::flags`]: llb has set `SO_REUSEPORT`, and not the program.
pub const OWNER_SHARES: u64 = 1;
/// [`Owner::flags`]: the port is the worker's own, and is not steered.
pub const OWNER_ALONE: u64 = 2;
/// [`Owner::flags`]: it is llb's own, and shares a port with those of workers. Userspace's word.
pub const OWNER_LLB: u64 = 4;
/// [`Owner::flags`]: from this bit on, of a UDP socket that has joined, one more than its seat. Userspace's word.
pub const OWNER_SEAT_SHIFT: u32 = 8;

/// [`Endpoint::scope`], in `ENDPOINTS`: the group is one of UDP sockets; the rest is the index of the device.
pub const SCOPE_UDP: u32 = 1 << 31;

/// A local address: a key of the maps `STEERED`, used when ports are limited, and `ENDPOINTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Endpoint {
    /// IPv6 address, or IPv4 as `::ffff:a.b.c.d`; zero when every address of the port is meant.
    pub addr: [u8; 16],
    /// Port, host byte order.
    pub port: u32,
    /// In `CHECKS`: the port that is asked. In `STEERED`, 1: every address of this port. In `ENDPOINTS`: the index of the device that the listeners are bound
    /// to (`SO_BINDTODEVICE`), or 0.
    pub scope: u32,
}
const _: () = assert!(size_of::<Endpoint>() == 24);

/// A key of the map `TAKEN`: beside the port, that it is one of UDP.
pub const TAKEN_UDP: u32 = 1 << 16;

/// Ranges of ports in the map `OWN_PORTS`.
pub const MAX_OWN_PORTS: usize = 32;

/// Ports that are each worker's own: a value of the map `OWN_PORTS`. The first that is zero ends the list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct OwnPorts {
    /// The first port; 0: no range.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// 1: the worker gets the port that is higher by the number of its slot.
    pub by_slot: u32,
    /// A word that keeps the size a multiple of eight.
    pub reserved: u32,
}
const _: () = assert!(size_of::<OwnPorts>() == 16);

/// A worker's socket bound, listens or no longer does: a record of the ring buffer `EVENTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SocketEvent {
    /// The socket's cookie.
    pub cookie: u64,
    /// The worker's cgroup, from [`Owner`].
    pub cgroup: u64,
    /// [`EVENT_BIND`], [`EVENT_LISTEN`], [`EVENT_CLOSE`], [`EVENT_ANSWER`], [`EVENT_RELEASE`] or [`EVENT_RECEIVE`].
    pub kind: u32,
    /// Local port, host byte order.
    pub port: u32,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u32,
    /// A word that keeps the size a multiple of eight.
    pub reserved: u32,
    /// Local address: IPv6, or IPv4 as `::ffff:a.b.c.d`.
    pub addr: [u8; 16],
}
const _: () = assert!(size_of::<SocketEvent>() == 48);

/// [`SocketEvent::kind`]: the socket is about to bind; the kernel may still refuse the address.
pub const EVENT_BIND: u32 = 3;
/// [`SocketEvent::kind`]: the socket entered the listening state.
pub const EVENT_LISTEN: u32 = 1;
/// [`SocketEvent::kind`]: the socket left it.
pub const EVENT_CLOSE: u32 = 2;
/// [`SocketEvent::kind`]: a worker has answered while somebody waits in line; nothing else is said.
pub const EVENT_ANSWER: u32 = 4;
/// [`SocketEvent::kind`]: nobody has the socket open any more, whether or not it has ever listened.
pub const EVENT_RELEASE: u32 = 5;
/// [`SocketEvent::kind`]: a UDP socket has bound, so datagrams come.
pub const EVENT_RECEIVE: u32 = 6;
