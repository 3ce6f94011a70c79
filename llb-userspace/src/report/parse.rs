//! One line to one report.

use super::{Fault, Report};
use serde_json::{Map, Value};

/// The longest latency that is believed, µs: an hour. No server takes longer to answer; what is larger was given in
/// another unit, or is the difference of two unrelated clocks.
pub const MAX_LATENCY_US: f64 = 3600.0 * 1e6;

/// The most requests that one line may speak for: what the fastest servers answer in a second. A worker that sends more has
/// held its reports back for too long, or sends a running total.
pub const MAX_REQUESTS: u32 = 1_000_000;

/// A line understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) report: Report,
    /// Whether it had fields that llb does not know.
    pub(super) unknown_fields: bool,
}

/// Reads one line; its newline may be there or not.
pub(super) fn parse(line: &[u8]) -> Result<Parsed, Fault> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Err(Fault::Empty);
    }
    if line == b"ready" {
        return Ok(READY);
    }
    let text = std::str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
    match serde_json::from_str(text).map_err(|_| Fault::NotJson)? {
        Value::String(word) if word == "ready" => Ok(READY),
        Value::Object(fields) => command(&fields),
        _ => Err(Fault::NoCommand),
    }
}

const READY: Parsed = Parsed { report: Report::Ready, unknown_fields: false };

fn command(fields: &Map<String, Value>) -> Result<Parsed, Fault> {
    let name = fields.get("cmd").and_then(Value::as_str).ok_or(Fault::NoCommand)?;
    let (report, known_fields) = match name {
        "latency" => (latency(fields.get("us"), fields.get("n"))?, 2 + usize::from(fields.contains_key("n"))),
        "ready" => (Report::Ready, 1),
        "disconnect" => (Report::Disconnect, 1),
        "pong" => (pong(fields.get("id"), fields.get("lag_us"))?, 2 + usize::from(fields.contains_key("lag_us"))),
        node if node.starts_with("NODE_") => return Err(Fault::NodeInternal),
        _ => return Err(Fault::UnknownCommand),
    };
    Ok(Parsed { report, unknown_fields: fields.len() > known_fields })
}

