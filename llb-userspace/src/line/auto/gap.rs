//! How long a worker that is free is without a request until it is handed the next one.
//!
//! A worker holds one more where that takes more than a tenth of a request, and nobody waits in line where it takes more than half.

use std::fmt;

/// Hand-overs of which the mean is taken, and that are needed to go by it.
const HAND_OVERS: u64 = 32;

/// The mean of the last ones.
#[derive(Debug, Default)]
pub(super) struct Gap {
    mean_ns: u64,
    count: u64,
    is_long: bool,
}

impl Gap {
    /// One has taken so long.
    pub(super) fn took(&mut self, ns: u64) {
        self.count = (self.count + 1).min(HAND_OVERS);
        self.mean_ns = self.mean_ns - self.mean_ns / self.count + ns / self.count;
    }

    /// Compares it with what a request takes. The gap, if it is too long for a line.
    pub(super) fn judge(&mut self, request_ns: u64) -> Option<u64> {
        if self.count < HAND_OVERS {
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
