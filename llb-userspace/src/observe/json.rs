//! llb's own log as entries with fields, for who collects logs: JSON, one object a line, or what the journal takes.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{event::LOG, journald, writer};
use crate::sys::clock::wall_ms;

/// Where entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// Lines of JSON on standard error.
    Json,
    /// The systemd journal.
    Journal,
}

static SINK: OnceLock<Sink> = OnceLock::new();

/// From now on all that llb says is entries.
pub(super) fn turn_on(sink: Sink) {
    let _ = SINK.set(sink);
}

pub(super) fn is_on() -> bool {
    SINK.get().is_some()
}

/// Writes an entry.
pub(super) fn write(level: &str, event: &str, message: &str, fields: Map<String, Value>) {
    match SINK.get() {
        Some(Sink::Journal) => writer::journal(journald::entry(level, event, message, &fields)),
        Some(Sink::Json) | None => writer::raw(&entry(wall_ms(), level, event, message, fields)),
    }
}

/// An entry of the log, as a line without its end. What stands in `fields` comes last, and is not in the way of the rest.
fn entry(at_ms: u64, level: &str, event: &str, message: &str, fields: Map<String, Value>) -> String {
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string();
    let first = [("time", time.as_str()), ("level", level), ("event", event), ("message", message)];
    let mut entry = Map::new();
    for (name, value) in first {
        entry.insert(name.to_owned(), value.into());
    }
    for (name, value) in fields {
        entry.entry(name).or_insert(value);
    }
    Value::Object(entry).to_string()
}

/// Writes what the program logs.
pub(super) struct Entries;

impl<S: Subscriber> Layer<S> for Entries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = LogEntry::default();
        event.record(&mut entry);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let code = match entry.fields.remove("event") {
            Some(Value::String(code)) => code,
            _ => LOG.to_owned(),
        };
        write(level, &code, &entry.message, entry.fields);
    }
}

/// What is logged at once.
#[derive(Default)]
struct LogEntry {
    message: String,
    fields: Map<String, Value>,
}

impl LogEntry {
    fn note(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            ("message", value) => self.message = value.to_string(),
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for LogEntry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        // As a number is a number in every entry, however it was logged.
        let value = text.parse::<u64>().map_or(Value::String(text), Value::from);
        self.note(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::entry;

    #[test]
    fn an_entry_is_one_line_with_time_level_and_code() {
        let Value::Object(fields) = json!({"slot": 3, "level": "of its own"}) else { panic!("an object") };
        let line = entry(1_000, "warn", "hung", "it says \"no\"\nand hangs", fields);
        assert!(!line.contains('\n'), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "time": "1970-01-01T00:00:01.000Z", "level": "warn", "event": "hung",
            "message": "it says \"no\"\nand hangs", "slot": 3,
        });
        assert_eq!(read, expected);
        assert_eq!(entry(0, "info", "up", "", Map::new()).matches('{').count(), 1);
    }
}
