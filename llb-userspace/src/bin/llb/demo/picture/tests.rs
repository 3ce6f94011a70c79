use std::time::Duration;

use llb::model::Slot;

use super::*;
use crate::demo::{
    arrivals::Work,
    load::{Failure, Outcome},
};

const PLAN: Plan = Plan { workers: 4, slow_slot: Slot(1), rate: 300, duration: Duration::from_secs(4), seed: 1 };

fn short(latency_us: u64, slot: u32) -> Outcome {
    Outcome { work: Work::Short, late_ns: 120_000, latency_ns: latency_us * 1000, answer: Ok(Slot(slot)) }
}

fn timed_out(work: Work) -> Outcome {
    Outcome { work, late_ns: 340_000, latency_ns: 5_000_100_000, answer: Err(Failure::TimedOut) }
}

/// Three quick workers; a tenth of the requests wait ever longer at the slow one, the last of them for nothing.
fn drowned() -> Summary {
    let quick = (0..900).map(|i| short(5_100 + i, [0, 2, 3][i as usize % 3]));
    let slow = (1..=80).map(|i| short(50_000 + i * 60_000, 1));
    let lost = (0..20).map(|i| timed_out(if i == 0 { Work::Long } else { Work::Short }));
    Summary::of(&quick.chain(slow).chain(lost).collect::<Vec<_>>(), PLAN.workers).unwrap()
}

/// The slow worker gets two requests, the long one goes to a quick worker.
fn steered() -> Summary {
    let long = Outcome { work: Work::Long, ..short(100_500, 0) };
    let quick = (0..997).map(|i| short(5_100 + i * 2, [0, 2, 3][i as usize % 3]));
    let slow = [short(50_400, 1), short(51_000, 1)];
    Summary::of(&quick.chain(slow).chain([long]).collect::<Vec<_>>(), PLAN.workers).unwrap()
}

#[test]
fn it_looks_like_this() {
    let picture = render(&PLAN, &drowned(), &steered(), 80, false);
    assert_eq!(picture, include_str!("expected.txt"));
}

#[test]
fn no_line_is_wider_than_asked_for() {
    for width in [64, 80, 100, 120] {
        let picture = render(&PLAN, &drowned(), &steered(), width, false);
        let widest = picture.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} > {width}:\n{picture}");
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = render(&PLAN, &drowned(), &steered(), 80, false);
    let mut coloured = render(&PLAN, &drowned(), &steered(), 80, true);
    assert_ne!(coloured, plain);
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[33m"] {
        coloured = coloured.replace(code, "");
    }
    let trimmed = coloured.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    assert_eq!(trimmed, plain);
}
