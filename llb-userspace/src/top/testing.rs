//! A fleet as a master tells of it, for the tests.

use crate::observe::{
    event::Event,
    status::{Status, WorkerStatus},
};

/// A worker that serves and has done nothing.
pub(super) fn worker(slot: u32, pid: u32) -> WorkerStatus {
    serde_json::from_value(serde_json::json!({
        "slot": slot, "pid": pid, "state": "serving", "generation": 1, "uptime_s": 5.0, "seats": [slot], "chosen": 0,
        "share": 0.0, "open": 0, "queued": 0, "in_flight": 0, "answered": 0, "failed": 0, "errors": 0, "rescued": 0,
        "latency_us": null, "latency_histogram": [], "cost_us": 0.0, "restarts": 0, "last_exit": null,
        "cpu_s": 0.0, "memory_bytes": 10_u64 << 20, "reports": {},
    }))
    .unwrap()
}

/// A fleet of these workers, each in a slot of its own.
pub(super) fn status<const N: usize>(name: &str, uptime_s: f64, workers: [WorkerStatus; N]) -> Status {
    let slots = workers.iter().map(|worker| {
        serde_json::json!({ "slot": worker.slot, "state": "filled", "starts_in_s": null, "restarts": 0, "last_exit": null })
    });
    serde_json::from_value(serde_json::json!({
        "name": name, "pid": 99, "policy": "least-latency", "tracking": "full", "up": true, "uptime_s": uptime_s,
        "least_slot": null, "groups": [{ "address": "127.0.0.1:8080", "slots": [] }], "generation": 1, "reloading": null,
        "slots": slots.collect::<Vec<_>>(), "workers": workers.to_vec(), "selector": {}, "connections": 0, "notify_unknown_senders": 0,
        "latency_us": null, "latency_histogram": [],
    }))
    .unwrap()
}

/// One of the master's events.
pub(super) fn event(seq: u64, slot: u32, kind: &str, cause: &str) -> Event {
    let at_ms = 1_000_000_000_000 + seq;
    Event {
        seq,
        at_ms,
        event: kind.into(),
        slot: Some(slot),
        pid: Some(100 + slot),
        generation: 1,
        cause: cause.into(),
    }
}
