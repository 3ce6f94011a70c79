//! A fleet as `llb status --json` shows it. Fields are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The master's process id.
    pub pid: u32,
    /// The policy's name.
    pub policy: String,
    /// Whether every slot has been ready once.
    pub up: bool,
    /// Since the master started, seconds.
    pub uptime_s: f64,
    /// The slot of the published least-latency worker.
    pub least_slot: Option<u32>,
    /// The addresses that are steered.
    pub groups: Vec<GroupStatus>,
    /// The workers, by slot and age.
    pub workers: Vec<WorkerStatus>,
    /// What became of each connection, by outcome.
    pub selector: BTreeMap<String, u64>,
    /// Connections that came to the selector; the sum of the outcomes of a new connection.
    pub connections: u64,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Address and port.
    pub address: String,
    /// Slots that have a listener there.
    pub slots: Vec<u32>,
}

/// One worker. Counts are since it joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The slot that it fills.
    pub slot: u32,
    /// Its first process.
    pub pid: u32,
    /// `starting`, `serving`, `draining`, `stopping` or `killed`.
    pub state: String,
    /// Its generation.
    pub generation: u32,
    /// Since it was spawned, seconds.
    pub uptime_s: f64,
    /// The seats that it holds.
    pub seats: Vec<u32>,
    /// Connections that the selector gave to it.
    pub chosen: u64,
    /// Connections open.
    pub open: u64,
    /// Requests begun and not yet answered.
    pub in_flight: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections that it closed without an answer.
    pub failed: u64,
    /// What a request costs there as published, or by the kernel's own measure, microseconds.
    pub cost_us: f64,
    /// How often the slot's worker has been replaced.
    pub restarts: u32,
    /// How the slot's last worker ended.
    pub last_exit: Option<String>,
    /// Lines understood on its report channel, by kind, and faults in them.
    pub reports: BTreeMap<String, u64>,
}
