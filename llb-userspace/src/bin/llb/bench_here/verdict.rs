//! Whether llb helps: each figure's ratio with its uncertainty, by a bootstrap over the pairs of rounds. What happens within one
//! round hangs together, as one long request delays many; pairs do not.

use fastrand::Rng;

use super::rounds::{Pair, Rounds};
use crate::demo::summary;

/// Fewer pairs say nothing of the uncertainty.
pub(super) const FEWEST: u32 = 4;

/// Times that pairs are drawn anew; the bounds are those of 95% of them.
const RESAMPLES: usize = 1_000;

/// So many latencies are enough for a quantile: with more, every so-many-th stands for its neighbours.
const ENOUGH: usize = 500;

/// One figure under both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compared {
    pub name: &'static str,
    /// Under the hash, and under llb, ns.
    pub hash: f64,
    pub llb: f64,
    /// The second by the first, and where it lies with 95%.
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// Latencies to one figure.
type Figure = fn(&[u64]) -> f64;

/// What is compared. The first and the last are what the verdict goes by.
const FIGURES: [(&str, Figure); 4] =
    [("mean", mean), ("p50", |all| at(all, 500)), ("p90", |all| at(all, 900)), ("p99", |all| at(all, 990))];

fn mean(all: &[u64]) -> f64 {
    all.iter().map(|ns| *ns as f64).sum::<f64>() / all.len().max(1) as f64
}

fn at(sorted: &[u64], per_mille: usize) -> f64 {
    summary::at(sorted, per_mille) as f64
}

pub(super) fn compare(pairs: &[Pair]) -> Vec<Compared> {
    let [hash, llb] = pooled(pairs.iter());
    // Of each round as many as are enough: a quantile of thousands is not drawn a thousand times.
    let thinned: Vec<Pair> = pairs.iter().map(|pair| Pair { hash: thin(&pair.hash), llb: thin(&pair.llb) }).collect();
    let mut random = Rng::with_seed(1);
    let mut drawn: [Vec<f64>; FIGURES.len()] = Default::default();
    for _ in 0..RESAMPLES {
        let [hash, llb] = pooled((0..thinned.len()).map(|_| &thinned[random.usize(..thinned.len())]));
        for ((_, figure), ratios) in FIGURES.iter().zip(&mut drawn) {
            ratios.push(figure(&llb) / figure(&hash).max(1.0));
        }
    }
    let compared = FIGURES.iter().zip(drawn).map(|((name, figure), mut ratios)| {
        ratios.sort_by(f64::total_cmp);
        let bound = |per_mille: usize| ratios[(ratios.len() - 1) * per_mille / 1000];
        let (hash, llb) = (figure(&hash), figure(&llb));
        Compared { name, hash, llb, ratio: llb / hash.max(1.0), low: bound(25), high: bound(975) }
    });
    compared.collect()
}

fn pooled<'a>(pairs: impl Iterator<Item = &'a Pair>) -> [Vec<u64>; 2] {
    let (mut hash, mut llb) = (Vec::new(), Vec::new());
    for pair in pairs {
        hash.extend_from_slice(&pair.hash);
        llb.extend_from_slice(&pair.llb);
    }
    hash.sort_unstable();
    llb.sort_unstable();
    [hash, llb]
}

fn thin(sorted: &[u64]) -> Vec<u64> {
    let count = sorted.len().min(ENOUGH);
    (0..count).map(|place| sorted[(2 * place + 1) * sorted.len() / (2 * count)]).collect()
}

/// Whether llb helps, in a sentence: by the mean and by p99, whichever is certain.
fn verdict(compared: &[Compared]) -> String {
    let judged = [compared.first(), compared.last()].into_iter().flatten();
    let (mut helps, mut hurts) = (Vec::new(), Vec::new());
    for Compared { name, ratio, low, high, .. } in judged {
        let words = format!("the {name} is {ratio:.2} times the hash's ({low:.2} to {high:.2})");
        if *high < 1.0 {
            helps.push(words);
        } else if *low > 1.0 {
            hurts.push(words);
        }
    }
    match (helps.is_empty(), hurts.is_empty()) {
        (false, true) => format!("llb helps here: {}", helps.join(", ")),
        (true, false) => format!("llb does worse here: {}", hurts.join(", ")),
        (false, false) => format!("llb helps in part: {}; but {}", helps.join(", "), hurts.join(", ")),
        (true, true) => "no difference is certain here: every interval holds 1".to_owned(),
    }
}

