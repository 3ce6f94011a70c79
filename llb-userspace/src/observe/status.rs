//! A fleet as `llb status --json` shows it. Fields are only ever added.
//!
//! ```no_run
//! use llb::{control::Client, observe::status::{GroupStatus, LatencyStatus, PendingStatus, SlotStatus, SlotTotals, FlowStatus, Status, StickyStatus, UdpStatus, WorkerStatus}};
//!
//! # fn main() -> Result<(), llb::control::ControlError> {
//! let status: Status = Client::new("/run/llb", "web").status()?;
//! if let Some(LatencyStatus { p50, p99, .. }) = status.latency_us {
//!     println!("{} connections, answered within {p50} µs, one of a hundred over {p99} µs", status.connections);
//! }
//! for GroupStatus { address, slots, .. } in &status.groups {
//!     println!("{address} is shared by {} slots", slots.len());
//! }
//! for PendingStatus { object, error, attempts, .. } in &status.pending {
//!     println!("{object} is not as it should be after {attempts} attempts: {error}");
//! }
//! let slowest = |worker: &&WorkerStatus| worker.cost_us as u64;
//! if let Some(worker) = status.workers.iter().max_by_key(slowest) {
//!     println!("slot {} is the slowest, and gets {:.0}%", worker.slot, 100.0 * worker.share);
//! }
//! for SlotStatus { slot, last_exit, .. } in status.slots.iter().filter(|slot| slot.state == "failed") {
//!     println!("slot {slot} was given up: {}", last_exit.as_deref().unwrap_or("it never ended"));
//! }
//! if let Some(StickyStatus { hits, moved, .. }) = &status.sticky {
//!     println!("{hits} connections came home, {moved} went elsewhere");
//! }
//! if let Some(UdpStatus { flows, newcomers, .. }) = &status.udp {
//!     println!("{flows} UDP flows, and {newcomers} that may become some");
//! }
//! for FlowStatus { datagrams, dropped, .. } in status.workers.iter().filter_map(|worker| worker.udp.as_ref()) {
//!     println!("{datagrams} datagrams, {dropped} of them dropped");
//! }
//! for SlotStatus { slot, totals: SlotTotals { chosen, .. }, .. } in &status.slots {
//!     println!("all workers of slot {slot} have been given {chosen} connections");
//! }
//! # Ok(())
//! # }
//! ```

mod latency;
mod slot;
mod worker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::latency::{histogram, sum_of};
pub use self::{
    latency::LatencyStatus,
    slot::{SlotStatus, SlotTotals},
    worker::{FlowStatus, WorkerStatus},
};

