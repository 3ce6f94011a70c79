//! The order of the rows.

use super::figures::Row;

/// By what rows are sorted: the largest first, slots from the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Slot,
    Cpu,
    Memory,
    Open,
    InFlight,
    Share,
    P99,
    Failed,
    Restarts,
}

impl Sort {
    const ALL: [Sort; 9] = [
        Sort::Slot,
        Sort::Cpu,
        Sort::Memory,
        Sort::Open,
        Sort::InFlight,
        Sort::Share,
        Sort::P99,
        Sort::Failed,
        Sort::Restarts,
    ];

    pub(super) fn next(self) -> Self {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    /// What is larger comes first; what is not known comes last.
    pub(super) fn weight(self, row: &Row) -> f64 {
        let count = |count: Option<u64>| count.map(|count| count as f64);
        let weight = match self {
            Sort::Slot => Some(-f64::from(row.slot)),
            Sort::Cpu => row.cpu,
            Sort::Memory => count(row.memory),
            Sort::Open => count(row.open),
            Sort::InFlight => count(row.in_flight),
            Sort::Share => row.share,
            Sort::P99 => row.p99,
            Sort::Failed => count(row.failed),
            Sort::Restarts => Some(f64::from(row.restarts)),
        };
        weight.unwrap_or(f64::NEG_INFINITY)
    }
}
