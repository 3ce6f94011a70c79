//! What workers say, and what llb says to them.
//!
//! A worker's channel carries one JSON value a line. A worker may say `{"cmd":"latency","us":1234}`, with `"n":100` if that
//! is the middle of so many, `{"cmd":"ready"}` (a bare `ready` and the JSON string `"ready"` are understood as well),
//! `{"cmd":"disconnect"}` ("replace me") and `{"cmd":"pong","id":7}`, with
//! `"lag_us":1234` if its event loop is so late. llb's own words are in [`say`].
//!
//! Bytes come in as the channel happens to cut them; [`Reader`] makes lines of them and reads each line. Every line
//! is accounted for exactly once in [`ReportCounts`], as a report or as one [`Fault`], and nothing that a worker
//! writes does more harm than that.
//!
//! ```
//! use llb::report::{Fault, Reader, Report, ReportCounts, say};
//!
//! let (mut reader, mut reports) = (Reader::new(100), Vec::new());
//! for bytes in [r#"{"cmd":"latency","us":12"#, "34,\"n\":100}\nready\n", "hello\n", "{\"user\":7}\n"] {
//!     reader.feed(bytes.as_bytes(), |report| reports.push(report));
//! }
//! assert_eq!(reports, [Report::Latency { ns: 1_234_000, requests: 100 }, Report::Ready]);
//!
//! let counts: &ReportCounts = reader.counts();
//! assert_eq!((counts.lines(), counts.latency, counts.fault(Fault::NotJson)), (4, 1, 1));
//! assert_eq!(reader.newly_seen(), [Fault::NotJson, Fault::NoCommand]);
//! assert_eq!(Fault::NotJson.name(), "not_json");
//! // JSON that is not for llb is a message of the program's own.
//! assert_eq!(reader.messages(), [r#"{"user":7}"#]);
//!
//! // No worker makes llb read more than so many latencies in an interval; the rest is counted.
//! reader.refill(1);
//! reader.feed(b"{\"cmd\":\"latency\",\"us\":1}\n{\"cmd\":\"latency\",\"us\":1}\n", |_| {});
//! assert_eq!(reader.counts().fault(Fault::OverBudget), 1);
//!
//! assert_eq!(say::ping(7), b"{\"cmd\":\"ping\",\"id\":7}\n");
//! assert_eq!(say::DISCONNECT, b"{\"cmd\":\"disconnect\"}\n");
//! ```

mod frame;
mod parse;
pub mod say;

use std::time::Duration;

pub use frame::{MAX_LINE_BYTES, MAX_MESSAGE_BYTES, Reader};
pub use parse::{MAX_LATENCY_US, MAX_REQUESTS};

/// What one line said. An example is [above](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The worker took this long to answer, ns.
    Latency {
        /// At most [`MAX_LATENCY_US`].
        ns: u64,
        /// How many requests' centre it is: 1 to [`MAX_REQUESTS`].
        requests: u32,
    },
    /// The worker can take connections.
    Ready,
    /// The worker asks to be replaced.
    Disconnect,
    /// The answer to llb's ping of the same id.
    Pong {
        /// As in the ping.
        id: u64,
        /// How late the worker's event loop is, as it has measured itself, ns and at most [`MAX_LATENCY_US`]; 0 if it has
        /// not.
        lag_ns: u64,
    },
}

impl Report {
    /// A request took so long; at most [`MAX_LATENCY_US`] of it count.
    #[must_use]
    pub fn latency(took: Duration) -> Self {
        let at_most = Duration::from_micros(MAX_LATENCY_US as u64);
        // An hour of nanoseconds fits.
        Report::Latency { ns: took.min(at_most).as_nanos() as u64, requests: 1 }
    }
}

