//! Requests on their way to one line: counted all, some of them timed, of which the middle one is said.
//!
//! Reading the clock is most of what a report costs, so only the first few requests between two lines are timed, and then one
//! in so many. Whether one is timed is decided when it begins, so that long ones are as likely to be as short ones.
//!
//! A thread adds to a shard of its own, as long as there are no more threads than shards, so that no two cores fight for a
//! cache line. Nothing waits: what is added while the batch is taken may be counted in one batch and timed in the next, which
//! changes a median of hundreds by nothing.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// From one line to the next, unless llb pings: with the answer goes what there is to say, ten times a second. Long beside
/// that, so that requests seldom have to say it themselves, and short beside the second in which llb's estimate changes.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// As many threads as usually answer requests in a process of several.
const SHARDS: usize = 8;

/// Latencies kept in a shard: the median of so many is within a tenth of the ranks around that of all.
const KEPT: u32 = 32;

/// When so many are kept, one request in so many is timed, and takes the place of the oldest.
const ONE_IN: u32 = 32;

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
    requests: AtomicU32,
    timed: AtomicU32,
    last_ns: [AtomicU64; KEPT as usize],
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
    /// Whether the request that begins is to be timed.
    #[inline]
    pub(super) fn times_next(&self) -> bool {
        let requests = self.shard().requests.load(Relaxed);
        requests < KEPT || requests.is_multiple_of(ONE_IN)
    }

    /// Adds a request that was not timed.
    #[inline]
    pub(super) fn count(&self) {
        self.shard().requests.fetch_add(1, Relaxed);
    }

    /// Adds one that was. Returns what there is to say, if nothing has been said for too long.
    #[inline]
    pub(super) fn add(&self, now_ns: u64, latency_ns: u64) -> Option<Summary> {
        let shard = self.shard();
        shard.requests.fetch_add(1, Relaxed);
        let at = shard.timed.fetch_add(1, Relaxed) % KEPT;
        shard.last_ns[at as usize].store(latency_ns, Relaxed);
        let due = self.due.load(Relaxed);
        let is_due = now_ns >= due && self.due.compare_exchange(due, next(now_ns), Relaxed, Relaxed).is_ok();
        if is_due { self.take() } else { None }
    }

    /// Returns what there is to say.
    pub(super) fn rest(&self, now_ns: u64) -> Option<Summary> {
        self.due.store(next(now_ns), Relaxed);
        self.take()
    }

    #[cold]
    fn take(&self) -> Option<Summary> {
        let mut requests = 0u32;
        let mut kept: Vec<(u64, f64)> = Vec::with_capacity(SHARDS * KEPT as usize);
        for shard in &self.shards {
            let timed = shard.timed.swap(0, Relaxed).min(KEPT);
            if timed == 0 {
                // What was only counted waits for one that tells how long such requests take.
                continue;
            }
            let counted = shard.requests.swap(0, Relaxed);
            requests = requests.saturating_add(counted);
            // Those that are kept stand for all of their shard.
            let weight = f64::from(counted) / f64::from(timed);
            kept.extend(shard.last_ns[..timed as usize].iter().map(|ns| (ns.load(Relaxed), weight)));
        }
        kept.sort_unstable_by_key(|(ns, _)| *ns);
        let mut below = 0.0;
        let middle = kept.iter().find(|(_, weight)| {
            below += weight;
            2.0 * below >= f64::from(requests)
        });
        let (median_ns, _) = *middle.or(kept.last())?;
        Some(Summary { median_ns, requests: requests.clamp(1, MOST) })
    }

    #[inline]
    fn shard(&self) -> &Shard {
        &self.shards[shard_of_this_thread()]
    }
}

fn next(now_ns: u64) -> u64 {
    now_ns.saturating_add(EVERY.as_nanos() as u64)
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
    fn the_rest_is_said_when_it_is_asked_for_and_once() {
        let batch = Batch::default();
        batch.add(0, 7);
        assert_eq!(batch.add(1, 8), None);
        assert_eq!(batch.rest(2), Some(Summary { median_ns: 8, requests: 1 }));
        assert_eq!(batch.rest(3), None);
    }

    #[test]
    fn few_of_many_requests_are_timed_and_all_are_counted() {
        let batch = Batch::default();
        let mut timed = 0;
        for _ in 0..10_000 {
            if batch.times_next() {
                timed += 1;
                // The line is long due, or the first would say it.
                batch.due.store(u64::MAX, Relaxed);
                batch.add(0, MS);
            } else {
                batch.count();
            }
        }
        assert_eq!(timed, 32 + (10_000 - 32) / 32 + 1);
        assert_eq!(batch.rest(1), Some(Summary { median_ns: MS, requests: 10_000 }));
        batch.count();
        assert_eq!(batch.rest(2), None, "there is no latency to say");
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
