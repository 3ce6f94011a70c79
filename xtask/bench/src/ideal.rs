//! The ideal: one queue in front of all workers, first come first served, and no machine under it. What the shared
//! accept queue would measure for the very same requests if nothing else ran.

use super::arrivals::Arrival;
use llb_kit::quantiles::{Quantiles, sorted};

const NS_PER_US: f64 = 1e3;

/// Quantiles of the short requests' latencies, with a worker of each slowness. Of several idle workers the one that
/// has been idle longest takes the request, as the kernel wakes those that wait in accept.
pub(super) fn quantiles(arrivals: &[Arrival], slowness: &[f64]) -> Quantiles {
    Quantiles::of(&sorted(latencies(arrivals, slowness)))
}

fn latencies(arrivals: &[Arrival], slowness: &[f64]) -> Vec<u64> {
    let mut workers: Vec<(u64, f64)> = slowness.iter().map(|slowness| (0, *slowness)).collect();
    let mut latencies = Vec::new();
    for arrival in arrivals {
        let Some((free_at, slowness)) = workers.iter_mut().min_by_key(|(free_at, _)| *free_at) else { break };
        *free_at = arrival.due_ns.max(*free_at) + (arrival.work_us as f64 * NS_PER_US * *slowness) as u64;
        if arrival.counts {
            latencies.push(*free_at - arrival.due_ns);
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{LONG_US, SHORT_US};

    fn at(due_ms: u64, work_us: u64) -> Arrival {
        Arrival { due_ns: due_ms * 1_000_000, work_us, counts: work_us == SHORT_US, connection: 0, is_last: true }
    }

    #[test]
    fn a_request_waits_only_if_all_are_busy() {
        let arrivals = [at(0, LONG_US), at(1, SHORT_US), at(2, SHORT_US)];
        assert_eq!(latencies(&arrivals, &[1.0, 1.0]), [5_000_000, 9_000_000]);
        assert_eq!(latencies(&arrivals, &[1.0, 1.0, 1.0]), [5_000_000, 5_000_000]);
    }

    #[test]
    fn unequal_workers_take_their_turns_and_their_time() {
        let arrivals = [at(0, SHORT_US), at(1, SHORT_US), at(10, SHORT_US)];
        assert_eq!(latencies(&arrivals, &[10.0, 1.0]), [50_000_000, 5_000_000, 5_000_000]);
        assert_eq!(latencies(&arrivals, &[1.5, 4.0]), [7_500_000, 20_000_000, 7_500_000]);
    }

    #[test]
    fn no_workers_answer_nothing() {
        assert!(latencies(&[at(0, SHORT_US)], &[]).is_empty());
    }
}
