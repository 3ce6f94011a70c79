//! The ideal: one queue in front of all workers, first come first served, and no machine under it. What the shared
//! accept queue would measure for the very same requests if nothing else ran.

use super::arrivals::Arrival;
use super::quantiles::Quantiles;

const NS_PER_MS: u64 = 1_000_000;

/// Quantiles of the short requests' latencies, with a worker of each slowness. Of several idle workers the one that
/// has been idle longest takes the request, as the kernel wakes those that wait in accept.
pub(super) fn quantiles(arrivals: &[Arrival], slowness: &[u32]) -> Quantiles {
    Quantiles::of(latencies(arrivals, slowness))
}

fn latencies(arrivals: &[Arrival], slowness: &[u32]) -> Vec<u64> {
    let mut workers: Vec<(u64, u64)> = slowness.iter().map(|slowness| (0, u64::from(*slowness))).collect();
    let mut latencies = Vec::new();
    for arrival in arrivals {
        let Some((free_at, slowness)) = workers.iter_mut().min_by_key(|(free_at, _)| *free_at) else { break };
        *free_at = arrival.due_ns.max(*free_at) + arrival.work_ms * NS_PER_MS * *slowness;
        if arrival.is_short() {
            latencies.push(*free_at - arrival.due_ns);
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::arrivals::{LONG_MS, SHORT_MS};

    fn at(due_ms: u64, work_ms: u64) -> Arrival {
        Arrival { due_ns: due_ms * NS_PER_MS, work_ms }
    }

    #[test]
    fn a_request_waits_only_if_all_are_busy() {
        let arrivals = [at(0, LONG_MS), at(1, SHORT_MS), at(2, SHORT_MS)];
        assert_eq!(latencies(&arrivals, &[1, 1]), [5_000_000, 9_000_000]);
        assert_eq!(latencies(&arrivals, &[1, 1, 1]), [5_000_000, 5_000_000]);
    }

    #[test]
    fn the_slow_one_takes_its_turn() {
        let arrivals = [at(0, SHORT_MS), at(1, SHORT_MS), at(10, SHORT_MS)];
        assert_eq!(latencies(&arrivals, &[10, 1]), [50_000_000, 5_000_000, 5_000_000]);
    }

    #[test]
    fn no_workers_answer_nothing() {
        assert!(latencies(&[at(0, SHORT_MS)], &[]).is_empty());
    }
}
