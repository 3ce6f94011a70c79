//! What a balancer has seen.

use std::collections::{BTreeMap, BTreeSet};

use llb_common::{
    outcome::{Outcome, Stage},
    select,
};
use serde::{Deserialize, Serialize};

use super::{Balancer, BalancerError};
use crate::{
    model::Seat,
    observe::status::{LatencyStatus, sum_of},
};

/// What a balancer has seen; counts of a seat are those of all that have sat there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalancerStatus {
    /// The slots that have a worker.
    pub slots: Vec<SlotStatus>,
    /// The slot of the published least-latency worker.
    pub least_slot: Option<u32>,
    /// Connections that came to the selector.
    pub connections: u64,
    /// What became of each, by outcome.
    pub selector: BTreeMap<String, u64>,
}

/// The worker of one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// The slot.
    pub slot: u32,
    /// The addresses that it listens on.
    pub addresses: Vec<String>,
    /// Connections that the selector gave to it.
    pub chosen: u64,
    /// Connections open; like the next four, 0 where the kernel keeps no books.
    pub open: u64,
    /// Requests begun and not yet answered.
    pub in_flight: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections that it closed without an answer.
    pub failed: u64,
    /// How long its answers took.
    pub latency_us: Option<LatencyStatus>,
    /// What a request costs there as the kernel's choice sees it, microseconds.
    pub cost_us: f64,
}

impl Balancer {
    /// What it has seen so far.
    ///
    /// # Errors
    /// [`BalancerError::Kernel`] if the counters cannot be read.
    pub fn status(&self) -> Result<BalancerStatus, BalancerError> {
        let counters = self.steering.counters()?;
        let slot_of = |seat: Seat| {
            self.workers.iter().find(|(_, worker)| worker.listeners.iter().any(|joined| joined.seat == seat))
        };
        Ok(BalancerStatus {
            slots: self.workers.keys().map(|slot| self.slot_status(*slot)).collect(),
            least_slot: self.updater.table().least.and_then(slot_of).map(|(slot, _)| *slot),
            connections: counters.total(Stage::Select),
            selector: Outcome::ALL.iter().map(|outcome| (outcome.name().into(), counters.get(*outcome))).collect(),
        })
    }

    fn slot_status(&self, slot: u32) -> SlotStatus {
        let listeners = &self.workers[&slot].listeners;
        let seats: BTreeSet<Seat> = listeners.iter().map(|joined| joined.seat).collect();
        let books: Vec<_> = seats.iter().map(|seat| self.steering.books().seat(*seat)).collect();
        let sum = |count: fn(&llb_common::abi::Seat) -> u64| books.iter().map(count).sum::<u64>();
        let latencies = sum_of(seats.iter().map(|seat| self.steering.books().latencies(*seat)));
        let published = seats.first().map_or(0, |seat| self.updater.table().cost_ns[seat.0 as usize]);
        let cost_ns = if published == 0 { books.first().map_or(0, |books| books.service_ns) } else { published };
        SlotStatus {
            slot,
            addresses: listeners.iter().map(|joined| joined.address.to_string()).collect(),
            chosen: sum(|books| books.charged),
            open: sum(|books| books.opened).saturating_sub(sum(|books| books.closed)),
            in_flight: sum(select::in_flight),
            answered: sum(|books| books.answered),
            failed: sum(|books| books.failed),
            latency_us: LatencyStatus::of(&latencies),
            cost_us: cost_ns as f64 / 1e3,
        }
    }
}
