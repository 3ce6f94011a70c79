//! Both distributions of latency over one logarithmic axis, one above the other.

use super::{Sides, style::Style};
use crate::demo::summary::UNANSWERED_NS;

/// Left end of the axis, ns: just below the 5 ms that a short request takes at least.
const AXIS_FROM_NS: u64 = 4_000_000;

/// Columns left of the axis: the side's name.
const INDENT: usize = 15;

/// Rows of a histogram.
const ROWS: usize = 3;

/// Filled eighths of a character cell, none to all.
const CELL: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const TICKS: [(u64, &str); 10] = [
    (5_000_000, "5 ms"),
    (10_000_000, "10 ms"),
    (20_000_000, ""),
    (50_000_000, "50 ms"),
    (100_000_000, "100 ms"),
    (200_000_000, ""),
    (500_000_000, ""),
    (1_000_000_000, "1 s"),
    (2_000_000_000, ""),
    (UNANSWERED_NS, ""),
];

/// What stands under the last column, which is not part of the axis.
const NO_ANSWER: &str = "no answer";

pub(super) fn lines(sides: &Sides<'_>, width: usize, style: Style) -> Vec<String> {
    let axis = Axis { columns: width - INDENT };
    let hash = axis.count(sides.hash.short_ns());
    let llb = axis.count(sides.llb.short_ns());
    let most = hash.iter().chain(&llb).copied().max().unwrap_or(0);
    let mut lines = Vec::new();
    lines.extend(named("kernel hash", &bars(&hash, most)).map(|line| style.hash(&line)));
    lines.push(String::new());
    lines.extend(named("llb", &bars(&llb, most)).map(|line| style.llb(&line)));
    lines.extend(axis.lines().map(|line| format!("{:INDENT$}{line}", "")));
    lines
}

/// A histogram's rows with its name before the lowest.
fn named(name: &str, rows: &[String; ROWS]) -> [String; ROWS] {
    std::array::from_fn(|row| {
        let name = if row == ROWS - 1 { name } else { "" };
        format!("  {name:<width$}{}", rows[row].trim_end(), width = INDENT - 2)
    })
}

/// Draws `counts` as bars, the upmost row first. One request shows as an eighth of a cell at least.
fn bars(counts: &[usize], most: usize) -> [String; ROWS] {
    let full = ROWS * 8;
    let heights: Vec<usize> = counts
        .iter()
        .map(|&count| {
            let height = full as f64 * (count as f64).ln_1p() / (most as f64).ln_1p();
            if count == 0 { 0 } else { (height.round() as usize).max(1) }
        })
        .collect();
    std::array::from_fn(|row| {
        let below = 8 * (ROWS - 1 - row);
        heights.iter().map(|height| CELL[height.saturating_sub(below).min(8)]).collect()
    })
}

/// A logarithmic axis up to the load's timeout, then a gap, then one column for the requests without an answer.
struct Axis {
    columns: usize,
}

impl Axis {
    /// Columns of the axis proper.
    fn timed(&self) -> usize {
        self.columns - 2
    }

    fn column(&self, ns: u64) -> usize {
        if ns >= UNANSWERED_NS {
            return self.columns - 1;
        }
        let decades = |to: u64| (to as f64 / AXIS_FROM_NS as f64).log10();
        // A cast of a negative number, left of the axis, gives 0.
        ((self.timed() as f64 * decades(ns) / decades(UNANSWERED_NS)) as usize).min(self.timed() - 1)
    }

    fn count(&self, latencies_ns: &[u64]) -> Vec<usize> {
        let mut counts = vec![0; self.columns];
        for &ns in latencies_ns {
            counts[self.column(ns)] += 1;
        }
        counts
    }

    /// The line with its ticks, and the labels under them.
    fn lines(&self) -> [String; 2] {
        let mut line = vec!['─'; self.timed()];
        line.extend([' ', '┴']);
        let mut labels = vec![' '; self.columns];
        let mut free_from = 0;
        for (ns, label) in TICKS {
            line[self.column(ns)] = '┴';
            let (from, to) = (self.column(ns), self.column(ns) + label.len());
            // A label that would touch its neighbour is left out; the tick stays.
            if !label.is_empty() && from >= free_from && to + NO_ANSWER.len() < self.columns {
                write(&mut labels, from, label);
                free_from = to + 1;
            }
        }
        write(&mut labels, self.columns - NO_ANSWER.len(), NO_ANSWER);
        [line.into_iter().collect(), labels.into_iter().collect()]
    }
}

fn write(cells: &mut [char], from: usize, text: &str) {
    for (cell, letter) in cells[from..].iter_mut().zip(text.chars()) {
        *cell = letter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_holds_every_latency() {
        let axis = Axis { columns: 65 };
        assert_eq!([0, AXIS_FROM_NS, UNANSWERED_NS - 1].map(|ns| axis.column(ns)), [0, 0, 62]);
        assert_eq!([UNANSWERED_NS, u64::MAX].map(|ns| axis.column(ns)), [64, 64]);
    }

    #[test]
    fn a_single_request_among_thousands_shows() {
        assert_eq!(bars(&[0, 1, 30, 100_000], 100_000), ["   █", "   █", " ▁▇█"].map(String::from));
        assert_eq!(bars(&[0, 0], 0), ["  "; 3].map(String::from));
    }
}
