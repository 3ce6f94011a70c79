//! What becomes of datagrams, as it is counted.

/// What became of a datagram; the number is its place in the map `FLOW_COUNTS`, after the seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fate {
    /// Its flow is known, and it went to its worker.
    Known = 0,
    /// It is the first of a flow, and a worker was chosen.
    New = 1,
    /// Its flow's worker is gone: it went to another.
    Moved = 2,
    /// The kernel's hash chose: the socket that it came to has not joined.
    FallbackUnknownSocket = 3,
    /// The kernel's hash chose: no worker takes new flows there.
    FallbackNoSeat = 4,
    /// The kernel's hash chose: the chosen socket has just closed.
    FallbackSelectFailed = 5,
    /// The kernel's hash chose: a map lookup that cannot fail did.
    FallbackMap = 6,
    /// Its flow is not known, and it went to the worker that its QUIC connection id names.
    ByServerId = 7,
    /// The same, but the id names nobody who has a socket there: a worker was chosen as for a new flow.
    UnknownServerId = 8,
    /// Its flow is not known, and it went to the worker with which its QUIC connection id was seen before.
    ByLearntId = 9,
}

impl Fate {
    /// All of them, by number.
    pub const ALL: [Fate; 10] = [
        Fate::Known,
        Fate::New,
        Fate::Moved,
        Fate::FallbackUnknownSocket,
        Fate::FallbackNoSeat,
        Fate::FallbackSelectFailed,
        Fate::FallbackMap,
        Fate::ByServerId,
        Fate::UnknownServerId,
        Fate::ByLearntId,
    ];

    /// Whether the program gave the datagram to a worker, other than for its flow's sake.
    ///
    /// ```
    /// use llb_common::flow::Fate;
    ///
    /// assert!(Fate::New.is_given() && !Fate::Known.is_given());
    /// ```
    #[must_use]
    pub const fn is_given(self) -> bool {
        matches!(self, Fate::New | Fate::Moved | Fate::ByServerId | Fate::UnknownServerId | Fate::ByLearntId)
    }

    /// The name in `llb status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Known => "known",
            Fate::New => "new",
            Fate::Moved => "moved",
            Fate::FallbackUnknownSocket => "fallback_unknown_socket",
            Fate::FallbackNoSeat => "fallback_no_seat",
            Fate::FallbackSelectFailed => "fallback_select_failed",
            Fate::FallbackMap => "fallback_map",
            Fate::ByServerId => "by_server_id",
            Fate::UnknownServerId => "unknown_server_id",
            Fate::ByLearntId => "by_learnt_id",
        }
    }
}
