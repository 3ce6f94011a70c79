//! What is asked of every peer.

use std::time::Duration;

/// Workers of every fleet.
pub(super) const WORKERS: usize = 8;

/// The slow one of them, and how many times longer its work takes.
pub(super) const SLOW_SLOT: usize = 3;
pub(super) const SLOW_FACTOR: u32 = 10;

/// Requests a second, open loop: with 8.9 ms of work each, eight workers are 45% busy.
pub(super) const RATE: u32 = 400;

/// Clients of the closed loop.
pub(crate) const CLIENTS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Equal workers; 2% of the requests are long
    HeavyTail,
    /// The same requests, and one worker ten times slower
    SlowOne,
    /// No work at all, as many connections as the machine gives
    Cheap,
}

impl Scenario {
    pub(super) const ALL: [Scenario; 3] = [Scenario::HeavyTail, Scenario::SlowOne, Scenario::Cheap];

    pub(super) fn name(self) -> &'static str {
        match self {
            Scenario::HeavyTail => "heavy-tail",
            Scenario::SlowOne => "slow-one",
            Scenario::Cheap => "cheap",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Scenario::HeavyTail => {
                "8 single-threaded blocking workers; 400 new connections a second, open loop, 2% of the requests 200 ms \
                 of work and the others 5 ms. Latency of the 5 ms ones, ms, from the moment each was due."
            }
            Scenario::SlowOne => "The same, and one of the 8 workers takes ten times as long for everything.",
            Scenario::Cheap => "32 clients, closed loop, a connection per request, no work. Latency in ms.",
        }
    }

    /// How much longer than usual each worker's work takes.
    pub(super) fn slowness(self) -> [u32; WORKERS] {
        let mut slowness = [1; WORKERS];
        if self == Scenario::SlowOne {
            slowness[SLOW_SLOT] = SLOW_FACTOR;
        }
        slowness
    }

    /// How long each peer is measured. 8 s are 3200 requests: 32 beyond the p99, three beyond the p99.9.
    pub(super) fn duration(self, quick: bool) -> Duration {
        Duration::from_secs(match (self, quick) {
            (Scenario::Cheap, true) => 1,
            (Scenario::Cheap, false) => 3,
            (_, true) => 3,
            (_, false) => 8,
        })
    }
}
