//! A load's rounds as a table.

use super::load::{Load, Way};
use super::turns::Round;
use crate::figure::Spread;
use llb_kit::quantiles::median;

pub(super) fn markdown(load: Load, cpus: usize, seen: &[(Way, Vec<Round>)]) -> String {
    let mut heads = vec!["who", "answers/s", "p99 ms", "failed", "beside", "answers/s to that", "p99 to that"];
    if load.has_neighbour() {
        heads.push("neighbour's CPU");
    }
    let mut text = format!("\n**{}**: {}\n\n", load.name(), load.about(cpus));
    text += &line(heads.iter().map(|head| (*head).to_owned()));
    text += &line(heads.iter().map(|_| "---".to_owned()));
    for (way, rounds) in seen {
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let failed: usize = rounds.iter().map(|round| round.failed).sum();
        let mut cells = vec![way.name().to_owned(), format!("{:.0}", of(|round| round.per_second))];
        cells.extend([format!("{:.2}", of(|round| round.p99_ms)), failed.to_string()]);
        let reference = way.reference();
        let beside = seen.iter().find(|(other, _)| *other == reference && other != way);
        cells.push(beside.map_or_else(String::new, |_| reference.name().to_owned()));
        for figure in [|round: &Round| round.per_second, |round: &Round| round.p99_ms] {
            cells.push(beside.map_or_else(String::new, |(_, beside)| ratio(rounds, beside, figure)));
        }
        if load.has_neighbour() {
            cells.push(format!("{:.2}", of(|round| round.neighbour)));
        }
        text += &line(cells.into_iter());
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn ratio(of: &[Round], to: &[Round], figure: fn(&Round) -> f64) -> String {
    let ratios = of.iter().zip(to).map(|(of, to)| figure(of) / figure(to)).collect();
    let said = |Spread { median, min, max, .. }| format!("{median:.3} ({min:.3} to {max:.3})");
    Spread::of(ratios).map_or_else(String::new, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_beside_its_reference() {
        let rounds = |per_second: [f64; 3]| {
            per_second.map(|per_second| Round { per_second, p99_ms: 2.0, ..Round::default() }).to_vec()
        };
        let seen = [
            (Way::AsItIs, rounds([100.0, 200.0, 100.0])),
            (Way::Pinned, rounds([90.0, 220.0, 100.0])),
            (Way::PlainByCpu, rounds([180.0, 440.0, 200.0])),
        ];
        let text = markdown(Load::Connections, 2, &seen);
        let lines: Vec<_> = text.lines().skip(5).collect();
        assert_eq!(lines[0], "| llb | 100 | 2.00 | 0 |  |  |  |");
        assert_eq!(
            lines[1],
            "| llb --cpus auto | 100 | 2.00 | 0 | llb | 1.000 (0.900 to 1.100) | 1.000 (1.000 to 1.000) |"
        );
        assert!(lines[2].contains("| llb --cpus auto | 2.000 (2.000 to 2.000) |"), "{text}");
    }

    #[test]
    fn the_neighbours_part_stands_where_it_is() {
        let rounds = vec![Round { neighbour: 0.5, per_second: 1.0, p99_ms: 1.0, failed: 0 }];
        let text = markdown(Load::Neighbour, 2, &[(Way::AsItIs, rounds)]);
        assert!(text.ends_with("|  |  |  | 0.50 |\n"), "{text}");
    }
}
