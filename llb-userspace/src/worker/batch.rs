//! Latencies on their way to one line: counted all, and the last of them kept, of which the middle one is said.
//!
//! A thread adds to a shard of its own, as long as there are no more threads than shards, so that no two cores fight for a
//! cache line. Nothing waits: a latency that is added while the batch is taken may be counted in one batch and kept in the
//! next, which changes a median of hundreds by nothing.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// From one line to the next. Shorter than llb's estimate takes to change (a second), and long enough that what 64
/// workers write costs llb little.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// As many threads as usually answer requests in a process of several.
const SHARDS: usize = 8;

/// Latencies kept in a shard: the median of so many is within a tenth of the ranks around that of all.
const KEPT: usize = 32;

/// The most requests that one line may speak for, or llb takes it for a fault.
const MOST: u32 = 1_000_000;

/// Latencies since the last line.
#[derive(Debug, Default)]
pub(super) struct Batch {
    shards: [Shard; SHARDS],
    /// When the next line is due, ns of the caller's clock; at once, at first.
    due: AtomicU64,
}

/// Aligned so that no two of them share the pair of cache lines that a processor fetches at once.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    added: AtomicU32,
    last_ns: [AtomicU64; KEPT],
}

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The middle one, ns.
    pub median_ns: u64,
    /// Of how many.
    pub requests: u32,
}

impl Batch {
    /// Adds a latency. Returns what there is to say, if it is time.
    #[inline]
    pub(super) fn add(&self, now_ns: u64, latency_ns: u64) -> Option<Summary> {
        let shard = &self.shards[shard_of_this_thread()];
        let at = shard.added.fetch_add(1, Relaxed) as usize % KEPT;
        shard.last_ns[at].store(latency_ns, Relaxed);
        self.rest(now_ns)
    }

    /// Returns what there is to say, if it is time.
    #[inline]
    pub(super) fn rest(&self, now_ns: u64) -> Option<Summary> {
        let due = self.due.load(Relaxed);
        let next = now_ns.saturating_add(EVERY.as_nanos() as u64);
        if now_ns < due || self.due.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return None;
        }
        self.take()
    }

    #[cold]
    fn take(&self) -> Option<Summary> {
        let mut requests = 0u32;
        let mut kept: Vec<(u64, f64)> = Vec::with_capacity(SHARDS * KEPT);
        for shard in &self.shards {
            let added = shard.added.swap(0, Relaxed);
            requests = requests.saturating_add(added);
            let of_it = KEPT.min(added as usize);
            // Those that are kept stand for all of their shard.
            let weight = f64::from(added) / of_it as f64;
            kept.extend(shard.last_ns[..of_it].iter().map(|ns| (ns.load(Relaxed), weight)));
        }
        kept.sort_unstable_by_key(|(ns, _)| *ns);
        let mut below = 0.0;
        let middle = kept.iter().find(|(_, weight)| {
            below += weight;
            2.0 * below >= f64::from(requests)
        });
        middle.or(kept.last()).map(|(median_ns, _)| Summary { median_ns: *median_ns, requests: requests.min(MOST) })
    }
}

fn shard_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static SHARD: usize = THREADS.fetch_add(1, Relaxed) % SHARDS);
    SHARD.with(|shard| *shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_first_latency_is_said_at_once_and_the_next_in_one_line() {
        let batch = Batch::default();
        assert_eq!(batch.add(0, 7), Some(Summary { median_ns: 7, requests: 1 }));
        let gap = EVERY.as_nanos() as u64;
        for now in 1..gap / MS {
            assert_eq!(batch.add(now * MS, now * MS), None);
        }
        let said = batch.add(gap, 1).expect("it is due");
        assert_eq!(u64::from(said.requests), gap / MS);
    }

    #[test]
    fn the_rest_is_said_when_it_is_time_and_once() {
        let batch = Batch::default();
        batch.add(0, 7);
        assert_eq!(batch.add(1, 8), None);
        assert_eq!(batch.rest(2), None);
        assert_eq!(batch.rest(1_000 * MS), Some(Summary { median_ns: 8, requests: 1 }));
        assert_eq!(batch.rest(2_000 * MS), None);
    }

    #[test]
    fn long_requests_in_heavy_tailed_work_do_not_spoil_it() {
        let batch = Batch::default();
        batch.add(0, MS);
        for request in 0..1_000 {
            batch.add(1, if request % 50 == 0 { 200 * MS } else { 5 * MS });
        }
        assert_eq!(batch.rest(1_000 * MS), Some(Summary { median_ns: 5 * MS, requests: 1_000 }));
    }

    #[test]
    fn threads_lose_none_and_weigh_as_much_as_they_answer() {
        let batch = Batch::default();
        batch.add(0, MS);
        thread::scope(|scope| {
            for (count, latency) in [(3_000, 5 * MS), (100, 50 * MS), (1_000, MS), (100, 70 * MS)] {
                let batch = &batch;
                scope.spawn(move || {
                    (0..count).for_each(|_| {
                        let _ = batch.add(1, latency);
                    })
                });
            }
        });
        let said = batch.rest(1_000 * MS).expect("there is something to say");
        assert_eq!(said.requests, 4_200);
        // Threads of other tests may share a shard with these, but not this batch.
        assert_eq!(said.median_ns, 5 * MS);
    }
}
