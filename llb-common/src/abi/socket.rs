//! Sockets: whose they are, and where.

use bytemuck::{Pod, Zeroable};

/// Where one listening socket belongs: a value of the map `LISTENERS`, by socket cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Listener {
    /// Index into `GROUPS`.
    pub group: u32,
    /// Seat of the listener, or [`NO_SEAT`](super::NO_SEAT) while it has not joined; of a listener of llb's own its place in line
    /// ([`crate::line::number`]).
    pub seat: u32,
}
const _: () = assert!(size_of::<Listener>() == 8);

/// Whose socket it is, and what it has bound: the value of the socket storage `OWNER`, set when the socket binds; and the
/// key of the map `BOUND`, which names the first socket of a worker on an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Owner {
    /// Id of the worker's cgroup (the inode number of its directory).
    pub cgroup: u64,
    /// What it has bound.
    pub endpoint: Endpoint,
    /// [`OWNER_SHARES`], [`OWNER_ALONE`] and [`OWNER_LLB`].
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
