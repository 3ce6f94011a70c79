//! Whether new code does clearly worse than the old: pure, from what was counted of both in the same time.
//!
//! # The test
//! *Failures*: requests that were answered by an error or not at all, as a part of all. *Latency*: the part of the answers that took
//! longer than the median of the elders' answers, and than their 90th percentile. Each is a comparison of two parts, by the
//! two-proportion z-test with the pooled part and a correction for continuity: the new code is worse if `z` is at least [`Z`] (by chance less than one time in
//! 30,000, as it is looked at many times), and if the difference matters: failures are a [`FAILING_PERMILLE`] of all more and at least
//! [`FEWEST_FAILURES`], times are half as long again at that percentile. With fewer than [`FEWEST`] requests of the new code,
//! or [`FEWEST_OLD`] of the old, nothing is said. *Silence*: it was given [`FEWEST_GIVEN`] connections and has answered nothing, while
//! the elders have.

use std::fmt;

use llb_common::{
    abi::BUCKETS,
    histogram::{end, quantile},
};

/// The least `z` that counts.
const Z: f64 = 4.0;

/// The least number of requests on each side. New code that is slow is given few.
const FEWEST: u64 = 10;
const FEWEST_OLD: u64 = 30;

/// Connections after which silence is no accident.
const FEWEST_GIVEN: u64 = 5;

/// The least number of failures of the new code, and by how many thousandths of all requests they are to be more.
const FEWEST_FAILURES: u64 = 5;
const FAILING_PERMILLE: f64 = 10.0;

/// How much longer the new code is to take, as a part of what the elders take.
const SLOWER: f64 = 1.5;

/// Quantiles that are compared, in thousandths.
const QUANTILES: [u64; 2] = [500, 900];

/// What was counted of some workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were given to them.
    pub given: u64,
    /// Requests answered, errors too.
    pub answered: u64,
    /// Answers that called themselves errors.
    pub errors: u64,
    /// Connections closed without an answer.
    pub failed: u64,
    /// The answers, by how long they took.
    pub latencies: [u64; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Tally { given: 0, answered: 0, errors: 0, failed: 0, latencies: [0; BUCKETS] }
    }
}

impl Tally {
    /// What has been counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            given: self.given.saturating_sub(before.given),
            answered: self.answered.saturating_sub(before.answered),
            errors: self.errors.saturating_sub(before.errors),
            failed: self.failed.saturating_sub(before.failed),
            latencies: std::array::from_fn(|bucket| self.latencies[bucket].saturating_sub(before.latencies[bucket])),
        }
    }

    /// Counts another worker's as well.
    pub fn add(&mut self, other: &Tally) {
        self.given += other.given;
        self.answered += other.answered;
        self.errors += other.errors;
        self.failed += other.failed;
        self.latencies.iter_mut().zip(&other.latencies).for_each(|(count, more)| *count += more);
    }

    fn requests(&self) -> u64 {
        self.answered + self.failed
    }

    fn failures(&self) -> u64 {
        self.errors + self.failed
    }

    fn answers(&self) -> u64 {
        self.latencies.iter().sum()
    }

    /// Answers that took longer than a time at which a bucket ends.
    fn slower_than(&self, ns: u64) -> u64 {
        (0..).zip(self.latencies).filter(|(bucket, _)| end(*bucket) > ns).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90] = QUANTILES.map(|permille| quantile(&self.latencies, permille) as f64 / 1e6);
        write!(f, "{} of {} requests failed, p50 {p50:.1} ms, p90 {p90:.1} ms", self.failures(), self.requests())
    }
}

/// Whether the new code fails clearly more often, and by what.
#[must_use]
pub fn fails_more(new: &Tally, old: &Tally) -> Option<String> {
    let (mine, theirs) = ((new.failures(), new.requests()), (old.failures(), old.requests()));
    let z = z(mine, theirs)?;
    let more = part(mine) - part(theirs);
    (z >= Z && more * 1e3 >= FAILING_PERMILLE && mine.0 >= FEWEST_FAILURES)
        .then(|| format!("fails clearly more often than the old (z {z:.1}): {new}; the old: {old}"))
}

/// Whether the new code is clearly slower, and by what.
#[must_use]
pub fn is_slower(new: &Tally, old: &Tally) -> Option<String> {
    QUANTILES.into_iter().find_map(|permille| {
        let [mine, theirs] = [new, old].map(|tally| quantile(&tally.latencies, permille));
        let z = z((new.slower_than(theirs), new.answers()), (old.slower_than(theirs), old.answers()))?;
        (z >= Z && mine as f64 >= theirs as f64 * SLOWER)
            .then(|| format!("is clearly slower than the old at p{} (z {z:.1}): {new}; the old: {old}", permille / 10))
    })
}

/// Whether the new code answers nothing, and what it was given.
#[must_use]
pub fn is_silent(new: &Tally, old: &Tally) -> Option<String> {
    let silent = new.requests() == 0 && new.given >= FEWEST_GIVEN && old.requests() >= FEWEST_OLD;
    silent.then(|| format!("has answered nothing on {} connections; the old: {old}", new.given))
}

/// By how many standard deviations the first part is larger than the second, if both had the same; none with too few on a side.
fn z(mine: (u64, u64), theirs: (u64, u64)) -> Option<f64> {
    let (n, m) = (mine.1, theirs.1);
    if n < FEWEST || m < FEWEST_OLD {
        return None;
    }
    let pooled = (mine.0 + theirs.0) as f64 / (n + m) as f64;
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n as f64 + 1.0 / m as f64)).sqrt();
    // Where all are alike there is no difference.
    let more = part(mine) - part(theirs) - 0.5 / n as f64;
    Some(if deviation > 0.0 { more / deviation } else { 0.0 })
}

fn part((some, all): (u64, u64)) -> f64 {
    some as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests;
