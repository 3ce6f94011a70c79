//! The metrics of the workers, by slot. What grows counts all workers that the slot has had; what is now is the sum of those
//! that it has, and 0 if it has none.

use super::{Family, Labels, Unit, Value, with};
use crate::{
    metrics::latency::{Latency, Resolution},
    observe::status::{SlotStatus, SlotTotals, Status, WorkerStatus},
};

/// A slot with its workers.
struct Slot<'a> {
    slot: &'a SlotStatus,
    workers: Vec<&'a WorkerStatus>,
    labels: Labels,
}

impl Slot<'_> {
    /// The sum of what its workers have; none if that is known of none of them.
    fn sum(&self, of: fn(&WorkerStatus) -> Option<u64>) -> Option<Value> {
        let known: Vec<u64> = self.workers.iter().filter_map(|worker| of(worker)).collect();
        (!known.is_empty() || self.workers.is_empty()).then(|| Value::gauge(known.iter().sum()))
    }

    fn has_udp(&self) -> bool {
        self.workers.iter().any(|worker| worker.udp.is_some())
    }

    fn serving(&self) -> Option<&WorkerStatus> {
        self.workers.iter().rfind(|worker| worker.state == "serving").copied()
    }
}

pub(super) fn families(fleets: &[Status]) -> Vec<Family> {
    let slots: Vec<Slot> = fleets
        .iter()
        .flat_map(|fleet| {
            fleet.slots.iter().map(|slot| Slot {
                slot,
                workers: fleet.workers.iter().filter(|worker| worker.slot == slot.slot).collect(),
                labels: with(fleet, "slot", slot.slot),
            })
        })
        .collect();
    [now(&slots), totals(&slots), restarts(&slots), usage(&slots)].concat()
}

fn now(slots: &[Slot]) -> Vec<Family> {
    vec![
        each(slots, "worker_serving", "Whether a worker of the slot serves", Unit::None, |slot| {
            Some(Value::flag(slot.serving().is_some()))
        }),
        each(slots, "worker_connections_open", "Connections established and not closed", Unit::None, |slot| {
            slot.sum(|worker| worker.open)
        }),
        each(slots, "worker_connections_queued", "Connections that wait to be accepted", Unit::None, |slot| {
            slot.sum(|worker| worker.queued)
        }),
        each(slots, "worker_requests_in_flight", "Requests begun and not yet answered", Unit::None, |slot| {
            slot.sum(|worker| worker.in_flight)
        }),
        each(slots, "worker_udp_flows", "UDP flows that go on", Unit::None, |slot| {
            slot.has_udp().then(|| slot.sum(|worker| worker.udp.as_ref().map(|udp| udp.flows))).flatten()
        }),
        each(slots, "worker_udp_dropped", "Datagrams that found no room in its sockets", Unit::None, |slot| {
            slot.has_udp().then(|| slot.sum(|worker| worker.udp.as_ref().map(|udp| udp.dropped))).flatten()
        }),
        each(
            slots,
            "worker_request_cost",
            "What a request is taken to cost there; 0 if unknown",
            Unit::Seconds,
            |slot| slot.serving().map(|worker| Value::Gauge(worker.cost_us / 1e6)),
        ),
        each(slots, "worker_uptime", "Since the worker that serves was started", Unit::Seconds, |slot| {
            slot.serving().map(|worker| Value::Gauge(worker.uptime_s))
        }),
    ]
}

fn totals(slots: &[Slot]) -> Vec<Family> {
    let total = |name, help, count: fn(&SlotTotals) -> Option<u64>| Family {
        name,
        help,
        unit: Unit::None,
        samples: slots
            .iter()
            .filter_map(|slot| Some((slot.labels.clone(), Value::Counter(count(&slot.slot.totals)?))))
            .collect(),
    };
    vec![
        total("worker_connections_chosen", "Connections given by the selector", |totals| Some(totals.chosen)),
        total("worker_connections_opened", "Connections established", |totals| totals.opened),
        total("worker_connections_failed", "Connections ended by the worker without an answer", |totals| totals.failed),
        total("worker_connections_rescued", "Connections moved to others while the worker hung", |totals| {
            Some(totals.rescued)
        }),
        total("worker_responses", "Requests that got a first byte back", |totals| totals.answered),
        total("worker_responses_5xx", "Of those, with a status line HTTP/1.x 5", |totals| totals.errors),
        each(
            slots,
            "worker_response_latency",
            "From the first byte of a request to the first byte of its answer; the sum is estimated from the buckets",
            Unit::Seconds,
            |slot| {
                let histogram = slot.slot.totals.latency_histogram.as_ref()?;
                Some(Value::Histogram(Latency::of(histogram, Resolution::Octave)))
            },
        ),
    ]
}

fn restarts(slots: &[Slot]) -> Vec<Family> {
    let of = |slot: &Slot| -> Vec<(Labels, Value)> {
        let causes = slot.slot.restart_causes.iter();
        causes
            .map(|(cause, count)| {
                let labels = [slot.labels.clone(), vec![("cause", cause.clone())]].concat();
                (labels, Value::Counter((*count).into()))
            })
            .collect()
    };
    let help = "Workers that replaced another one, by cause";
    let samples = slots.iter().flat_map(of).collect();
    vec![Family { name: "worker_restarts", help, unit: Unit::None, samples }]
}

fn usage(slots: &[Slot]) -> Vec<Family> {
    vec![
        each(slots, "worker_cpu", "CPU time of the workers' processes", Unit::Seconds, |slot| {
            slot.slot.totals.cpu_s.map(Value::CounterOf)
        }),
        each(slots, "worker_resident_memory", "Memory that the workers have resident", Unit::Bytes, |slot| {
            slot.sum(|worker| worker.memory_bytes)
        }),
    ]
}

fn each(
    slots: &[Slot],
    name: &'static str,
    help: &'static str,
    unit: Unit,
    value: fn(&Slot) -> Option<Value>,
) -> Family {
    let samples = slots.iter().filter_map(|slot| Some((slot.labels.clone(), value(slot)?))).collect();
    Family { name, help, unit, samples }
}
