//! The metrics of a fleet as a whole, and of its master.

use super::{Family, Unit, Value, labels, with};
use crate::{
    metrics::latency::{Latency, Resolution},
    observe::status::{LineStatus, Status},
};

/// The states that slots and workers have: each has its series, also while nobody is in it.
const SLOT_STATES: [&str; 4] = ["filled", "waiting", "drained", "failed"];
const WORKER_STATES: [&str; 7] = ["starting", "serving", "joining", "hung", "draining", "stopping", "killed"];

/// Values of one metric by a label.
type By = Vec<(String, Value)>;

pub(super) fn families(fleets: &[Status]) -> Vec<Family> {
    [serving(fleets), connections(fleets), line(fleets), udp(fleets), master(fleets)].concat()
}

fn serving(fleets: &[Status]) -> Vec<Family> {
    let states = |all: &[&str], count: &dyn Fn(&str) -> usize| -> By {
        all.iter().map(|state| ((*state).to_owned(), Value::gauge(count(state) as u64))).collect()
    };
    vec![
        one(fleets, "ready", "Whether every slot has been ready, and the fleet does not end", Unit::None, |fleet| {
            Some(Value::flag(fleet.up))
        }),
        by(fleets, "slots", "Slots by state", "state", |fleet| {
            states(&SLOT_STATES, &|state| fleet.slots.iter().filter(|slot| slot.state == state).count())
        }),
        by(fleets, "workers", "Workers by state; a slot has two while one replaces the other", "state", |fleet| {
            states(&WORKER_STATES, &|state| fleet.workers.iter().filter(|worker| worker.state == state).count())
        }),
        one(fleets, "generation", "The generation that serves", Unit::None, |fleet| {
            Some(Value::gauge(fleet.generation.into()))
        }),
        one(fleets, "reloading", "Whether a reload is under way", Unit::None, |fleet| {
            Some(Value::flag(fleet.reloading.is_some()))
        }),
        by(fleets, "reloads", "Reloads that have ended, by result", "result", |fleet| {
            vec![
                ("succeeded".into(), Value::Counter(fleet.reloaded)),
                ("rolled_back".into(), Value::Counter(fleet.rolled_back)),
            ]
        }),
    ]
}

fn connections(fleets: &[Status]) -> Vec<Family> {
    vec![
        one(fleets, "connections", "New connections that reached the selector", Unit::None, |fleet| {
            Some(Value::Counter(fleet.connections))
        }),
        by(fleets, "selections", "Connections by what the selector did with them", "outcome", |fleet| {
            fleet.selector.iter().map(|(outcome, count)| (outcome.clone(), Value::Counter(*count))).collect()
        }),
        one(
            fleets,
            "response_latency",
            "From the first byte of a request to the first byte of its answer; the sum is estimated from the buckets",
            Unit::Seconds,
            |fleet| {
                let histogram = fleet.latency_histogram.as_ref()?;
                Some(Value::Histogram(Latency::of(histogram, Resolution::Quarter)))
            },
        ),
    ]
}

fn udp(fleets: &[Status]) -> Vec<Family> {
    vec![
        one(fleets, "udp_flows", "UDP flows that go on", Unit::None, |fleet| {
            fleet.udp.as_ref().map(|udp| Value::gauge(udp.flows))
        }),
        one(fleets, "udp_newcomers", "UDP flows of one datagram so far", Unit::None, |fleet| {
            fleet.udp.as_ref().map(|udp| Value::gauge(udp.newcomers))
        }),
        by(fleets, "udp_datagrams", "Datagrams by what the selector did with them", "fate", |fleet| {
            let datagrams = fleet.udp.iter().flat_map(|udp| &udp.datagrams);
            datagrams.map(|(fate, count)| (fate.clone(), Value::Counter(*count))).collect()
        }),
    ]
}

fn line(fleets: &[Status]) -> Vec<Family> {
    fn of(fleet: &Status, value: fn(&LineStatus) -> Value) -> Option<Value> {
        fleet.line.as_ref().map(value)
    }
    vec![
        one(fleets, "line_open", "Whether every address has its line (--concurrency)", Unit::None, |fleet| {
            of(fleet, |line| Value::flag(line.is_open))
        }),
        one(
            fleets,
            "line_connections_waiting",
            "Connections that wait in line for a free worker",
            Unit::None,
            |fleet| of(fleet, |line| Value::gauge(line.waiting)),
        ),
        one(fleets, "line_connections_waited", "Connections that found no worker free", Unit::None, |fleet| {
            of(fleet, |line| Value::Counter(line.waited))
        }),
        one(
            fleets,
            "line_connections_handed_over",
            "Connections given to a worker that became free",
            Unit::None,
            |fleet| of(fleet, |line| Value::Counter(line.handed_over)),
        ),
        one(
            fleets,
            "line_connections_given_up",
            "Connections reset by their clients while they waited in line",
            Unit::None,
            |fleet| of(fleet, |line| Value::Counter(line.given_up)),
        ),
    ]
}

fn master(fleets: &[Status]) -> Vec<Family> {
    vec![
        by(fleets, "build_info", "The version of llb; always 1", "version", |fleet| {
            vec![(fleet.version.clone(), Value::Gauge(1.0))]
        }),
        one(fleets, "master_uptime", "Since the master started", Unit::Seconds, |fleet| {
            Some(Value::Gauge(fleet.uptime_s))
        }),
        one(fleets, "master_cpu", "CPU time of the master", Unit::Seconds, |fleet| fleet.cpu_s.map(Value::CounterOf)),
        one(fleets, "master_resident_memory", "Memory that the master has resident", Unit::Bytes, |fleet| {
            fleet.memory_bytes.map(Value::gauge)
        }),
        one(
            fleets,
            "master_loop_longest",
            "The longest iteration of the master's loop since it started",
            Unit::Seconds,
            |fleet| Some(Value::Gauge(fleet.loop_max_ms / 1e3)),
        ),
        one(
            fleets,
            "notify_unknown_senders",
            "READY=1 on the workers' NOTIFY_SOCKET by a process of no living worker",
            Unit::None,
            |fleet| Some(Value::Counter(fleet.notify_unknown_senders)),
        ),
    ]
}

fn one(
    fleets: &[Status],
    name: &'static str,
    help: &'static str,
    unit: Unit,
    value: fn(&Status) -> Option<Value>,
) -> Family {
    let samples = fleets.iter().filter_map(|fleet| Some((labels(fleet), value(fleet)?))).collect();
    Family { name, help, unit, samples }
}

fn by(
    fleets: &[Status],
    name: &'static str,
    help: &'static str,
    key: &'static str,
    values: impl Fn(&Status) -> By,
) -> Family {
    let of =
        |fleet| values(fleet).into_iter().map(|(label, value)| (with(fleet, key, label), value)).collect::<Vec<_>>();
    Family { name, help, unit: Unit::None, samples: fleets.iter().flat_map(of).collect() }
}
