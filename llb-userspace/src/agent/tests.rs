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
        for ((host, share), (weight, foreign)) in hosts.iter_mut().zip(seen).zip(next.iter_mut().zip([4.0, 0.0, 0.0])) {
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
        let (least, most) =
            late.iter().fold((100.0_f64, 0.0_f64), |(least, most), all| (least.min(all[host]), most.max(all[host])));
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
