//! What a balancer has seen.

use std::collections::BTreeMap;

use llb_common::outcome::{Outcome, Stage};
use serde::{Deserialize, Serialize};

use super::{Balancer, BalancerError, Worker};
use crate::{model::Seat, observe::status::LatencyStatus};

/// What a balancer has seen.
///
/// ```no_run
/// use llb::balancer::{Balancer, BalancerStatus, MemberStatus};
///
/// # fn example(balancer: &Balancer) -> Result<(), llb::balancer::BalancerError> {
/// let BalancerStatus { slots, least_slot, connections, .. } = balancer.status()?;
/// println!("{connections} connections, {least_slot:?} would be the next");
/// for MemberStatus { slot, chosen, cost_us, .. } in slots {
///     println!("slot {slot}: {chosen}, and {cost_us} us for one more");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BalancerStatus {
    /// The slots that have a worker.
    pub slots: Vec<MemberStatus>,
    /// The slot of the published least-latency worker.
    pub least_slot: Option<u32>,
    /// Connections that came to the selector.
    pub connections: u64,
    /// What became of each, by outcome.
    pub selector: BTreeMap<String, u64>,
}

/// The worker of one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberStatus {
    /// The slot.
    pub slot: u32,
    /// The addresses that it listens on.
    pub addresses: Vec<String>,
    /// Connections that the selector gave to it.
    pub chosen: u64,
    /// Connections open; like the next five, 0 where the kernel keeps no books.
    pub open: u64,
    /// Requests begun and not yet answered.
    pub in_flight: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections that it closed without an answer.
    pub failed: u64,
    /// Answers that called themselves errors: "HTTP/1.x 5".
    pub errors: u64,
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
        let counters = self.updater.steering().counters().map_err(BalancerError::kernel)?;
        let slot_of = |seat: Seat| self.registry.holders().find(|(held, _)| *held == seat);
        Ok(BalancerStatus {
            slots: self.workers.iter().map(|(slot, worker)| self.slot_status(*slot, worker)).collect(),
            least_slot: self.updater.table().least.and_then(slot_of).map(|(_, holder)| holder.slot.0),
            connections: counters.total(Stage::Select),
            selector: Outcome::ALL.iter().map(|outcome| (outcome.name().into(), counters.get(*outcome))).collect(),
        })
    }

    fn slot_status(&self, slot: u32, worker: &Worker) -> MemberStatus {
        let seats = self.seats_of(worker.id);
        let sockets = worker.cookies.iter().filter_map(|cookie| self.registry.socket(*cookie));
        let counted = self.updater.counted(worker.id, &seats);
        MemberStatus {
            slot,
            addresses: sockets.map(|socket| socket.address.to_string()).collect(),
            chosen: counted.chosen,
            open: counted.open,
            in_flight: counted.in_flight,
            answered: counted.answered,
            failed: counted.failed,
            errors: counted.errors,
            latency_us: LatencyStatus::of(&counted.latencies),
            cost_us: counted.cost_ns as f64 / 1e3,
        }
    }
}
