//! Quantiles side by side.

use super::{Sides, style::Style};
use crate::demo::summary::UNANSWERED_NS;

const QUANTILES: [(&str, usize); 5] = [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1000)];

pub(super) fn lines(sides: &Sides<'_>, style: Style) -> Vec<String> {
    let mut lines = vec![row("", "kernel hash", "llb", "hash / llb", style)];
    for (name, per_mille) in QUANTILES {
        let (hash, llb) = (sides.hash.short_at(per_mille), sides.llb.short_at(per_mille));
        lines.push(row(name, &latency(hash), &latency(llb), &ratio(hash, llb), style));
    }
    let requests = |side: &super::Summary| side.short_ns().len().to_string();
    lines.push(row("requests", &requests(sides.hash), &requests(sides.llb), "", style));
    lines
}

fn row(name: &str, hash: &str, llb: &str, ratio: &str, style: Style) -> String {
    let hash = style.hash(&format!("{hash:>14}"));
    let llb = style.llb(&format!("{llb:>14}"));
    format!("  {name:<11}{hash}{llb}{ratio:>16}")
}

/// A quantile; one that falls on requests without an answer is only known to be no less than the time they were given.
fn latency(ns: u64) -> String {
    if ns >= UNANSWERED_NS { format!("≥ {}", time(UNANSWERED_NS)) } else { time(ns) }
}

/// A time to three digits, as "5.31 ms" or "1.21 s".
pub(super) fn time(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    // The bounds are where rounding to the digits shown would reach the next form.
    if ms < 9.995 {
        format!("{ms:.2} ms")
    } else if ms < 99.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", ms / 1e3)
    }
}

/// How many times the hash's latency is llb's, as far as it can be known.
fn ratio(hash: u64, llb: u64) -> String {
    let bound = match (hash >= UNANSWERED_NS, llb >= UNANSWERED_NS) {
        (false, false) => "",
        (true, false) => "≥ ",
        (false, true) => "≤ ",
        (true, true) => return "unknown".to_owned(),
    };
    let ratio = hash as f64 / llb.max(1) as f64;
    let digits = if ratio < 0.995 {
        2
    } else if ratio < 9.95 {
        1
    } else {
        0
    };
    format!("{bound}{ratio:.digits$}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_digits() {
        let shown = [5_314_000, 9_996_000, 53_140_000, 99_960_000, 531_400_000, 999_600_000, 1_214_000_000].map(time);
        assert_eq!(shown, ["5.31 ms", "10.0 ms", "53.1 ms", "100 ms", "531 ms", "1.00 s", "1.21 s"]);
    }

    #[test]
    fn what_is_only_a_bound_says_so() {
        assert_eq!(latency(UNANSWERED_NS + 1), "≥ 5.00 s");
        assert_eq!(ratio(UNANSWERED_NS, 10_000_000), "≥ 500x");
        assert_eq!(ratio(10_000_000, UNANSWERED_NS), "≤ 0.00x");
        assert_eq!(ratio(UNANSWERED_NS, UNANSWERED_NS), "unknown");
    }

    #[test]
    fn a_ratio_that_llb_loses_is_shown_too() {
        assert_eq!(
            [(5, 5), (5, 10), (50, 10), (500, 10)].map(|(hash, llb)| ratio(hash, llb)),
            ["1.0x", "0.50x", "5.0x", "50x"]
        );
    }
}
