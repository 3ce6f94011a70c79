//! A worker, and its part of the UDP flows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LatencyStatus;

/// One worker. Counts are since it joined; those that the kernel's books make are none where it keeps no books. An example is
/// [there](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The slot that it fills.
    pub slot: u32,
    /// Its first process.
    pub pid: u32,
    /// `starting`, `serving`, `hung`, `draining`, `stopping` or `killed`.
    pub state: String,
    /// Its generation.
    pub generation: u32,
    /// Since it was spawned, seconds.
    pub uptime_s: f64,
    /// The seats that it holds.
    pub seats: Vec<u32>,
    /// Connections that the selector gave to it.
    pub chosen: u64,
    /// The same as a part of all that came to the selector since the master started, 0 to 1.
    pub share: f64,
    /// Connections open.
    pub open: Option<u64>,
    /// Connections that wait in the queues of its listeners to be accepted; none if these could not be looked at.
    pub queued: Option<u64>,
    /// Requests begun and not yet answered.
    pub in_flight: Option<u64>,
    /// Requests answered.
    pub answered: Option<u64>,
    /// Connections that it closed without an answer.
    pub failed: Option<u64>,
    /// Answers that called themselves errors: "HTTP/1.x 5".
    #[serde(default)]
    pub errors: Option<u64>,
    /// Connections that waited for it and were given to others.
    pub rescued: Option<u64>,
    /// How long its answers took; none before the first.
    pub latency_us: Option<LatencyStatus>,
    /// The same answers by what they took: where each bucket that is not empty ends, microseconds, and how many it holds.
    pub latency_histogram: Option<Vec<(f64, u64)>>,
    /// What a request costs there as published, or by the kernel's own measure, microseconds.
    pub cost_us: f64,
    /// How often the slot's worker has been replaced.
    pub restarts: u32,
    /// How the slot's last worker ended.
    pub last_exit: Option<String>,
    /// The memory that it has resident, bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// CPU time of its processes, seconds.
    #[serde(default)]
    pub cpu_s: Option<f64>,
    /// Lines understood on its report channel, by kind, and faults in them.
    pub reports: BTreeMap<String, u64>,
    /// What it was seen to do while it held a request, and how often (`--concurrency auto`): `works`, `waits` for more, or `hidden`.
    #[serde(default)]
    pub looks: BTreeMap<String, u64>,
    /// Its flows; none without a UDP socket that is shared.
    #[serde(default)]
    pub udp: Option<FlowStatus>,
}

/// A worker's part of it. An example is [there](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlowStatus {
    /// Flows that live, of which more than one datagram has come.
    pub flows: u64,
    /// Datagrams that it was given.
    pub datagrams: u64,
    /// Datagrams that found no room in its sockets' queues.
    pub dropped: u64,
    /// Whether it does not read what it is given: it gets no new flows.
    pub stands_still: bool,
}
