//! Reports from other threads.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::report::Report;

/// Reports that wait for the next update, which comes a hundred times a second. An estimate is no better for more.
const WAITING: usize = 10_000;

/// A handle by which any thread reports to a [`Balancer`](super::Balancer); they take effect with its next update.
#[derive(Clone, Debug)]
pub struct Reports(Arc<Mutex<Vec<(u32, Report)>>>);

impl Reports {
    pub(super) fn new() -> Self {
        Reports(Arc::default())
    }

    /// The worker of `slot` took `latency` for a request. What comes too fast is dropped.
    pub fn report(&self, slot: u32, latency: Duration) {
        self.push(slot, Report::latency(latency));
    }

    fn push(&self, slot: u32, report: Report) {
        // After a panic under the lock the list of numbers is as good as before.
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push((slot, report));
        }
    }

    pub(super) fn take(&self) -> Vec<(u32, Report)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_reports_is_bounded() {
        let reports = Reports::new();
        (0..2 * WAITING).for_each(|_| reports.report(0, Duration::ZERO));
        assert_eq!((reports.take().len(), reports.take().len()), (WAITING, 0));
    }
}