/// Why a line gave no report. The text is for the log, once a worker and kind: see [`Reader::newly_seen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Nothing but white space.
    #[error("an empty line")]
    Empty,
    /// Over [`MAX_LINE_BYTES`]; counted as soon as it is, though the line may never end.
    #[error("a line over {MAX_LINE_BYTES} bytes, skipped to its end; the channel is for short reports")]
    TooLong,
    /// Invalid UTF-8.
    #[error("a line that is not UTF-8; write one JSON value a line")]
    NotUtf8,
    /// Not JSON; a bare `NaN` is not, either.
    #[error("a line that is not JSON; write one JSON value a line")]
    NotJson,
    /// JSON, but neither an object with a string `cmd` nor `"ready"`.
    #[error("a message without a command; llb reads objects like {{\"cmd\":\"ready\"}}")]
    NoCommand,
    /// A command that llb does not know. Programs have messages of their own, so this may well be intended.
    #[error("a command that is not llb's; it knows latency, ready, disconnect and pong")]
    UnknownCommand,
    /// One of the messages (`NODE_...`) that Node's own modules exchange over the same channel.
    #[error("a message of Node's own")]
    NodeInternal,
    /// A latency whose `us` is missing or no number; JavaScript writes `NaN` as `null`.
    #[error("a latency without a number; write the microseconds as \"us\"")]
    LatencyNotANumber,
    /// A latency below zero.
    #[error("a negative latency; was it taken from a clock that can jump?")]
    LatencyNegative,
    /// A latency over [`MAX_LATENCY_US`].
    #[error("a latency of over an hour; \"us\" is in microseconds")]
    LatencyAbsurd,
    /// A latency whose `n` is no whole number from 1 to [`MAX_REQUESTS`].
    #[error("a latency of a count that is none; \"n\" is a whole number from 1 to {MAX_REQUESTS}")]
    LatencyCount,
    /// A pong whose `id` is missing or no whole number.
    #[error("a pong without the id of its ping")]
    PongWithoutId,
    /// A latency that was dropped because the worker's lines of this interval were used up.
    #[error("more lines than llb reads in one interval; some latencies were dropped")]
    OverBudget,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 13] = [
        Fault::Empty,
        Fault::TooLong,
        Fault::NotUtf8,
        Fault::NotJson,
        Fault::NoCommand,
        Fault::UnknownCommand,
        Fault::NodeInternal,
        Fault::LatencyNotANumber,
        Fault::LatencyNegative,
        Fault::LatencyAbsurd,
        Fault::LatencyCount,
        Fault::PongWithoutId,
        Fault::OverBudget,
    ];

    /// The name in `llb status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Empty => "empty",
            Fault::TooLong => "too_long",
            Fault::NotUtf8 => "not_utf8",
            Fault::NotJson => "not_json",
            Fault::NoCommand => "no_command",
            Fault::UnknownCommand => "unknown_command",
            Fault::NodeInternal => "node_internal",
            Fault::LatencyNotANumber => "latency_not_a_number",
            Fault::LatencyNegative => "latency_negative",
            Fault::LatencyAbsurd => "latency_absurd",
            Fault::LatencyCount => "latency_count",
            Fault::PongWithoutId => "pong_without_id",
            Fault::OverBudget => "over_budget",
        }
    }
}

/// Lines of one worker, by what became of them; they only grow. An example is [above](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportCounts {
    /// Lines that reported latencies, of one request or many.
    pub latency: u64,
    /// Times that it said it was ready.
    pub ready: u64,
    /// Times that it asked to be replaced.
    pub disconnect: u64,
    /// Pongs, of whatever id.
    pub pong: u64,
    /// How many of these reports also had fields that llb does not know. They are ignored, so that a worker may
    /// speak to a later llb as well.
    pub with_unknown_fields: u64,
    faults: [u64; Fault::ALL.len()],
}

impl ReportCounts {
    /// Lines that gave no report, for this reason.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.latency + self.ready + self.disconnect + self.pong + self.faults.iter().sum::<u64>()
    }

    fn add_report(&mut self, report: Report) {
        *match report {
            Report::Latency { .. } => &mut self.latency,
            Report::Ready => &mut self.ready,
            Report::Disconnect => &mut self.disconnect,
            Report::Pong { .. } => &mut self.pong,
        } += 1;
    }

    /// Returns whether it is the first of its kind.
    fn add_fault(&mut self, fault: Fault) -> bool {
        let count = &mut self.faults[fault as usize];
        *count += 1;
        *count == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_fault_has_a_count_of_its_own() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
    }
}
