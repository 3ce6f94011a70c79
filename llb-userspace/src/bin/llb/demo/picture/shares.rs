//! Who answered how much, side by side.

use super::{Plan, Sides, Summary, style::Style};
use llb::model::Slot;

/// Columns of a row's name.
const NAME: usize = 18;

/// Columns of a number, "100.0% ".
const NUMBER: usize = 7;

/// Filled eighths of a character cell from the left, one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

pub(super) fn lines(plan: &Plan, sides: &Sides<'_>, width: usize, style: Style) -> Vec<String> {
    let counts: Vec<Row> = rows(plan, sides).collect();
    let side_width = (width - NAME) / 2;
    let most = counts.iter().flat_map(|row| [row.hash, row.llb]).fold(0.0, f64::max);
    let head = format!("{:NAME$}{}{}", "", style.hash(&format!("{:<side_width$}", "kernel hash")), style.llb("llb"));
    let mut lines = vec![head];
    for Row { name, hash, llb } in counts {
        let side = |share| format!("{:<side_width$}", side(share, most, side_width));
        let name = format!("  {name:<width$}", width = NAME - 2);
        lines.push(format!("{name}{}{}", style.hash(&side(hash)), style.llb(side(llb).trim_end())));
    }
    lines
}

/// One row: a name and each side's share, 0 to 1.
struct Row {
    name: String,
    hash: f64,
    llb: f64,
}

fn rows(plan: &Plan, sides: &Sides<'_>) -> impl Iterator<Item = Row> {
    let share = |side: &Summary, count: usize| count as f64 / side.requests().max(1) as f64;
    let Sides { hash, llb } = *sides;
    let workers = (0..plan.workers).map(Slot).map(move |slot| Row {
        name: format!("worker {slot}{}", if slot == plan.slow_slot { " slow" } else { "" }),
        hash: share(hash, hash.answered_by(slot)),
        llb: share(llb, llb.answered_by(slot)),
    });
    let nobody =
        Row { name: "no answer".to_owned(), hash: share(hash, hash.unanswered()), llb: share(llb, llb.unanswered()) };
    workers.chain([nobody])
}

/// The number and its bar; a gap of two columns remains before the next side.
fn side(share: f64, most: f64, width: usize) -> String {
    let room = width - NUMBER - 2;
    let eighths = if most > 0.0 { (share / most * (room * 8) as f64).round() as usize } else { 0 };
    let bar = "█".repeat(eighths / 8);
    let rest = (eighths % 8).checked_sub(1).map_or(String::new(), |rest| EIGHTHS[rest].to_string());
    format!("{:>5.1}% {bar}{rest}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(side(0.5, 0.5, 13), " 50.0% ████");
        assert_eq!(side(0.25, 0.5, 13), " 25.0% ██");
        assert_eq!(side(0.02, 0.5, 13), "  2.0% ▏");
        assert_eq!(side(0.0, 0.0, 13), "  0.0% ");
    }
}
