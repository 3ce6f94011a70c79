//! The set's results as a table.

use super::cell::Figure;
use super::policy::Policy;
use super::result::{Section, Seen};

const HEADS: [&str; 11] = [
    "traffic",
    "hash",
    "again",
    "round-robin",
    "least-inflight",
    "least-latency",
    "to the best",
    "to the hash",
    "noise",
    "busiest",
    "",
];

/// One line for each cell, and what its traffic is below.
pub(super) fn markdown(sections: &[Section]) -> String {
    let mut text = line(HEADS.map(str::to_owned));
    text += &line(HEADS.map(|_| "---".to_owned()));
    for section in sections {
        let figures = Policy::ALL.map(|policy| figure(section, &section.seen[policy as usize]));
        let [one, other, in_turn, fewest, ours] = figures;
        let value = section.of(Policy::LeastLatency);
        let verdict = section.falls_short();
        let verdict = if verdict.is_empty() { "holds".to_owned() } else { format!("**{}**", verdict.join(", ")) };
        text += &line([
            section.cell.name.to_owned(),
            one,
            other,
            in_turn,
            fewest,
            ours,
            ratio(value, section.best()),
            ratio(value, section.hash()),
            format!("{:.2}", section.noise()),
            busiest(section),
            verdict,
        ]);
    }
    text.push('\n');
    for section in sections {
        text += &format!("- {}: {}.\n", section.cell.name, section.cell.about);
        for failure in &section.failures {
            text += &format!("  A round came to nothing: {failure}\n");
        }
    }
    text
}

fn line(cells: [String; 11]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// ms, or the part that failed.
fn figure(section: &Section, seen: &Seen) -> String {
    match section.cell.figure {
        Figure::P99 => format!("{:.1}", seen.figure(Figure::P99) / 1e6),
        Figure::Failed => format!("{:.1}%", 100.0 * seen.figure(Figure::Failed)),
    }
}

fn ratio(of: f64, to: f64) -> String {
    if to > 0.0 { format!("{:.2}", of / to) } else { String::new() }
}

/// Of the hash, and of ours.
fn busiest(section: &Section) -> String {
    let of = |policy: Policy| section.seen[policy as usize].busiest();
    format!("{:.2}, {:.2}", of(Policy::Hash), of(Policy::LeastLatency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::result::tests::example;

    #[test]
    fn a_cell_that_falls_short_says_so() {
        let text = markdown(&[example([90, 110, 20, 21, 22]), example([10, 10, 10, 10, 40])]);
        assert!(
            text.contains("| 90.0 | 110.0 | 20.0 | 21.0 | 22.0 | 1.10 | 0.22 | 1.22 | 2.00, 2.00 | holds |"),
            "{text}"
        );
        assert!(
            text.contains("| 4.00 | 4.00 | 1.00 | 2.00, 2.00 | **above 1.1 of the best, above the hash** |"),
            "{text}"
        );
    }
}
