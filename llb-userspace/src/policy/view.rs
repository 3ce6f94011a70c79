//! One seat: what is known of it, and so what it costs.

use llb_common::select::{Load, MIN_COST_NS, believable_ns, expected_ns};

use crate::model::{Instant, Seat};

/// What a worker costs that stands still for a connection it keeps, ns: it is the last choice while another is not so busy
/// that it takes a second. Its client may ask at any moment, and then it is free soon.
pub(super) const HELD_NS: u64 = 1_000_000_000;

/// What is known of one seat. An example is [there](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The seat; one view each.
    pub seat: Seat,
    /// What a request costs there by its worker's reports, ns: [`crate::estimate::Estimate::get_at`].
    pub estimate_ns: Option<u64>,
    /// What it costs at the very least, ns: [`crate::estimate::Estimate::at_least`].
    pub at_least_ns: u64,
    /// The kernel's own running median, ns: [`llb_common::abi::Seat::service_ns`]; `None` if that is 0.
    pub kernel_ns: Option<u64>,
    /// Requests given since the last sign of life and choices charged: [`Load::requests`].
    pub in_flight: u64,
    /// When the seat last became busy or last answered.
    pub progress_at: Instant,
    /// Whether it takes new connections: its worker is ready and does not drain.
    pub joined: bool,
    /// Whether it has answered so little that its first answers, which are slow as a rule, would count for all.
    pub fresh: bool,
    /// Whether what the kernel has measured is of so few answers, none of them a failure, that it may be off by a factor of two.
    pub few: bool,
    /// Whether its worker has been seen to stand still for a connection that it keeps, with nothing asked there.
    pub held: bool,
    /// Requests in flight that are parked: [`Load::parked`].
    pub parked: u64,
    /// How many of these it has not been seen to serve others beside: [`Load::unproven`].
    pub unproven: u64,
    /// Connections open there.
    pub open: u64,
    /// Connections that have been established there so far.
    pub opened: u64,
    /// Requests that have ended there so far.
    pub ended: u64,
    /// Connections that have been closed there lately, within one to two seconds.
    pub gone: u64,
}

impl View {
    /// What a request costs there while nothing is stuck, ns.
    pub(super) fn known_ns(&self) -> Option<u64> {
        self.estimate_ns.or(self.kernel_ns)
    }

    /// What to publish, ns.
    pub(super) fn cost_ns(&self, fleet_ns: u64) -> u64 {
        let (usual, published) = match (self.estimate_ns, self.kernel_ns) {
            // 0 would say "unknown".
            (Some(estimate), _) => (estimate, estimate.max(MIN_COST_NS)),
            (None, Some(kernel)) if fleet_ns != 0 && (self.fresh || (self.few && is_about(kernel, fleet_ns))) => {
                (fleet_ns, fleet_ns)
            }
            (None, Some(kernel)) => match believable_ns(kernel, fleet_ns) {
                believed if believed == kernel => (kernel, 0),
                believed => (believed, believed),
            },
            (None, None) => (fleet_ns, fleet_ns),
        };
        let at_least_ns = if self.held { self.at_least_ns.max(HELD_NS) } else { self.at_least_ns };
        if at_least_ns > usual { at_least_ns.max(MIN_COST_NS) } else { published }
    }

    /// The cost that the kernel would reckon with, ns; 0 while it is not known.
    pub(super) fn used_ns(&self, published_ns: u64) -> u64 {
        if published_ns != 0 { published_ns } else { self.kernel_ns.unwrap_or(0) }
    }

    /// When a new request would be answered there, ns from `now`, as the kernel would reckon with that cost.
    pub(super) fn expected_ns(&self, cost_ns: u64, now: Instant) -> u64 {
        expected_ns(
            Load {
                requests: self.in_flight,
                since: self.progress_at.0,
                cost_ns,
                parked: self.parked,
                unproven: self.unproven,
                ..Load::default()
            },
            now.0,
        )
    }
}

/// Whether two costs differ by less than a factor of two.
fn is_about(a: u64, b: u64) -> bool {
    a < 2 * b && b < 2 * a
}
