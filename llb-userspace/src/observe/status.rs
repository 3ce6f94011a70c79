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

use std::collections::BTreeMap;

use llb_common::{
    abi::BUCKETS,
    histogram::{end, quantile},
};
use serde::{Deserialize, Serialize};

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

/// Quantiles of the time from a request's first byte in to the first byte out, microseconds: the ends of the buckets
/// that hold them, so up to a quarter too much. An example is [above](self).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyStatus {
    /// The median.
    pub p50: f64,
    /// Nine of ten take no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
}

impl LatencyStatus {
    /// Of answers by bucket ([`llb_common::histogram`]); nothing where there are none.
    #[must_use]
    pub(crate) fn of(latencies: &[u64; BUCKETS]) -> Option<Self> {
        let at = |permille| us(quantile(latencies, permille));
        let any = latencies.iter().any(|count| *count > 0);
        any.then(|| LatencyStatus { p50: at(500), p90: at(900), p99: at(990), p999: at(999) })
    }
}

/// What each bucket counts in all of them.
#[must_use]
pub(crate) fn sum_of(all: impl Iterator<Item = [u64; BUCKETS]>) -> [u64; BUCKETS] {
    all.fold([0; BUCKETS], |sum, latencies| std::array::from_fn(|bucket| sum[bucket] + latencies[bucket]))
}

/// The buckets that are not empty: where each ends, microseconds, and how many answers it holds.
#[must_use]
pub(crate) fn histogram(latencies: &[u64; BUCKETS]) -> Vec<(f64, u64)> {
    let ends = (0..).map(|bucket| us(end(bucket)));
    ends.zip(latencies).filter(|(_, count)| **count > 0).map(|(end, count)| (end, *count)).collect()
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
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

/// A worker's part of it. An example is [above](self).
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

/// One slot. An example is [above](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlotStatus {
    /// Its number.
    pub slot: u32,
    /// `filled`: it has a worker that is to stay. `waiting`: it gets one. `drained`: left empty, as was asked for.
    /// `failed`: left empty, as nobody has become ready there.
    pub state: String,
    /// When a waiting slot gets its worker, seconds from now; none if that depends on another worker's end.
    pub starts_in_s: Option<f64>,
    /// How often its worker has been replaced, not counting `recycled`.
    pub restarts: u32,
    /// How often its worker has been replaced as it had reached `--max-requests`, `--max-age` or `--max-memory`.
    #[serde(default)]
    pub recycled: u32,
    /// How often its worker has been replaced, by cause.
    #[serde(default)]
    pub restart_causes: BTreeMap<String, u32>,
    /// How its last worker ended.
    pub last_exit: Option<String>,
    /// What all of its workers have counted, those since replaced too.
    #[serde(default)]
    pub totals: SlotTotals,
    /// How many clients belong to it, about; none without `--sticky`.
    #[serde(default)]
    pub clients: Option<u64>,
}

/// What all workers that a slot has had have counted since the fleet began, under earlier masters too: it only grows. What the
/// kernel's books make is none where it keeps no books. An example is [above](self).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SlotTotals {
    /// Connections that the selector gave to them.
    pub chosen: u64,
    /// Connections established.
    pub opened: Option<u64>,
    /// Requests answered.
    pub answered: Option<u64>,
    /// Connections that they closed without an answer.
    pub failed: Option<u64>,
    /// Answers that called themselves errors: "HTTP/1.x 5".
    pub errors: Option<u64>,
    /// Connections that waited for one of them and were given to others.
    pub rescued: u64,
    /// CPU time of their processes, seconds; none if that of a living one cannot be read.
    pub cpu_s: Option<f64>,
    /// Their answers by what they took, as [`WorkerStatus::latency_histogram`].
    pub latency_histogram: Option<Vec<(f64, u64)>>,
}

/// One worker. Counts are since it joined; those that the kernel's books make are none where it keeps no books. An example is
/// [above](self).
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
    /// Its flows; none without a UDP socket that is shared.
    #[serde(default)]
    pub udp: Option<FlowStatus>,
}
