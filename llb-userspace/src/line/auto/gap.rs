//! How long a worker that is free is without a request until it is handed the next one. One that gets it although it is busy, as the
//! line is full, or so late because a faster one was worth waiting for, says nothing of that.
//!
//! A worker holds one more where that takes more than a tenth of a request, and nobody waits in line where it takes more than half.

use std::fmt;

/// Turns of llb's loop with hand-overs of which the mean is taken, and that are needed to go by it.
const TURNS: u64 = 32;

/// The mean of the last ones.
#[derive(Debug, Default)]
pub(super) struct Gap {
    request_ns: u64,
    mean_ns: u64,
    count: u64,
    is_long: bool,
}

impl Gap {
    /// The longest of one turn has taken so long. It counts as a request at most: that llb, or the machine, has stood still once says
    /// nothing of the next.
    pub(super) fn took(&mut self, ns: u64) {
        let ns = ns.min(self.request_ns);
        self.count = (self.count + 1).min(TURNS);
        self.mean_ns = self.mean_ns - self.mean_ns / self.count + ns / self.count;
    }

    /// Compares it with what a request takes. The gap, if it is too long for a line.
    pub(super) fn judge(&mut self, request_ns: u64) -> Option<u64> {
        self.request_ns = request_ns;
        if self.count < TURNS {
            return None;
        }
        // Half of it, to change back: it comes and goes with the load of the machine.
        self.is_long = self.mean_ns > request_ns / if self.is_long { 20 } else { 10 };
        (self.mean_ns > request_ns / 2).then_some(self.mean_ns)
    }

    /// How many requests a worker is to have at once that serves one after the other.
    pub(super) fn concurrency(&self) -> u32 {
        if self.is_long { 2 } else { 1 }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_long {
            write!(f, "; each holds one more, as it takes {} us to hand one over", self.mean_ns / 1_000)?;
        }
        Ok(())
    }
}
