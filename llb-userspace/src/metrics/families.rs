//! What a status is in metrics. A series is named by its fleet, and by its slot, state or cause: never by a process or a
//! generation, so there are no more of them however often workers are replaced.

mod fleets;
mod slots;

use super::latency::Latency;
use crate::observe::status::Status;

/// A metric with all of its series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// Without the prefix, and without what the unit and the kind add.
    pub name: &'static str,
    pub help: &'static str,
    pub unit: Unit,
    pub samples: Vec<(Labels, Value)>,
}

pub(crate) type Labels = Vec<(&'static str, String)>;

/// What is measured: the name ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Seconds,
    Bytes,
}

/// Of one series. A counter only grows, until the next master begins anew.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Counter(u64),
    CounterOf(f64),
    Gauge(f64),
    Histogram(Latency),
}

impl Value {
    fn flag(flag: bool) -> Self {
        Value::Gauge(f64::from(u8::from(flag)))
    }

    fn gauge(count: u64) -> Self {
        Value::Gauge(count as f64)
    }
}

/// All metrics of these fleets.
pub(crate) fn families(fleets: &[Status]) -> Vec<Family> {
    fleets::families(fleets).into_iter().chain(slots::families(fleets)).collect()
}

fn labels(fleet: &Status) -> Labels {
    vec![("fleet", fleet.name.clone())]
}

fn with(fleet: &Status, key: &'static str, value: impl ToString) -> Labels {
    [labels(fleet), vec![(key, value.to_string())]].concat()
}

#[cfg(test)]
mod tests;
