//! Names of programs, maps and globals in the eBPF object. A program must not bear the name of its ELF section.

/// Global of type `u32` whose name carries the version of the layouts in [`crate::abi`]: change a layout and the
/// number grows, and the loader refuses an object that lacks the name.
pub const ABI: &str = "LLB_ABI_13";
/// Global of type `u32`: 1 if only the endpoints in [`STEERED`] are steered.
pub const LIMITED: &str = "LLB_LIMITED";
/// Global of type `u32`: the depth of the workers' cgroups below the root of the hierarchy, or
/// 0 if it is not known.
pub const CGROUP_LEVEL: &str = "LLB_CGROUP_LEVEL";
/// Global of type `u32`: how many bits of an IPv4 address make a client, and times 256 the same of IPv6;
/// 0 if clients are not remembered.
pub const PREFIXES: &str = "LLB_PREFIXES";

/// `cgroup/bind4`: shares the port and tags the socket.
pub const BIND4: &str = "llb_bind4";
/// `cgroup/bind6`: the same for IPv6.
pub const BIND6: &str = "llb_bind6";
/// `cgroup/sock_release`: forgets what a socket had bound.
pub const RELEASE: &str = "llb_release";
/// `sock_ops`: listeners that appear and go, connections that open and close.
pub const SOCKOPS: &str = "llb_sockops";
/// `cgroup_skb/ingress`: the first byte of a request.
pub const INGRESS: &str = "llb_ingress";
/// `cgroup_skb/egress`: the first byte of an answer.
pub const EGRESS: &str = "llb_egress";
/// `sk_reuseport/migrate`: picks the seat.
pub const STEER: &str = "llb_steer";
/// `cgroup/post_bind4`: tells of UDP sockets.
pub const POST_BIND4: &str = "llb_bound4";
/// `cgroup/post_bind6`: the same for IPv6.
pub const POST_BIND6: &str = "llb_bound6";
/// `sk_reuseport`: picks the seat of a datagram.
pub const FLOW: &str = "llb_flow";
/// `sk_lookup`: leads a connection of llb's own to one listener.
pub const CHECK: &str = "llb_check";

/// `REUSEPORT_SOCKARRAY`: `group * MAX_SEATS + seat` to listening socket, and after those the places of the lines.
pub const SOCKETS: &str = "SOCKETS";
/// Array of one [`crate::abi::Seats`].
pub const SEATS: &str = "SEATS";
/// Array of [`crate::abi::Histogram`], by seat.
pub const LATENCY: &str = "LATENCY";
/// Array of one [`crate::abi::Published`].
pub const PUBLISHED: &str = "PUBLISHED";
/// Array of [`crate::abi::Group`].
pub const GROUPS: &str = "GROUPS";
/// Array of [`crate::abi::Line`], by group.
pub const LINES: &str = "LINES";
/// Hash: listener's cookie to [`crate::abi::Listener`].
pub const LISTENERS: &str = "LISTENERS";
/// Hash: a group's [`crate::abi::Endpoint`] to its index in [`GROUPS`].
pub const ENDPOINTS: &str = "ENDPOINTS";
/// Socket storage of [`crate::abi::Conn`].
pub const CONN: &str = "CONN";
/// Hash of [`crate::abi::Endpoint`] to `u8`.
pub const STEERED: &str = "STEERED";
/// Per-CPU array of `u64`, by [`crate::outcome::Outcome`].
pub const COUNTERS: &str = "COUNTERS";
/// Ring buffer of [`crate::abi::SocketEvent`].
pub const EVENTS: &str = "EVENTS";
/// Ring buffer of [`crate::why::Sample`].
pub const CHOICES: &str = "CHOICES";
/// Array of [`crate::abi::OwnPorts`].
pub const OWN_PORTS: &str = "OWN_PORTS";
/// Hash: id of a worker's cgroup to the number of its slot.
pub const SLOTS: &str = "SLOTS";
/// Hash of sockets: who asks, and at which port (`scope`), as [`crate::abi::Endpoint`], to the listener that is asked.
pub const CHECKS: &str = "CHECKS";
/// Hash: from where llb connects to one worker, as [`crate::abi::Asker`], to [`crate::abi::Reach`].
pub const REACHES: &str = "REACHES";
/// Hash of ports that other fleets listen on.
pub const TAKEN: &str = "TAKEN";
/// Array of one [`crate::abi::Sticky`].
pub const STICKY: &str = "STICKY";
/// Array of [`crate::abi::Homes`], by group.
pub const HOMES: &str = "HOMES";
/// LRU hash of [`crate::sticky::Source`] to [`crate::abi::Client`]: clients that have established a connection.
pub const CLIENTS: &str = "CLIENTS";
/// The same, of clients that have not.
pub const NEWCOMERS: &str = "NEWCOMERS";
/// Array of [`crate::flow::Set`].
pub const FLOWS: &str = "FLOWS";
/// Array of one [`crate::abi::FlowSeats`].
pub const FLOW_SEATS: &str = "FLOW_SEATS";
/// Per-CPU array of `u64`: datagrams by seat, and after those by [`crate::flow::Fate`].
pub const FLOW_COUNTS: &str = "FLOW_COUNTS";
