//! One worker: all that is known of it, its latencies and its events.

use ratatui::style::Style;

use super::{
    canvas::{Canvas, events},
    figures::Row,
    fleet::WatchedFleet,
    format,
    theme::Theme,
};
use crate::observe::{age::age, status::WorkerStatus};

/// Lines that its events get at the least, with their title.
const EVENT_LINES: u16 = 6;

/// Where buckets end that are as wide as all before them, microseconds: the first is as wide as four of the kernel's.
const FIRST_END: f64 = 4.096;

pub(super) fn draw(fleet: &WatchedFleet, row: &Row, theme: Theme, canvas: &mut Canvas<'_>, bottom: u16) {
    let pid = row.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    canvas.line([
        (format!("slot {}{pid}: ", row.slot).as_str(), theme.title()),
        (row.state.as_str(), theme.state(&row.state)),
    ]);
    let status = fleet.status();
    let worker = status
        .and_then(|status| status.workers.iter().find(|worker| (worker.slot, Some(worker.pid)) == (row.slot, row.pid)));
    if let Some(worker) = worker {
        for line in facts(worker, row) {
            canvas.line([("  ", Style::new()), (line.as_str(), Style::new())]);
        }
    }
    let last = status.and_then(|status| status.slots.iter().find(|slot| slot.slot == row.slot)?.last_exit.clone());
    if let Some(last) = last {
        canvas.line([(format!("  the last worker of this slot {last}").as_str(), Style::new())]);
    }
    if let Some(worker) = worker {
        let bottom = bottom.saturating_sub(EVENT_LINES);
        latencies(&octaves(worker.latency_histogram.as_deref().unwrap_or_default()), theme, canvas, bottom);
    }
    let of_slot = fleet.events.iter().filter(|event| event.slot == Some(row.slot));
    events(of_slot, 0, theme, canvas, bottom);
}

fn facts(worker: &WorkerStatus, row: &Row) -> Vec<String> {
    let count = format::count;
    let reports: Vec<String> = worker.reports.iter().map(|(kind, lines)| format!("{kind} {lines}")).collect();
    let mut facts = vec![
        format!(
            "generation {}  up {}  cpu {}% ({} s)  rss {}  restarts {}",
            worker.generation,
            age(worker.uptime_s),
            format::cpu(row.cpu),
            worker.cpu_s.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
            format::bytes(worker.memory_bytes),
            worker.restarts,
        ),
        format!(
            "chosen {}  answered {}  open {}  in flight {}  waiting {}  failed {}  5xx {}  rescued {}",
            count(Some(worker.chosen)),
            count(worker.answered),
            count(worker.open),
            count(worker.in_flight),
            count(worker.queued),
            count(worker.failed),
            count(worker.errors),
            count(worker.rescued),
        ),
    ];
    if let Some(latency) = worker.latency_us {
        let ms = |us| format::ms(Some(us));
        let (p50, p90, p99, p999) = (ms(latency.p50), ms(latency.p90), ms(latency.p99), ms(latency.p999));
        facts.push(format!("since it joined: p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999} ms"));
    }
    if !reports.is_empty() {
        facts.push(format!("reports: {}", reports.join("  ")));
    }
    facts
}

/// The histogram in buckets each of which ends at twice what the one before it does, without gaps.
fn octaves(histogram: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let octave = |end: f64| (end / FIRST_END).log2().ceil().max(0.0) as i32;
    let Some((first, last)) = histogram.first().zip(histogram.last()) else { return Vec::new() };
    let sum = |of: i32| histogram.iter().filter(|(end, _)| octave(*end) == of).map(|(_, count)| count).sum();
    (octave(first.0)..=octave(last.0)).map(|of| (FIRST_END * f64::from(of).exp2(), sum(of))).collect()
}

fn latencies(buckets: &[(f64, u64)], theme: Theme, canvas: &mut Canvas<'_>, bottom: u16) {
    let room = usize::from(bottom.saturating_sub(canvas.y + 1));
    if buckets.is_empty() || room == 0 {
        return;
    }
    canvas.line([("latencies since it joined", theme.head())]);
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let width = usize::from(canvas.area.width).saturating_sub(24).min(60);
    // The slowest are what one looks for.
    for (end, count) in &buckets[buckets.len().saturating_sub(room)..] {
        let bar = theme.bar_of(*count as f64 / most as f64, width);
        canvas.line([
            (
                format!("  < {:>8} ms  {:>5} ", format::ms(Some(*end)), format::count(Some(*count))).as_str(),
                Style::new(),
            ),
            (bar.as_str(), theme.bar()),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::octaves;

    #[test]
    fn buckets_are_joined_to_octaves_without_gaps() {
        let histogram = [(1.024, 1), (4.096, 2), (5.12, 3), (8.192, 4), (40.96, 5)];
        assert_eq!(octaves(&histogram), [(4.096, 3), (8.192, 7), (16.384, 0), (32.768, 0), (65.536, 5)]);
        assert_eq!(octaves(&[]), []);
    }
}
