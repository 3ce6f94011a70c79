//! Chunks of bytes to lines, and lines to reports.

use super::{
    Fault, Report, ReportCounts,
    parse::{Parsed, parse},
};

/// The longest line that is read, bytes without its newline. Reports have some thirty; this leaves room for programs
/// that send messages of their own, and bounds what 256 workers can make llb hold to 16 MiB.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The longest message of a program's own that is passed on to the event stream, bytes; and how many are in one interval of
/// the budget. They are for people and scripts that watch; a log is the better place for more.
pub const MAX_MESSAGE_BYTES: usize = 1024;
const MESSAGES: u32 = 10;

/// Reads one worker's channel. An example is [there](super).
#[derive(Debug)]
pub struct Reader {
    line: Line,
    budget: u32,
    counts: ReportCounts,
    newly_seen: Vec<Fault>,
    message_budget: u32,
    messages: Vec<String>,
}

/// The line that has begun and not yet ended.
#[derive(Debug)]
enum Line {
    /// All of it so far, at most [`MAX_LINE_BYTES`].
    Kept(Vec<u8>),
    /// It is too long: nothing is kept until it ends.
    Skipped,
}

impl Reader {
    /// A reader for a new channel, with a budget as in [`refill`](Self::refill).
    #[must_use]
    pub fn new(budget: u32) -> Self {
        Reader {
            line: Line::Kept(Vec::new()),
            budget,
            counts: ReportCounts::default(),
            newly_seen: Vec::new(),
            message_budget: MESSAGES,
            messages: Vec::new(),
        }
    }

    /// Starts an interval in which the worker may write `budget` lines of any kind. Latencies beyond it are dropped
    /// and counted; the other reports are rare and matter, so they are never dropped.
    pub fn refill(&mut self, budget: u32) {
        self.budget = budget;
        self.message_budget = MESSAGES;
    }

    /// Takes the next bytes of the channel, cut anywhere, and passes each report to `sink` in the order written.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(Report)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line(&mut sink);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// Whether what has come of a line is the word that a script may write without a newline: `ready`.
    pub(crate) fn awaits_end_of_word(&self) -> bool {
        matches!(&self.line, Line::Kept(line) if [&b"ready"[..], b"\"ready\"", b"{\"cmd\":\"ready\"}"].contains(&line.as_slice()))
    }

    /// Takes that word for a line, as nothing more comes.
    pub(crate) fn end_word(&mut self, mut sink: impl FnMut(Report)) {
        if self.awaits_end_of_word() {
            self.end_line(&mut sink);
        }
    }

    /// What became of all lines so far.
    #[must_use]
    pub fn counts(&self) -> &ReportCounts {
        &self.counts
    }

    /// The kinds of fault that have been seen for the first time since this was last called: log each.
    pub fn newly_seen(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.newly_seen)
    }

    /// Lines of JSON that are none of llb's commands, a program's own messages, since this was last called; those that are
    /// too long, or too many, are counted only.
    pub fn messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    fn extend(&mut self, bytes: &[u8]) {
        let Line::Kept(line) = &mut self.line else { return };
        if line.len() + bytes.len() <= MAX_LINE_BYTES {
            line.extend_from_slice(bytes);
        } else {
            self.line = Line::Skipped;
            self.account(Err(Fault::TooLong));
        }
    }

    fn end_line(&mut self, sink: &mut impl FnMut(Report)) {
        match &mut self.line {
            Line::Kept(line) => {
                let parsed = parse(line);
                let is_own = matches!(parsed, Err(Fault::NoCommand | Fault::UnknownCommand));
                if is_own && self.message_budget > 0 && line.len() <= MAX_MESSAGE_BYTES {
                    self.message_budget -= 1;
                    self.messages.push(String::from_utf8_lossy(line.trim_ascii()).into_owned());
                }
                line.clear();
                if let Some(report) = self.account(parsed) {
                    sink(report);
                }
            }
            // It was accounted for when it became too long.
            Line::Skipped => self.line = Line::Kept(Vec::new()),
        }
    }

    /// Enters one line into the books; returns the report that it made, if any.
    fn account(&mut self, parsed: Result<Parsed, Fault>) -> Option<Report> {
        let within_budget = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        let parsed = match parsed {
            Ok(Parsed { report: Report::Latency { .. }, .. }) if !within_budget => Err(Fault::OverBudget),
            parsed => parsed,
        };
        match parsed {
            Ok(Parsed { report, unknown_fields }) => {
                self.counts.add_report(report);
                self.counts.with_unknown_fields += u64::from(unknown_fields);
                Some(report)
            }
            Err(fault) => {
                if self.counts.add_fault(fault) {
                    self.newly_seen.push(fault);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
