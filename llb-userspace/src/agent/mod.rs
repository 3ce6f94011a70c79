//! What a balancer above this machine is told by HAProxy's agent-check (`--agent`): how much of its weight the fleet can take.
//!
//! The weight follows the free workers: a host with half as many free ones gets half as many new connections. It is damped twice. A
//! running mean takes out what a single request does, and a limit on the rise keeps hosts from being flooded as soon as they say
//! that they are free. What is told changes by whole steps only, so that it does not flap.
//!
//! `Headroom` is pure: a sample and the time in, words out. `listen` answers whoever connects.

mod listen;

use std::time::Duration;

pub(crate) use listen::AgentError;
pub(crate) use listen::{Listener, serve};

use crate::model::Instant;

/// How often a sample is taken: often enough to see most requests of 100 ms.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// After so long a change counts for two thirds: a balancer asks every two seconds or so, and must see what its last change has
/// done before it sees the next.
const SETTLES_NS: f64 = 2e9;

/// The weight rises by so many points a second at most. It falls as fast as the mean.
const RISE_PER_S: f64 = 15.0;

/// What is told changes in steps of so many points.
const STEP: f64 = 5.0;

/// The least that is told while anybody serves: if all hosts said 0, the balancer would refuse its clients.
const LEAST: f64 = 1.0;

/// How long after the start a balancer is told, too, that the host is no longer to be drained, as the master before may have said.
/// Later that is the balancer's operator's to say.
const READY_FOR: Duration = Duration::from_secs(60);

/// The fleet as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Slots that have, or are to have, a worker.
    pub slots: u32,
    /// Workers that take new connections.
    pub serving: u32,
    /// Workers that finish what they hold.
    pub draining: u32,
    /// Of those that serve, those that are busy.
    pub busy: u32,
    /// Who waits: in line, or behind a worker's request.
    pub waiting: u64,
    /// Whether the fleet is ending.
    pub is_ending: bool,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nobody serves.
    Down,
    /// What is there is finished, and nothing new is to come.
    Drain,
    /// Percent of the weight that the balancer's operator has given to this host.
    Up { percent: u32, is_new: bool },
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Word::Down => f.write_str("down"),
            Word::Drain => f.write_str("drain"),
            Word::Up { percent, is_new: true } => write!(f, "ready up {percent}%"),
            Word::Up { percent, is_new: false } => write!(f, "up {percent}%"),
        }
    }
}

/// How much the fleet can take, over time.
#[derive(Debug)]
pub(crate) struct Headroom {
    began: Instant,
    sampled_at: Option<Instant>,
    last: Sample,
    /// The running mean, points.
    mean: f64,
    /// What it may be by now, points.
    weight: f64,
    /// What is told, points.
    told: f64,
}

impl Headroom {
    pub(crate) fn new(now: Instant) -> Self {
        Headroom { began: now, sampled_at: None, last: Sample::default(), mean: 0.0, weight: 0.0, told: 0.0 }
    }

    /// Whether it is time for another sample.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.sampled_at.is_none_or(|at| now >= at.after(SAMPLE_EVERY))
    }

    /// Takes a sample.
    pub(crate) fn sample(&mut self, sample: Sample, now: Instant) {
        let was_serving = self.last.serving > 0;
        self.last = sample;
        let passed_ns = self.sampled_at.map(|at| now.since(at) as f64);
        self.sampled_at = Some(now);
        if sample.serving == 0 {
            return;
        }
        let free = points(sample);
        // A fleet that has just come up is cold: it begins at what half of its workers could take.
        let Some(passed_ns) = passed_ns.filter(|_| was_serving) else {
            (self.mean, self.weight) = (free, free.min(50.0));
            self.told = step(self.weight);
            return;
        };
        self.mean += (free - self.mean) * (1.0 - (-passed_ns / SETTLES_NS).exp());
        self.weight = self.mean.min(self.weight + RISE_PER_S * passed_ns / 1e9);
        // By more than half a step, so that a value on the border between two stays where it is.
        if (self.weight - self.told).abs() > 0.75 * STEP {
            self.told = step(self.weight);
        }
    }

    /// What is told at `now`.
    pub(crate) fn word(&self, now: Instant) -> Word {
        match self.last {
            Sample { is_ending: true, .. } => Word::Drain,
            Sample { serving: 0, draining: 1.., .. } => Word::Drain,
            Sample { serving: 0, .. } => Word::Down,
            _ => Word::Up { percent: self.told as u32, is_new: now < self.began.after(READY_FOR) },
        }
    }
}

/// The share of all workers that are free, less who waits for one, points.
fn points(Sample { slots, serving, busy, waiting, .. }: Sample) -> f64 {
    let free = f64::from(serving) - f64::from(busy) - waiting as f64;
    (100.0 * free / f64::from(slots.max(serving))).clamp(LEAST, 100.0)
}