/// What is printed.
pub(super) fn report(title: &str, rounds: &Rounds, compared: &[Compared]) -> String {
    let Rounds { pairs, unanswered: [hash, llb], latest_ns } = rounds;
    let requests: usize = pairs.iter().map(|pair| pair.hash.len()).sum();
    let mut text = format!("{title}: {requests} requests each, in {} rounds\n", pairs.len());
    text += &format!("{:<5} {:>10} {:>10} {:>9}  95% of the time\n", "", "hash ms", "llb ms", "llb/hash");
    for Compared { name, hash, llb, ratio, low, high } in compared {
        let (hash, llb) = (hash / 1e6, llb / 1e6);
        text += &format!("{name:<5} {hash:>10.2} {llb:>10.2} {ratio:>9.2}  {low:.2} to {high:.2}\n");
    }
    text += &format!(
        "without an answer: hash {hash}, llb {llb}; the load was late by {:.1} ms at the most\n{}\n",
        *latest_ns as f64 / 1e6,
        verdict(compared)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Rounds in which a request takes 5 ms, or up to `hash` or `llb` times as much.
    fn pairs(hash: u64, llb: u64) -> Vec<Pair> {
        let mut random = Rng::with_seed(7);
        let mut round = |times: u64| {
            let mut all: Vec<u64> = (0..200).map(|_| 5 * MS * random.u64(1..=times)).collect();
            all.sort_unstable();
            all
        };
        (0..10).map(|_| Pair { hash: round(hash), llb: round(llb) }).collect()
    }

    fn said(hash: u64, llb: u64) -> String {
        verdict(&compare(&pairs(hash, llb)))
    }

    #[test]
    fn a_difference_is_found_and_equals_are_equal() {
        assert!(said(10, 2).starts_with("llb helps here: the mean is 0."), "{}", said(10, 2));
        assert!(said(2, 10).starts_with("llb does worse here: "), "{}", said(2, 10));
        assert_eq!(said(4, 4), "no difference is certain here: every interval holds 1");
    }

    #[test]
    fn the_interval_holds_the_ratio() {
        for Compared { name, ratio, low, high, .. } in compare(&pairs(10, 2)) {
            assert!(low <= ratio && ratio <= high, "{name}: {low} {ratio} {high}");
        }
    }

    #[test]
    fn one_bad_round_makes_nothing_certain() {
        let mut pairs = pairs(4, 4);
        pairs[0].hash.iter_mut().for_each(|ns| *ns *= 20);
        assert!(verdict(&compare(&pairs)).starts_with("no difference"), "{:?}", compare(&pairs));
    }

    #[test]
    fn a_thinned_round_keeps_its_quantiles() {
        let all: Vec<u64> = (1..=10_000).collect();
        let thinned = thin(&all);
        assert_eq!(thinned.len(), ENOUGH);
        assert!((at(&thinned, 990) - at(&all, 990)).abs() <= 20.0);
        assert_eq!(thin(&[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn the_report_has_it_all() {
        let rounds = Rounds { pairs: pairs(10, 2), unanswered: [3, 0], latest_ns: 2 * MS };
        let text = report("4 workers of node, / at 60 requests/s", &rounds, &compare(&rounds.pairs));
        assert!(
            text.starts_with("4 workers of node, / at 60 requests/s: 2000 requests each, in 10 rounds\n"),
            "{text}"
        );
        assert!(text.contains("without an answer: hash 3, llb 0; the load was late by 2.0 ms at the most\n"), "{text}");
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}
