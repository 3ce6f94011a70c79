//! A slot, and what all of its workers have counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One slot. An example is [there](super).
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
/// kernel's books make is none where it keeps no books. An example is [there](super).
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
    /// Their answers by what they took, as [`WorkerStatus::latency_histogram`](super::WorkerStatus::latency_histogram).
    pub latency_histogram: Option<Vec<(f64, u64)>>,
}
