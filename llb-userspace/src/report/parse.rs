//! One line to one report.

use super::{Fault, Report};
use serde_json::{Map, Value};

/// The longest latency that is believed, µs: an hour. No server takes longer to answer; what is larger was given in
/// another unit, or is the difference of two unrelated clocks.
pub const MAX_LATENCY_US: f64 = 3600.0 * 1e6;

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
        "latency" => (latency(fields.get("us"))?, 2),
        "ready" => (Report::Ready, 1),
        "disconnect" => (Report::Disconnect, 1),
        "pong" => (pong(fields.get("id"))?, 2),
        node if node.starts_with("NODE_") => return Err(Fault::NodeInternal),
        _ => return Err(Fault::UnknownCommand),
    };
    Ok(Parsed { report, unknown_fields: fields.len() > known_fields })
}

fn latency(us: Option<&Value>) -> Result<Report, Fault> {
    let us = us.and_then(Value::as_f64).ok_or(Fault::LatencyNotANumber)?;
    if us < 0.0 {
        return Err(Fault::LatencyNegative);
    }
    if us > MAX_LATENCY_US {
        return Err(Fault::LatencyAbsurd);
    }
    Ok(Report::Latency { ns: (us * 1e3).round() as u64 })
}

fn pong(id: Option<&Value>) -> Result<Report, Fault> {
    let id = id.and_then(Value::as_u64).ok_or(Fault::PongWithoutId)?;
    Ok(Report::Pong { id })
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
            (r#"{"cmd":"latency","us":1234}"#, Report::Latency { ns: 1_234_000 }),
            (r#"{"cmd":"latency","us":0.5}"#, Report::Latency { ns: 500 }),
            (r#"{"cmd":"latency","us":0}"#, Report::Latency { ns: 0 }),
            (r#"{"cmd":"latency","us":3.6e9}"#, Report::Latency { ns: 3_600_000_000_000 }),
            (r#" { "us" : 1 , "cmd" : "latency" } "#, Report::Latency { ns: 1_000 }),
            (r#"{"cmd":"ready"}"#, Report::Ready),
            (r#""ready""#, Report::Ready),
            ("ready", Report::Ready),
            ("ready\r", Report::Ready),
            (r#"{"cmd":"disconnect"}"#, Report::Disconnect),
            (r#"{"cmd":"pong","id":7}"#, Report::Pong { id: 7 }),
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
        assert_eq!(parse(line), Ok(Parsed { report: Report::Latency { ns: 1_000 }, unknown_fields: true }));
        assert!(parse(br#"{"cmd":"ready","us":1}"#).unwrap().unknown_fields);
    }

    proptest! {
        #[test]
        fn every_number_is_a_latency_within_bounds_or_a_fault(us: f64) {
            match report(&serde_json::json!({"cmd": "latency", "us": us}).to_string()) {
                Ok(Report::Latency { ns }) => prop_assert!(ns <= 3_600_000_000_000),
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(fault) => prop_assert!(!(0.0..=MAX_LATENCY_US).contains(&us), "{fault:?}"),
            }
        }
    }
}
