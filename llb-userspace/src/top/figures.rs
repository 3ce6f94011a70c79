//! What two looks at a worker tell that one does not.

use crate::observe::status::{SlotStatus, Status, WorkerStatus};

/// Looks of which latencies and shares are made: those of the last ten seconds.
pub(super) const WINDOW: usize = 10;

/// One row: a worker, or a slot that has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub slot: u32,
    /// None in a slot without a worker.
    pub pid: Option<u32>,
    pub state: String,
    /// Percent of one core.
    pub cpu: Option<f64>,
    pub memory: Option<u64>,
    pub open: Option<u64>,
    pub in_flight: Option<u64>,
    /// Connections that nobody has accepted.
    pub waiting: Option<u64>,
    /// Of the connections of the window, 0 to 1.
    pub share: Option<f64>,
    /// Of the answers of the window, microseconds.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub failed: Option<u64>,
    pub errors: Option<u64>,
    pub restarts: u32,
    /// Connections a second, from look to look, the latest last.
    pub rates: Vec<f64>,
}

impl Row {
    /// A slot without a worker.
    pub(super) fn of_slot(slot: &SlotStatus) -> Self {
        Row { slot: slot.slot, state: slot.state.clone(), restarts: slot.restarts, ..Row::default() }
    }

    /// A worker by all looks at the fleet, the latest last.
    pub(super) fn of_worker<'a>(worker: &WorkerStatus, looks: impl Iterator<Item = &'a Status>) -> Self {
        let mut row = Row {
            slot: worker.slot,
            pid: Some(worker.pid),
            state: worker.state.clone(),
            memory: worker.memory_bytes,
            open: worker.open,
            in_flight: worker.in_flight,
            waiting: worker.queued,
            failed: worker.failed,
            errors: worker.errors,
            restarts: worker.restarts,
            ..Row::default()
        };
        let seen = looks.filter_map(|look| Some((look, same(look, worker)?)));
        let seen: Vec<(&Status, &WorkerStatus)> = seen.collect();
        for pair in seen.windows(2) {
            let [(earlier, before), (later, after)] = pair else { continue };
            let seconds = later.uptime_s - earlier.uptime_s;
            if seconds > 0.0 {
                row.rates.push(grown(before.chosen, after.chosen) as f64 / seconds);
                row.cpu = before.cpu_s.zip(after.cpu_s).map(|(a, b)| 100.0 * (b - a).max(0.0) / seconds);
            }
        }
        let window = &seen[seen.len().saturating_sub(WINDOW + 1)..];
        if let [(first, before), .., (last, after)] = window {
            let all = grown(first.connections, last.connections);
            row.share = (all > 0).then(|| grown(before.chosen, after.chosen) as f64 / all as f64);
            let answers = between(before.latency_histogram.as_deref(), after.latency_histogram.as_deref());
            (row.p50, row.p99) = (quantile(&answers, 0.5), quantile(&answers, 0.99));
        }
        row
    }
}

fn same<'a>(look: &'a Status, worker: &WorkerStatus) -> Option<&'a WorkerStatus> {
    look.workers.iter().find(|seen| (seen.slot, seen.pid) == (worker.slot, worker.pid))
}

fn grown(before: u64, after: u64) -> u64 {
    after.saturating_sub(before)
}

/// The answers of the time between two histograms.
pub(super) fn between(before: Option<&[(f64, u64)]>, after: Option<&[(f64, u64)]>) -> Vec<(f64, u64)> {
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let already = |end: f64| before.iter().find(|(of, _)| *of == end).map_or(0, |(_, count)| *count);
    after.iter().map(|(end, count)| (*end, grown(already(*end), *count))).filter(|(_, count)| *count > 0).collect()
}

