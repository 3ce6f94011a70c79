//! The run as JSON: every round, the bad ones too, with enough of each distribution to draw it.

use serde_json::{Value, json};

use super::machine::Machine;
use super::measured::Measured;
use super::round::Round;
use super::summary::{Report, Section};
use llb_kit::quantiles::{Quantiles, grid};

/// `distribution_us` holds the latencies at the quantiles `grid`.
pub(super) fn json(report: &Report) -> Value {
    let Machine { cores, cpu, kernel, date } = &report.machine;
    json!({
        "machine": { "cores": cores, "cpu": cpu, "kernel": kernel },
        "date": date,
        "command": report.command,
        "quick": report.quick,
        "left_out": report.left_out,
        "node_shares": report.node_shares,
        "grid": grid(),
        "scenarios": report.sections.iter().map(section).collect::<Vec<_>>(),
    })
}

fn section(section: &Section) -> Value {
    let good: Vec<u64> = section.good().iter().map(|round| round.seed).collect();
    let round = |round: &Round| {
        json!({
            "seed": round.seed,
            "repeated": round.repeated,
            "good": good.contains(&round.seed),
            "ideal_ns": round.ideal.as_ref().map(quantiles),
            "measured": round.measured.iter().map(measured).collect::<Vec<_>>(),
        })
    };
    json!({
        "scenario": section.scenario.name(),
        "about": section.scenario.about(),
        "seconds": section.spec.duration.as_secs_f64(),
        "failures": section.failures,
        "rounds": section.rounds.iter().map(round).collect::<Vec<_>>(),
    })
}

fn measured(measured: &Measured) -> Value {
    json!({
        "peer": measured.peer.name(),
        "latency_ns": quantiles(&measured.latency),
        "distribution_us": measured.distribution.0.iter().map(|ns| ns / 1000).collect::<Vec<_>>(),
        "per_second": measured.per_second,
        "cpu_ns": measured.cpu_ns,
        "requests": measured.requests,
        "failed": measured.failed,
        "waited_300_ms": measured.waited,
        "late_p99_ns": measured.late_p99,
    })
}

fn quantiles(quantiles: &Quantiles) -> Value {
    json!({ "p50": quantiles.p50, "p90": quantiles.p90, "p99": quantiles.p99, "p99.9": quantiles.p999 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::example;

    #[test]
    fn a_bad_round_stays() {
        let json = json(&example(6));
        let round = &json["scenarios"][0]["rounds"][0];
        assert_eq!((&round["good"], &round["measured"][0]["latency_ns"]["p99"]), (&json!(false), &json!(6_000_000)));
        let points = round["measured"][0]["distribution_us"].as_array().unwrap();
        assert_eq!(points.len(), json["grid"].as_array().unwrap().len());
        assert_eq!(points[0], 6_000);
    }
}
