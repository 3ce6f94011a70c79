//! What is known of one fleet.

use std::collections::VecDeque;

use super::figures::{Row, Totals};
use crate::{
    control::Told,
    observe::{
        event::Event,
        status::{SlotStatus, Status},
    },
};

/// Looks that are kept: as many as a spark line is wide at the most, and one before them.
const LOOKS: usize = 31;

/// Events that are kept: more than a screen shows.
const EVENTS: usize = 512;

/// One fleet, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedFleet {
    /// The latest last, all of one master.
    looks: VecDeque<Status>,
    /// By slot, and age.
    pub rows: Vec<Row>,
    pub totals: Totals,
    /// Why it could not be asked the last time.
    pub trouble: Option<String>,
    /// The latest last.
    pub events: VecDeque<Event>,
    /// Events that came faster than they could be shown.
    pub missed: u64,
}

impl WatchedFleet {
    /// As its master has shown it last.
    pub(super) fn status(&self) -> Option<&Status> {
        self.looks.back()
    }

    /// Its master has been asked.
    pub(super) fn looked(&mut self, looked: Result<Status, String>) {
        let status = match looked {
            Ok(status) => status,
            Err(trouble) => {
                self.trouble = Some(trouble);
                return;
            }
        };
        self.trouble = None;
        // Another master counts from 0.
        if self.status().is_some_and(|last| last.pid != status.pid) {
            self.looks.clear();
        }
        self.looks.push_back(status);
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        self.rows = rows(self.looks.make_contiguous());
        self.totals = Totals::of(&self.rows, &self.looks.iter().collect::<Vec<_>>());
    }

    /// Its master sends an event. After a new connection it sends the old ones again.
    pub(super) fn told(&mut self, told: Told) {
        match told {
            Told::Missed(missed) => self.missed += missed.missed,
            Told::Event(event) if self.events.back().is_some_and(|last| is_known(last, &event)) => {}
            Told::Event(event) => {
                self.events.push_back(event);
                if self.events.len() > EVENTS {
                    self.events.pop_front();
                }
            }
        }
    }
}

/// Another master begins its numbers anew, and later.
fn is_known(last: &Event, event: &Event) -> bool {
    (event.at_ms, event.seq) <= (last.at_ms, last.seq)
}

fn rows(looks: &[Status]) -> Vec<Row> {
    let Some(last) = looks.last() else { return Vec::new() };
    let empty = |slot: &&SlotStatus| last.workers.iter().all(|worker| worker.slot != slot.slot);
    let mut rows: Vec<Row> = last.workers.iter().map(|worker| Row::of_worker(worker, looks.iter())).collect();
    rows.extend(last.slots.iter().filter(empty).map(Row::of_slot));
    // Stable: workers of one slot stay by age.
    rows.sort_by_key(|row| row.slot);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::testing::{event, status, worker};

    #[test]
    fn a_slot_without_a_worker_has_a_row_in_its_place() {
        let mut fleet = WatchedFleet::default();
        let mut seen = status("web", 1.0, [worker(0, 100), worker(1, 101), worker(2, 102)]);
        seen.workers.remove(1);
        seen.slots[1].state = "waiting".into();
        fleet.looked(Ok(seen));
        let rows: Vec<_> = fleet.rows.iter().map(|row| (row.slot, row.pid, row.state.as_str())).collect();
        assert_eq!(rows, [(0, Some(100), "serving"), (1, None, "waiting"), (2, Some(102), "serving")]);
    }

    #[test]
    fn another_master_begins_anew_and_trouble_keeps_what_was_seen() {
        let mut fleet = WatchedFleet::default();
        for second in 1..=40 {
            fleet.looked(Ok(status("web", f64::from(second), [worker(0, 100)])));
        }
        assert_eq!((fleet.looks.len(), fleet.rows[0].rates.len()), (LOOKS, LOOKS - 1));
        fleet.looked(Err("it has ended".into()));
        assert_eq!((fleet.trouble.as_deref(), fleet.rows.len()), (Some("it has ended"), 1));
        let mut other = status("web", 0.1, [worker(0, 100)]);
        other.pid = 98;
        fleet.looked(Ok(other));
        assert_eq!((fleet.trouble.as_deref(), fleet.looks.len(), fleet.rows[0].rates.len()), (None, 1, 0));
    }

    #[test]
    fn an_event_that_is_told_again_is_shown_once() {
        let mut fleet = WatchedFleet::default();
        for seq in [1, 2, 1, 2, 3] {
            fleet.told(Told::Event(event(seq, 0, "ready", "")));
        }
        // The next master's first.
        fleet.told(Told::Event(Event { at_ms: 2_000_000_000_000, ..event(1, 0, "spawned", "") }));
        assert_eq!(fleet.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 1]);
    }
}