/// Where the bucket ends that holds the answer at this part, 0 to 1, of all.
pub(super) fn quantile(histogram: &[(f64, u64)], part: f64) -> Option<f64> {
    let all: u64 = histogram.iter().map(|(_, count)| count).sum();
    let rank = ((all as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    histogram.iter().find_map(|(end, count)| {
        seen += count;
        (seen >= rank).then_some(*end)
    })
}

/// The fleet's sum of it all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub serving: usize,
    pub cpu: Option<f64>,
    pub memory: Option<u64>,
    pub open: Option<u64>,
    pub in_flight: Option<u64>,
    /// In the workers' queues, and in line.
    pub waiting: Option<u64>,
    pub failed: Option<u64>,
    pub errors: Option<u64>,
    pub restarts: u32,
    /// Connections a second.
    pub rate: Option<f64>,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

impl Totals {
    /// Of the rows, and of all looks, the latest last.
    pub(super) fn of(rows: &[Row], looks: &[&Status]) -> Self {
        let Some(last) = looks.last() else { return Totals::default() };
        let sum = |of: fn(&Row) -> Option<u64>| total(rows.iter().map(of));
        let line = last.line.as_ref().map_or(0, |line| line.waiting);
        let mut totals = Totals {
            serving: rows.iter().filter(|row| row.state == "serving").count(),
            cpu: rows.iter().filter_map(|row| row.cpu).reduce(|a, b| a + b),
            memory: sum(|row| row.memory),
            open: sum(|row| row.open),
            in_flight: sum(|row| row.in_flight),
            waiting: sum(|row| row.waiting).map(|waiting| waiting + line),
            failed: sum(|row| row.failed),
            errors: sum(|row| row.errors),
            restarts: last.slots.iter().map(|slot| slot.restarts).sum(),
            ..Totals::default()
        };
        let window = &looks[looks.len().saturating_sub(WINDOW + 1)..];
        if let [.., before, last] = window {
            let seconds = last.uptime_s - before.uptime_s;
            totals.rate = (seconds > 0.0).then(|| grown(before.connections, last.connections) as f64 / seconds);
            let answers = between(window[0].latency_histogram.as_deref(), last.latency_histogram.as_deref());
            (totals.p50, totals.p99) = (quantile(&answers, 0.5), quantile(&answers, 0.99));
        }
        totals
    }
}

/// Of those that are known; none if none is.
fn total(counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    counts.flatten().reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::testing::{status, worker};

    #[test]
    fn quantiles_are_those_of_the_time_between() {
        let (before, after) = ([(1.0, 5), (2.0, 5)], [(1.0, 5), (2.0, 55), (4.0, 50), (8.0, 1)]);
        let answers = between(Some(&before), Some(&after));
        assert_eq!(answers, [(2.0, 50), (4.0, 50), (8.0, 1)]);
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|part| quantile(&answers, part)),
            [Some(2.0), Some(4.0), Some(4.0), Some(8.0)]
        );
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(between(None, None), []);
    }

    #[test]
    fn rates_and_percents_are_of_the_time_between_two_looks() {
        let mut before = status("web", 1.0, [worker(0, 100), worker(1, 101)]);
        before.workers[0].cpu_s = Some(1.0);
        let mut after = status("web", 3.0, [worker(0, 100), worker(1, 102)]);
        (after.connections, after.workers[0].chosen) = (8, 6);
        after.workers[0].cpu_s = Some(1.5);
        let row = Row::of_worker(&after.workers[0], [&before, &after].into_iter());
        assert_eq!((row.cpu, row.share, row.rates.as_slice()), (Some(25.0), Some(0.75), &[3.0][..]));
        // Another process in the slot has no past.
        let row = Row::of_worker(&after.workers[1], [&before, &after].into_iter());
        assert_eq!((row.cpu, row.share, row.rates.len(), row.pid), (None, None, 0, Some(102)));
        let totals = Totals::of(&[Row { waiting: Some(2), ..Row::default() }, Row::default()], &[&before, &after]);
        assert_eq!((totals.rate, totals.waiting, totals.open), (Some(4.0), Some(2), None));
    }
}