/// One fleet. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The master's process id.
    pub pid: u32,
    /// The version of llb that it runs.
    #[serde(default)]
    pub version: String,
    /// The policy's name.
    pub policy: String,
    /// What the policy goes by: `full`, `reports` or `off`.
    pub tracking: String,
    /// Whether every slot has been ready once.
    pub up: bool,
    /// Since the master started, seconds.
    pub uptime_s: f64,
    /// The slot of the published least-latency worker.
    pub least_slot: Option<u32>,
    /// The addresses that are steered.
    pub groups: Vec<GroupStatus>,
    /// What is known of UDP; none if nobody has a UDP socket that is shared.
    #[serde(default)]
    pub udp: Option<UdpStatus>,
    /// What llb has not been able to write to the kernel's maps, and tries again; empty as a rule.
    #[serde(default)]
    pub pending: Vec<PendingStatus>,
    /// The generation that serves.
    pub generation: u32,
    /// The generation that is being started, during a reload.
    pub reloading: Option<u32>,
    /// Reloads that have succeeded since the master started.
    #[serde(default)]
    pub reloaded: u64,
    /// Reloads that were rolled back since then.
    #[serde(default)]
    pub rolled_back: u64,
    /// What is seen of new code that is watched (`llb reload --canary`), or was when that was last done; in words.
    #[serde(default)]
    pub canary: Option<String>,
    /// The slots, as many as there are to be workers.
    pub slots: Vec<SlotStatus>,
    /// The workers, by slot and age.
    pub workers: Vec<WorkerStatus>,
    /// What became of each connection, by outcome.
    pub selector: BTreeMap<String, u64>,
    /// Connections that came to the selector; the sum of the outcomes of a new connection.
    pub connections: u64,
    /// Times that a process which is no worker's has said `READY=1` on the workers' `NOTIFY_SOCKET`.
    pub notify_unknown_senders: u64,
    /// The longest turn of llb's loop since the master started, ms: for so long it has heard of nothing else.
    #[serde(default)]
    pub loop_max_ms: f64,
    /// CPU time of the master's own process, seconds.
    #[serde(default)]
    pub cpu_s: Option<f64>,
    /// The memory that it has resident, bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Those who wait in line because no worker is free; none without `--concurrency`.
    #[serde(default)]
    pub line: Option<LineStatus>,
    /// Connections that wait now because no worker listens.
    #[serde(default)]
    pub waiting_for_worker: u64,
    /// Connections that have waited for that reason, and went to a worker.
    #[serde(default)]
    pub waited_for_worker: u64,
    /// How clients were recognised; none without `--sticky`.
    #[serde(default)]
    pub sticky: Option<StickyStatus>,
    /// How long answers took since the master started, those of workers since replaced too; none before the first, and
    /// where the kernel keeps no books.
    pub latency_us: Option<LatencyStatus>,
    /// The same answers by what they took: where each bucket that is not empty ends, microseconds, and how many it holds.
    pub latency_histogram: Option<Vec<(f64, u64)>>,
}

/// A change of the kernel's maps that has failed and is tried again. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingStatus {
    /// What it is about: a worker's socket, or a group.
    pub object: String,
    /// Why it has failed, the last time.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// Those who wait in line. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LineStatus {
    /// How many requests a worker serves at once; 0 while nobody waits in line.
    pub concurrency: u32,
    /// With `--concurrency auto`, what was found of the workers: why anybody waits, or why not.
    #[serde(default)]
    pub why: Option<String>,
    /// Whether every address that is steered has its line, as long as it is to have one.
    pub is_open: bool,
    /// How many wait now.
    pub waiting: u64,
    /// Connections that have waited.
    pub waited: u64,
    /// Connections that were given to a worker that had become free.
    pub handed_over: u64,
    /// Connections whose clients had gone before.
    pub given_up: u64,
    /// How long those that were handed over have waited; none before the first.
    #[serde(default)]
    pub wait_us: Option<LatencyStatus>,
    /// The same by what they waited: where each bucket that is not empty ends, microseconds, and how many it holds.
    #[serde(default)]
    pub wait_histogram: Vec<(f64, u64)>,
}

/// How clients were recognised whose connections are to go to one slot. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StickyStatus {
    /// What makes a client.
    pub by: String,
    /// How long one is remembered, seconds.
    pub ttl_s: f64,
    /// Connections that went to their client's slot.
    pub hits: u64,
    /// Connections of clients that were not known, moved ones too: chosen for as any.
    pub new: u64,
    /// Connections that went elsewhere, as their client's slot was out.
    pub moved: u64,
    /// Clients that have been remembered, once a connection of theirs was established.
    pub entered: u64,
}

/// One address. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Address and port.
    pub address: String,
    /// Slots that have a listener there.
    pub slots: Vec<u32>,
}

/// UDP, as the fleet shares it. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UdpStatus {
    /// The addresses that are shared.
    pub groups: Vec<GroupStatus>,
    /// How long a flow is known that sends nothing, seconds.
    pub flow_timeout_s: f64,
    /// Flows that live, of which more than one datagram has come.
    pub flows: u64,
    /// Flows of which one datagram has come.
    pub newcomers: u64,
    /// What became of each datagram since the programs were loaded.
    pub datagrams: BTreeMap<String, u64>,
}
