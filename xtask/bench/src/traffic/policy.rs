//! The policies that a cell compares.

/// llb's policies. Its hash is the kernel's own choice, for programs as they come; it is there twice, as if it were two, and the
/// difference is noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Hash,
    HashAgain,
    RoundRobin,
    LeastInflight,
    LeastLatency,
}

impl Policy {
    pub(super) const ALL: [Self; 5] =
        [Self::Hash, Self::HashAgain, Self::RoundRobin, Self::LeastInflight, Self::LeastLatency];

    /// As `--policy` takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hash | Self::HashAgain => "hash",
            Self::RoundRobin => "round-robin",
            Self::LeastInflight => "least-inflight",
            Self::LeastLatency => "least-latency",
        }
    }
}
