//! The ways to choose a seat.

/// How the selector chooses. The numbers are part of the ABI ([`crate::abi::Published::policy`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Policy {
    /// The kernel's own hash of the connection's addresses: plain `SO_REUSEPORT`.
    Hash = 0,
    /// Each seat in turn.
    RoundRobin = 1,
    /// The published least-latency seat, whatever it already holds: the plain design, kept to compare.
    Argmin = 2,
    /// The seat with the least expected completion time; see [`crate::select::expected_ns`].
    #[default]
    LeastLatency = 3,
    /// The seat with the fewest requests in flight and charged, whatever they cost.
    LeastInflight = 4,
}

impl Policy {
    /// All of them, by number.
    pub const ALL: [Policy; 5] =
        [Policy::Hash, Policy::RoundRobin, Policy::Argmin, Policy::LeastLatency, Policy::LeastInflight];

    /// The policy's number.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self as u32
    }

    /// The policy of this number. An unknown number is the kernel's hash: the selector fails open.
    #[must_use]
    #[inline(always)]
    pub const fn from_u32(number: u32) -> Self {
        match number {
            1 => Policy::RoundRobin,
            2 => Policy::Argmin,
            3 => Policy::LeastLatency,
            4 => Policy::LeastInflight,
            _ => Policy::Hash,
        }
    }

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Hash => "hash",
            Policy::RoundRobin => "round-robin",
            Policy::Argmin => "argmin",
            Policy::LeastLatency => "least-latency",
            Policy::LeastInflight => "least-inflight",
        }
    }
}