fn step(points: f64) -> f64 {
    ((points / STEP).round() * STEP).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::{Headroom, Sample, Word, points};
    use crate::model::Instant;

    const MS: u64 = 1_000_000;
    const IDLE: Sample = Sample { slots: 8, serving: 8, draining: 0, busy: 0, waiting: 0, is_ending: false };

    /// What is told after each of so many samples, 100 ms apart, from `at` on.
    fn told(headroom: &mut Headroom, at: u64, samples: impl Iterator<Item = Sample>) -> Vec<u32> {
        let each = |(sample, number): (Sample, u64)| {
            let now = Instant((at + number * 100) * MS);
            headroom.sample(sample, now);
            match headroom.word(now) {
                Word::Up { percent, .. } => percent,
                word => panic!("{word}"),
            }
        };
        samples.zip(1..).map(each).collect()
    }

    fn busy(busy: u32) -> Sample {
        Sample { busy, ..IDLE }
    }

    #[test]
    fn the_weight_is_the_share_that_is_free() {
        let all = [busy(0), busy(4), busy(8), Sample { waiting: 9, ..busy(8) }, Sample { waiting: 2, ..busy(4) }];
        assert_eq!(all.map(points), [100.0, 50.0, 1.0, 1.0, 25.0]);
        let gone = Sample { serving: 4, ..IDLE };
        assert_eq!(points(gone), 50.0, "slots without a worker are no room");
    }

    #[test]
    fn load_is_told_within_seconds_and_relief_later() {
        let mut headroom = Headroom::new(Instant(0));
        let begun = told(&mut headroom, 0, std::iter::repeat_n(IDLE, 100));
        assert_eq!((begun[0], begun[99]), (50, 100));
        let loaded = told(&mut headroom, 10_000, std::iter::repeat_n(busy(8), 60));
        assert!(loaded[20] < 50 && loaded[59] <= 10, "{loaded:?}");
        assert!(loaded.is_sorted_by(|one, next| one >= next), "{loaded:?}");
        let recovered = told(&mut headroom, 16_000, std::iter::repeat_n(IDLE, 100));
        assert!((20..=40).contains(&recovered[19]) && recovered[99] == 100, "{recovered:?}");
        assert!(recovered.windows(2).all(|pair| pair[1] - pair[0] <= 10), "by small steps: {recovered:?}");
    }

    #[test]
    fn what_single_requests_do_is_not_told() {
        let mut headroom = Headroom::new(Instant(0));
        told(&mut headroom, 0, std::iter::repeat_n(busy(4), 200));
        // On average half of them are busy, now more and now fewer.
        let load = (0..600u32).map(|number| busy([1, 7, 3, 5, 6, 2][number as usize % 6]));
        let told = told(&mut headroom, 20_000, load);
        let changes = told.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 2 && told.iter().all(|percent| (45..=55).contains(percent)), "{changes}: {told:?}");
    }

    #[test]
    fn hosts_that_follow_each_other_settle() {
        // Three hosts, among which work for 12 of 24 workers is shared out by what they said two seconds ago; on the first, others keep
        // four workers busy.
        let mut hosts = [(); 3].map(|()| Headroom::new(Instant(0)));
        let mut weights = vec![[50.0_f64; 3]; 20];
        for tenth in 1..=1_200u64 {
            let seen = weights[weights.len() - 20];
            let sum: f64 = seen.iter().sum();
            let now = Instant(tenth * 100 * MS);
            let mut next = [0.0; 3];
            for ((host, share), (weight, foreign)) in
                hosts.iter_mut().zip(seen).zip(next.iter_mut().zip([4.0, 0.0, 0.0]))
            {
                let work = foreign + 12.0 * share / sum;
                let sample = Sample { waiting: (work - 8.0).max(0.0) as u64, ..busy(work.min(8.0) as u32) };
                host.sample(sample, now);
                let Word::Up { percent, .. } = host.word(now) else { panic!("it serves") };
                *weight = f64::from(percent);
            }
            weights.push(next);
        }
        let late = &weights[weights.len() - 300..];
        for host in 0..3 {
            let (least, most) = late
                .iter()
                .fold((100.0_f64, 0.0_f64), |(least, most), all| (least.min(all[host]), most.max(all[host])));
            assert!(most - least <= 20.0, "host {host} swings from {least} to {most}");
        }
        let shares = late[299];
        assert!(shares[0] < 0.75 * shares[1], "the loaded one gets less: {shares:?}");
    }

    #[test]
    fn who_ends_drains_and_who_is_not_there_is_down() {
        let mut headroom = Headroom::new(Instant(0));
        assert_eq!(headroom.word(Instant(0)), Word::Down);
        headroom.sample(IDLE, Instant(0));
        assert_eq!(headroom.word(Instant(0)).to_string(), "ready up 50%");
        assert_eq!(headroom.word(Instant(61_000 * MS)).to_string(), "up 50%");
        for (sample, word) in [
            (Sample { is_ending: true, ..IDLE }, "drain"),
            (Sample { serving: 0, draining: 8, ..IDLE }, "drain"),
            (Sample { serving: 0, ..IDLE }, "down"),
        ] {
            headroom.sample(sample, Instant(100 * MS));
            assert_eq!(headroom.word(Instant(100 * MS)).to_string(), word);
        }
        headroom.sample(IDLE, Instant(200 * MS));
        assert_eq!(headroom.word(Instant(200 * MS)).to_string(), "ready up 50%", "cold again");
    }
}
