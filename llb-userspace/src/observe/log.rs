//! llb's own log, on stderr beside the workers' output.

use std::{
    io::IsTerminal,
    time::{Duration, UNIX_EPOCH},
};

use tracing_subscriber::{
    EnvFilter,
    fmt::{self, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use super::json::{self, Sink};
use crate::sys::clock::wall_ms;

/// The beginning of each line: whose it is, as workers write to the same place, and when it was, in UTC.
struct Stamp;

impl FormatTime for Stamp {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "llb: {}", humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(wall_ms())))
    }
}

/// A filter that [`start`] can read.
///
/// # Errors
/// As those of [`start`].
pub(crate) fn filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    text.parse::<EnvFilter>().map(|_| text.to_owned())
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line of words.
    Human,
    /// One JSON object a line.
    Json,
    /// Entries of the systemd journal.
    Journal,
}

/// The target of the fleet's events. In JSON and in the journal they are always written.
pub(crate) const EVENTS: &str = "llb::event";

/// Starts the log. `filter` is a level (`warn`) or a list of `target=level` as `tracing_subscriber` reads them.
///
/// # Errors
/// The filter's, if it cannot be read.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter: EnvFilter = filter.parse()?;
    let sink = match format {
        LogFormat::Human => None,
        LogFormat::Json => Some(Sink::Json),
        LogFormat::Journal => Some(Sink::Journal),
    };
    if let Some(sink) = sink {
        json::turn_on(sink);
        let filter = filter.add_directive(format!("{EVENTS}=info").parse()?);
        // As below.
        let _ = registry().with(filter).with(json::Entries).try_init();
        return Ok(());
    }
    let log = fmt::fmt()
        .with_env_filter(filter)
        .with_writer(|| super::writer::Stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start, in a test that has one already, keeps the first.
    let _ = log.with_target(false).with_timer(Stamp).try_init();
    Ok(())
}
