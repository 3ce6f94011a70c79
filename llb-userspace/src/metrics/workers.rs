//! What the workers say of themselves (`--scrape`): each is asked at its own endpoint, and the answers are one text.

mod merge;
mod parse;

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use merge::Merged;
use parse::parse;

use super::{Answer, Format};

/// How a worker answered.
#[derive(Clone, Debug)]
pub(crate) struct Scraped {
    pub slot: u32,
    pub took: Duration,
    /// Its content type and text, or why there is none.
    pub said: Result<(String, String), String>,
}

/// How often each slot's worker could not be asked, or said what is no metric.
pub(crate) type Failures = BTreeMap<u32, u64>;

/// One text of all of them. It is the text format: every scraper reads it, and workers that speak OpenMetrics alone are
/// translated.
pub(crate) fn answer(all: Vec<Scraped>, failures: &mut Failures) -> Answer {
    let mut merged = Merged::default();
    let mut own: [String; 4] = Default::default();
    for Scraped { slot, took, said } in all {
        let parsed = said.and_then(|(content_type, text)| {
            let is_open_metrics = Format::accepted(&content_type) == Format::OpenMetrics;
            parse(&text, is_open_metrics).map_err(|error| error.to_string())
        });
        let failed = failures.entry(slot).or_default();
        let (success, left_out) = match parsed {
            Ok(families) => (1, merged.add(slot, families)),
            Err(error) => {
                tracing::debug!(slot, "a worker's metrics are missing: {error}");
                *failed += 1;
                (0, 0)
            }
        };
        let values = [success.to_string(), took.as_secs_f64().to_string(), failed.to_string(), left_out.to_string()];
        for ((text, value), (name, ..)) in own.iter_mut().zip(values).zip(OWN) {
            // A string takes whatever is written.
            let _ = writeln!(text, "{name}{{slot=\"{slot}\"}} {value}");
        }
    }
    let mut body = merged.text();
    for ((name, kind, help), samples) in OWN.into_iter().zip(own).filter(|(_, samples)| !samples.is_empty()) {
        let _ = write!(body, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
    }
    Answer { ok: true, content_type: Format::Text.content_type(), body }
}

/// What llb says of it: name, type, help.
const OWN: [(&str, &str, &str); 4] = [
    ("llb_worker_scrape_success", "gauge", "Whether the slot's worker has answered this scrape with metrics."),
    ("llb_worker_scrape_duration_seconds", "gauge", "How long it was asked."),
    ("llb_worker_scrape_failures_total", "counter", "Scrapes that it has not answered with metrics."),
    ("llb_worker_scrape_dropped_families", "gauge", "Metrics that another worker has with another type, left out."),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failures, Scraped, answer};

    #[test]
    fn one_that_fails_spoils_nothing_and_is_counted() {
        let scraped = |slot, said: Result<&str, &str>| Scraped {
            slot,
            took: Duration::from_millis(250),
            said: said.map(|text| ("text/plain".into(), text.into())).map_err(Into::into),
        };
        let mut failures = Failures::default();
        let all = || vec![scraped(0, Ok("hits 1\n")), scraped(1, Err("timed out")), scraped(2, Ok("<html>"))];
        answer(all(), &mut failures);
        let body = answer(all(), &mut failures).body;
        for line in [
            "hits{slot=\"0\"} 1",
            "llb_worker_scrape_success{slot=\"0\"} 1",
            "llb_worker_scrape_success{slot=\"2\"} 0",
            "llb_worker_scrape_failures_total{slot=\"0\"} 0",
            "llb_worker_scrape_failures_total{slot=\"1\"} 2",
            "llb_worker_scrape_duration_seconds{slot=\"1\"} 0.25",
        ] {
            assert!(body.lines().any(|found| found == line), "{line} is not in {body}");
        }
        assert_eq!(body.matches("# TYPE").count(), 5);
    }
}
