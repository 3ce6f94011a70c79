//! The demo's result for a terminal: a table, the two distributions on one axis, who answered, and what to know about
//! the numbers. Pure, and readable without colour.

use super::{Plan, Summary, arrivals, load, worker};
use style::Style;

mod histogram;
mod shares;
mod style;
mod table;

/// Narrower terminals get lines that wrap, columns.
const WIDTH_MIN: usize = 64;

/// Wider ones get no wider picture: the eye has to compare, columns.
const WIDTH_MAX: usize = 120;

/// The two sides, in the order in which every part shows them.
struct Sides<'a> {
    hash: &'a Summary,
    llb: &'a Summary,
}

/// Draws both sides of a demo into `width` columns, in ANSI colours if `colour`. The text ends with a line feed.
#[must_use]
pub(crate) fn render(plan: &Plan, hash: &Summary, llb: &Summary, width: usize, colour: bool) -> String {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    let style = Style { colour };
    let sides = Sides { hash, llb };
    let mut lines = wrap(&setting(plan), width);
    lines.push(String::new());
    lines.push(style.bold(&format!("Latency of the {} ms requests", arrivals::SHORT_MS)));
    lines.extend(table::lines(&sides, style));
    lines.push(String::new());
    lines.push(style.bold("Where they lie (log axis; the height is the log of their number)"));
    lines.extend(histogram::lines(&sides, width, style));
    lines.push(String::new());
    lines.push(style.bold("Who answered, of all requests"));
    lines.extend(shares::lines(plan, &sides, width, style));
    lines.push(String::new());
    lines.extend(wrap(&fine_print(&sides), width));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What was done.
fn setting(plan: &Plan) -> String {
    let Plan { workers, slow_slot, rate, duration, .. } = plan;
    let long_percent = 100 / arrivals::LONG_ONE_IN;
    format!(
        "{workers} workers on one port; worker {slow_slot} is {} times slower than the others. {rate} requests/s for {} s, \
         the same ones to each side: {}% take a worker {} ms, {long_percent}% take {} ms.",
        worker::SLOW_FACTOR,
        duration.as_secs_f64(),
        100 - long_percent,
        arrivals::SHORT_MS,
        arrivals::LONG_MS,
    )
}

/// How far to trust it.
fn fine_print(sides: &Sides<'_>) -> String {
    let Sides { hash, llb } = sides;
    let samples = hash.short_ns().len();
    let mut text = format!(
        "One run of each side: {} requests, {samples} of {} ms, so p99.9 rests on {} of them. Latency counts from the \
         moment a request was due.",
        hash.requests(),
        arrivals::SHORT_MS,
        samples - (samples * 999).div_ceil(1000) + 1,
    );
    for (name, side) in [("the kernel hash", hash), ("llb", llb)] {
        if side.unanswered() > 0 {
            let reasons: Vec<_> = side.failed().iter().map(|(failure, count)| format!("{count} {failure}")).collect();
            text += &format!(
                " Without an answer under {name}: {}; they rank as {} s.",
                reasons.join(", "),
                load::TIMEOUT.as_secs()
            );
        }
    }
    text + &format!(
        " The load generator was at most {} late under the hash, {} under llb.",
        table::time(hash.latest_ns()),
        table::time(llb.latest_ns())
    )
}

/// Breaks prose at spaces into lines of at most `width` columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("it begins with a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests;