fn latency(us: Option<&Value>, n: Option<&Value>) -> Result<Report, Fault> {
    let ns = ns(us)?;
    let requests = match n {
        None => 1,
        Some(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(Fault::LatencyCount)?,
    };
    if !(1..=MAX_REQUESTS).contains(&requests) {
        return Err(Fault::LatencyCount);
    }
    Ok(Report::Latency { ns, requests })
}

fn ns(us: Option<&Value>) -> Result<u64, Fault> {
    let us = us.and_then(Value::as_f64).ok_or(Fault::LatencyNotANumber)?;
    if us < 0.0 {
        return Err(Fault::LatencyNegative);
    }
    if us > MAX_LATENCY_US {
        return Err(Fault::LatencyAbsurd);
    }
    Ok((us * 1e3).round() as u64)
}

/// A lag that is none is ignored: the pong counts, or a worker that cannot measure would seem to hang.
fn pong(id: Option<&Value>, lag_us: Option<&Value>) -> Result<Report, Fault> {
    let id = id.and_then(Value::as_u64).ok_or(Fault::PongWithoutId)?;
    Ok(Report::Pong { id, lag_ns: ns(lag_us).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(line: &str) -> Result<Report, Fault> {
        parse(line.as_bytes()).map(|parsed| parsed.report)
    }

    #[test]
    fn the_four_reports_are_understood() {
        for (line, expected) in [
            (r#"{"cmd":"latency","us":1234}"#, Report::Latency { ns: 1_234_000, requests: 1 }),
            (r#"{"cmd":"latency","us":0.5}"#, Report::Latency { ns: 500, requests: 1 }),
            (r#"{"cmd":"latency","us":0}"#, Report::Latency { ns: 0, requests: 1 }),
            (r#"{"cmd":"latency","us":3.6e9}"#, Report::Latency { ns: 3_600_000_000_000, requests: 1 }),
            (r#" { "us" : 1 , "cmd" : "latency" } "#, Report::Latency { ns: 1_000, requests: 1 }),
            (r#"{"cmd":"latency","us":7,"n":1}"#, Report::Latency { ns: 7_000, requests: 1 }),
            (r#"{"cmd":"latency","us":7,"n":1000000}"#, Report::Latency { ns: 7_000, requests: 1_000_000 }),
            (r#"{"cmd":"ready"}"#, Report::Ready),
            (r#""ready""#, Report::Ready),
            ("ready", Report::Ready),
            ("ready\r", Report::Ready),
            (r#"{"cmd":"disconnect"}"#, Report::Disconnect),
            (r#"{"cmd":"pong","id":7}"#, Report::Pong { id: 7, lag_ns: 0 }),
            (r#"{"cmd":"pong","id":7,"lag_us":2.5}"#, Report::Pong { id: 7, lag_ns: 2_500 }),
            (r#"{"cmd":"pong","id":7,"lag_us":null}"#, Report::Pong { id: 7, lag_ns: 0 }),
            (r#"{"cmd":"pong","id":7,"lag_us":-1}"#, Report::Pong { id: 7, lag_ns: 0 }),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Parsed { report: expected, unknown_fields: false }), "{line}");
        }
    }

    #[test]
    fn each_other_line_has_its_fault() {
        for (line, fault) in [
            ("", Fault::Empty),
            (" \t\r", Fault::Empty),
            ("hello", Fault::NotJson),
            (r#"{"cmd":"latency","us":NaN}"#, Fault::NotJson),
            (r#"{"cmd":"latency","us":1e999}"#, Fault::NotJson),
            (r#"{"cmd":"ready"}{"cmd":"ready"}"#, Fault::NotJson),
            ("7", Fault::NoCommand),
            (r#""steady""#, Fault::NoCommand),
            (r#"["cmd","ready"]"#, Fault::NoCommand),
            (r#"{"cmd":1}"#, Fault::NoCommand),
            (r#"{"event":"x"}"#, Fault::NoCommand),
            (r#"{"cmd":"dance"}"#, Fault::UnknownCommand),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, Fault::NodeInternal),
            (r#"{"cmd":"latency"}"#, Fault::LatencyNotANumber),
            (r#"{"cmd":"latency","us":null}"#, Fault::LatencyNotANumber),
            (r#"{"cmd":"latency","us":"12"}"#, Fault::LatencyNotANumber),
            (r#"{"cmd":"latency","us":-0.1}"#, Fault::LatencyNegative),
            (r#"{"cmd":"latency","us":3600000001}"#, Fault::LatencyAbsurd),
            (r#"{"cmd":"latency","us":99999999999999999999999}"#, Fault::LatencyAbsurd),
            (r#"{"cmd":"latency","us":1,"n":0}"#, Fault::LatencyCount),
            (r#"{"cmd":"latency","us":1,"n":1000001}"#, Fault::LatencyCount),
            (r#"{"cmd":"latency","us":1,"n":99999999999999999999}"#, Fault::LatencyCount),
            (r#"{"cmd":"latency","us":1,"n":1.5}"#, Fault::LatencyCount),
            (r#"{"cmd":"latency","us":1,"n":null}"#, Fault::LatencyCount),
            (r#"{"cmd":"latency","us":1,"n":"1"}"#, Fault::LatencyCount),
            (r#"{"cmd":"pong"}"#, Fault::PongWithoutId),
            (r#"{"cmd":"pong","id":-1}"#, Fault::PongWithoutId),
        ] {
            assert_eq!(report(line), Err(fault), "{line}");
        }
        assert_eq!(parse(b"\"\xff\""), Err(Fault::NotUtf8));
    }

    #[test]
    fn deep_nesting_is_a_fault_and_not_a_stack_overflow() {
        assert_eq!(report(&"[".repeat(60_000)), Err(Fault::NotJson));
    }

    #[test]
    fn unknown_fields_are_noticed_and_ignored() {
        let line = br#"{"cmd":"latency","us":1,"route":"/"}"#;
        assert_eq!(
            parse(line),
            Ok(Parsed { report: Report::Latency { ns: 1_000, requests: 1 }, unknown_fields: true })
        );
        assert!(parse(br#"{"cmd":"ready","us":1}"#).unwrap().unknown_fields);
    }

    proptest! {
        #[test]
        fn every_number_is_a_latency_within_bounds_or_a_fault(us: f64) {
            match report(&serde_json::json!({"cmd": "latency", "us": us}).to_string()) {
                Ok(Report::Latency { ns, .. }) => prop_assert!(ns <= 3_600_000_000_000),
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(fault) => prop_assert!(!(0.0..=MAX_LATENCY_US).contains(&us), "{fault:?}"),
            }
        }
    }
}
