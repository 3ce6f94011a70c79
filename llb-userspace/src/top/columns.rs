//! The columns of the table. The width decides which of them are shown.

use super::{
    figures::Row,
    format::{bytes, count, cpu, ms, rate, share},
    sort::Sort,
};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Slot,
    Pid,
    State,
    Cpu,
    Memory,
    Open,
    InFlight,
    Waiting,
    Share,
    P50,
    P99,
    Failed,
    Errors,
    Restarts,
    Load,
    Rate,
    Spark,
}

/// From left to right.
const ORDER: [Column; 17] = [
    Column::Slot,
    Column::Pid,
    Column::State,
    Column::Cpu,
    Column::Memory,
    Column::Open,
    Column::InFlight,
    Column::Waiting,
    Column::Share,
    Column::P50,
    Column::P99,
    Column::Failed,
    Column::Errors,
    Column::Restarts,
    Column::Load,
    Column::Rate,
    Column::Spark,
];

/// From what is always there to what takes the room that is left.
const RANK: [Column; 17] = [
    Column::Slot,
    Column::State,
    Column::Cpu,
    Column::InFlight,
    Column::P99,
    Column::Restarts,
    Column::Failed,
    Column::Pid,
    Column::Memory,
    Column::Waiting,
    Column::Open,
    Column::Share,
    Column::Load,
    Column::P50,
    Column::Errors,
    Column::Rate,
    Column::Spark,
];

/// A spark line is of use from so many cells on, and has no more to show than so many.
const SPARK: (usize, usize) = (8, 30);

impl Column {
    pub(super) fn title(self) -> &'static str {
        match self {
            Column::Slot => "slot",
            Column::Pid => "pid",
            Column::State => "state",
            Column::Cpu => "cpu%",
            Column::Memory => "rss",
            Column::Open => "open",
            Column::InFlight => "flight",
            Column::Waiting => "wait",
            Column::Share => "share",
            Column::P50 => "p50 ms",
            Column::P99 => "p99 ms",
            Column::Failed => "failed",
            Column::Errors => "5xx",
            Column::Restarts => "rst",
            Column::Load => "load",
            Column::Rate => "conn/s",
            Column::Spark => "",
        }
    }

    fn width(self) -> usize {
        match self {
            Column::Restarts | Column::Waiting | Column::Errors => 4,
            Column::Slot | Column::Cpu | Column::Memory | Column::Open | Column::Share => 5,
            Column::InFlight | Column::P50 | Column::P99 | Column::Failed | Column::Rate => 6,
            Column::Pid => 7,
            Column::State | Column::Load => 8,
            Column::Spark => SPARK.0,
        }
    }

    /// Whether the rows are sorted by it.
    pub(super) fn is_sorted(self, sort: Sort) -> bool {
        let by = match sort {
            Sort::Slot => Column::Slot,
            Sort::Cpu => Column::Cpu,
            Sort::Memory => Column::Memory,
            Sort::Open => Column::Open,
            Sort::InFlight => Column::InFlight,
            Sort::Share => Column::Share,
            Sort::P99 => Column::P99,
            Sort::Failed => Column::Failed,
            Sort::Restarts => Column::Restarts,
        };
        self == by
    }

    /// Words and pictures begin at the left, figures end at the right.
    pub(super) fn is_left(self) -> bool {
        matches!(self, Column::State | Column::Load | Column::Spark)
    }

    /// What it says of a row; the pictures are [`draw`](super::draw)'s.
    pub(super) fn cell(self, row: &Row) -> String {
        match self {
            Column::Slot => row.slot.to_string(),
            Column::Pid => row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            Column::State => row.state.clone(),
            Column::Cpu => cpu(row.cpu),
            Column::Memory => bytes(row.memory),
            Column::Open => count(row.open),
            Column::InFlight => count(row.in_flight),
            Column::Waiting => count(row.waiting),
            Column::Share => share(row.share),
            Column::P50 => ms(row.p50),
            Column::P99 => ms(row.p99),
            Column::Failed => count(row.failed),
            Column::Errors => count(row.errors),
            Column::Restarts => row.restarts.to_string(),
            Column::Rate => rate(row.rates.last().copied()),
            Column::Load | Column::Spark => String::new(),
        }
    }
}

/// The columns that fit, with their widths; a cell is between two.
pub(super) fn fitting(width: usize) -> Vec<(Column, usize)> {
    let mut left = width + 1;
    let mut has = Vec::new();
    for column in RANK {
        // One that does not fit hides those after it, so that none comes and goes as the width changes.
        let Some(rest) = left.checked_sub(column.width() + 1) else { break };
        left = rest;
        has.push(column);
    }
    let width = |column: Column| match column {
        Column::Spark => (SPARK.0 + left).min(SPARK.1),
        column => column.width(),
    };
    ORDER.into_iter().filter(|column| has.contains(column)).map(|column| (column, width(column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_with_the_width_and_never_exceed_it() {
        let mut before = 0;
        for width in 0..200 {
            let columns = fitting(width);
            let taken: usize = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width + 1 && columns.len() >= before, "{width}: {columns:?}");
            before = columns.len();
        }
        assert_eq!(before, ORDER.len());
        let names = |width| fitting(width).iter().map(|(column, _)| column.title()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(60), "slot pid state cpu% rss flight p99 ms failed rst");
        assert_eq!(names(80), "slot pid state cpu% rss open flight wait share p99 ms failed rst");
    }

    #[test]
    fn every_column_has_a_rank() {
        assert!(ORDER.iter().all(|column| RANK.contains(column)));
    }
}
