//! What a run is made of: the workers, what they are asked, and what goes wrong.

use llb_kit::random::Random;

use super::{MS, SECOND, worker::Serving};

/// How much work requests ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// All the same, ns.
    Fixed(f64),
    /// Exponential with this mean, ns.
    Exponential(f64),
    /// Most are short, one in so many is long: a page, and now and then a report.
    Two { short: f64, long: f64, one_in: f64 },
    /// Half are short, half are long: a cache that hits or misses.
    Half { short: f64, long: f64 },
    /// Bounded Pareto of shape 1.1 between these two, ns: a heavy tail at all scales.
    Pareto { least: f64, most: f64 },
}

/// Shape of [`Work::Pareto`]; 1.0 to 1.3 has been measured for files and processes (Crovella and Bestavros, 1997;
/// Harchol-Balter and Downey, 1997).
const SHAPE: f64 = 1.1;

impl Work {
    pub(super) fn mean(self) -> f64 {
        match self {
            Work::Fixed(ns) | Work::Exponential(ns) => ns,
            Work::Two { short, long, one_in } => short + (long - short) / one_in,
            Work::Half { short, long } => (short + long) / 2.0,
            Work::Pareto { least, most } => {
                let norm = 1.0 - (least / most).powf(SHAPE);
                least.powf(SHAPE) / norm * SHAPE / (SHAPE - 1.0) * (least.powf(1.0 - SHAPE) - most.powf(1.0 - SHAPE))
            }
        }
    }

    /// The work of one request, ns, and whether it counts among the short ones.
    pub(super) fn draw(self, random: &mut Random) -> (u64, bool) {
        let draw = random.unit();
        match self {
            Work::Fixed(ns) => (ns as u64, true),
            Work::Exponential(ns) => ((-(1.0 - draw).ln() * ns) as u64, true),
            Work::Two { short, long, one_in } => {
                if draw * one_in < 1.0 {
                    (long as u64, false)
                } else {
                    (short as u64, true)
                }
            }
            Work::Half { short, long } => ((if draw < 0.5 { short } else { long }) as u64, true),
            Work::Pareto { least, most } => {
                let ns = least * (1.0 - draw * (1.0 - (least / most).powf(SHAPE))).powf(-1.0 / SHAPE);
                (ns as u64, ns < 10.0 * least)
            }
        }
    }
}

/// A worker that fails instead of working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// It answers with an error that nobody can read, as within TLS.
    Answers,
    /// It answers "HTTP/1.1 500", after so many ns.
    Says(u64),
    /// It closes the connection.
    Closes,
}

impl Failing {
    /// How long a failure takes, ns.
    pub(super) fn takes_ns(self) -> u64 {
        if let Failing::Says(ns) = self { ns } else { 50_000 }
    }
}

/// What a connection does that stays open beside the requests. Its worker is an event loop, which has read what came on it and
/// waits for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is never answered: a long poll, a header that never ends, a slow upload.
    Asks,
    /// It has been answered and asks no more: a stream, a WebSocket, a pooled connection.
    Rests,
    /// It sends a line each second, is never answered, and each line is work of so many ns.
    Sends(u64),
}

/// What a worker is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Nature {
    /// How much longer than the usual its work takes.
    pub(super) slowness: f64,
    /// Once in this many ns it hangs for so many, if at all.
    pub(super) hangs: Option<(u64, u64)>,
    /// Whether it fails, from [`Scenario::trouble_at`] on.
    pub(super) failing: Option<Failing>,
    /// Whether it joins at [`Scenario::trouble_at`], not at the start.
    pub(super) joins_late: bool,
    /// So many of its first requests take so many times as long: its code is compiled then.
    pub(super) cold: (u32, f64),
}

/// An ordinary worker.
pub(super) const USUAL: Nature =
    Nature { slowness: 1.0, hangs: None, failing: None, joins_late: false, cold: (0, 1.0) };

/// One setting. `nature` of a worker is by its number and how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) workers: usize,
    /// Part of the workers' joint capacity that is asked for.
    pub(super) load: f64,
    pub(super) requests: usize,
    pub(super) work: Work,
    pub(super) serving: Serving,
    pub(super) nature: fn(usize, usize) -> Nature,
    /// Time from the SYN to the first byte: least and mean, ns; exponential beyond the least.
    pub(super) round_trip: (f64, f64),
    /// Connections that come within one round trip.
    pub(super) burst: usize,
    /// Connections that never send, for each that does.
    pub(super) silent: f64,
    /// SYNs a second that are never completed.
    pub(super) flood: f64,
    /// Connections that are opened at the start and stay.
    pub(super) kept: (usize, Kept),
    /// Whether the master dies at [`Scenario::trouble_at`], so that nothing is published after it.
    pub(super) master_dies: bool,
    /// When trouble begins, ns.
    pub(super) trouble_at: u64,
}

/// Eight equal workers, and a heavy tail: 4 ms, and one request of forty 160 ms.
pub(super) const BASE: Scenario = Scenario {
    name: "tail",
    about: "4 ms, one of 40 takes 160 ms",
    workers: 8,
    load: 0.7,
    requests: 30_000,
    work: Work::Two { short: 4.0 * MS as f64, long: 160.0 * MS as f64, one_in: 40.0 },
    serving: Serving::InTurn,
    nature: |_, _| USUAL,
    round_trip: (0.1 * MS as f64, 0.2 * MS as f64),
    burst: 1,
    silent: 0.0,
    flood: 0.0,
    kept: (0, Kept::Rests),
    master_dies: false,
    trouble_at: 3 * SECOND,
};

impl Scenario {
    pub(super) fn natures(&self) -> Vec<Nature> {
        (0..self.workers).map(|worker| (self.nature)(worker, self.workers)).collect()
    }

    /// Requests a second that make the load.
    pub(super) fn rate(&self) -> f64 {
        let speeds: f64 = self.natures().iter().map(|nature| 1.0 / nature.slowness).sum();
        let threads = if let Serving::Threads(count) = self.serving { count } else { 1 };
        self.load * speeds * threads as f64 / self.work.mean() * SECOND as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_mean_that_is_said() {
        let two = BASE.work;
        for work in [Work::Fixed(5e6), Work::Exponential(5e6), two, Work::Pareto { least: 1e6, most: 1e8 }] {
            let mut random = Random::stream(1, 1);
            let mean = (0..400_000).map(|_| work.draw(&mut random).0 as f64).sum::<f64>() / 400_000.0;
            assert!((mean / work.mean() - 1.0).abs() < 0.02, "{work:?} {mean}");
        }
    }
}
