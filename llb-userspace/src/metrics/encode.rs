//! Writes metrics in the formats that scrapers read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{self, Registry},
};

use super::families::{Family, Unit, Value};

/// What every name begins with.
const PREFIX: &str = "llb";

/// The content type of OpenMetrics, as scrapers ask for it.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4: unless the other is asked for.
    Text,
}

impl Format {
    /// The one that a request's `Accept` asks for.
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains(OPEN_METRICS) { Format::OpenMetrics } else { Format::Text }
    }

    /// Its content type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Writes them.
pub(crate) fn encode(families: Vec<Family>, format: Format) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    let written = match format {
        Format::OpenMetrics => text::encode(&mut text, &registry),
        Format::Text => prometheus_text::encode(&mut text, &registry),
    };
    // A string takes whatever is written.
    debug_assert!(written.is_ok());
    text
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Family { name, help, unit, samples } in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let unit = match unit {
                Unit::None => None,
                Unit::Seconds => Some(registry::Unit::Seconds),
                Unit::Bytes => Some(registry::Unit::Bytes),
            };
            let kind = match samples[0].1 {
                Value::Counter(_) | Value::CounterOf(_) => MetricType::Counter,
                Value::Gauge(_) => MetricType::Gauge,
                Value::Histogram(_) => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for (labels, value) in samples {
                let mut sample = family.encode_family(labels)?;
                match value {
                    Value::Counter(count) => sample.encode_counter(count, None::<&Exemplar<NoLabelSet, u64>>)?,
                    Value::CounterOf(sum) => sample.encode_counter(sum, None::<&Exemplar<NoLabelSet, f64>>)?,
                    Value::Gauge(value) => sample.encode_gauge(value)?,
                    Value::Histogram(latency) => {
                        sample.encode_histogram::<NoLabelSet>(latency.sum, latency.count, &latency.buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}
