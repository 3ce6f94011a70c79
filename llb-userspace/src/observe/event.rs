//! What has come to pass in a fleet, as it is shown.

use serde::{Deserialize, Serialize};

/// In the log, the code of what is said to people: its words may change.
pub(crate) const LOG: &str = "log";

/// In the log, the code of what ends llb.
pub(crate) const FATAL: &str = "fatal";

/// One event, as a line of `llb events --json` has it.
///
/// ```
/// use llb::observe::event::Event;
///
/// let line = r#"{"seq":7,"at_ms":1000000000123,"event":"exited","slot":3,"pid":4121,"generation":2,
///     "cause":"was killed by SIGKILL"}"#;
/// let event: Event = serde_json::from_str(line)?;
/// assert_eq!((event.event.as_str(), event.slot), ("exited", Some(3)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Grows by one with each event of this master.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What: one of the codes in `docs/events.md`. Later versions may have more of them.
    pub event: String,
    /// In which slot; none if it is about the fleet.
    pub slot: Option<u32>,
    /// The worker's first process, if it has one.
    pub pid: Option<u32>,
    /// The generation of the worker, or of the fleet.
    pub generation: u32,
    /// Why.
    pub cause: String,
}

/// What workers write is shown, and does nothing to the terminal.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("\u{1b}[2J\n\u{9b}ö"), r"\u{1b}[2J\n\u{9b}ö");
    }
}
