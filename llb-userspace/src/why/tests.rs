use bytemuck::Zeroable;
use llb_common::{abi::NO_SEAT, set, why::Look};

use super::*;

const NOW: u64 = 10_000_000_000;
const MS: u64 = 1_000_000;

fn look(seat: u32, requests: u64, silent_ms: u64) -> Look {
    let since = if requests == 0 { NOT_SERVING } else { NOW - silent_ms * MS };
    Look::of(seat, Load { requests, since, cost_ns: 5 * MS, ..Load::default() })
}

/// A choice of a group: the seat it took, the idle ones, and what is known of each.
fn sample(policy: Policy, seat: u32, idle: &[u32], looks: &[Look]) -> Sample {
    let idle = set::of(idle.iter().copied());
    let mut sample = Sample {
        at: NOW,
        idle,
        near: idle,
        last: NO_SEAT,
        least: NO_SEAT,
        policy: policy.as_u32(),
        outcome: Outcome::PassedOver.index(),
        seat,
        count: looks.len() as u32,
        ..Sample::zeroed()
    };
    sample.looks[..looks.len()].copy_from_slice(looks);
    sample
}

fn explained(sample: &Sample) -> (Reason, Option<u32>, Vec<Verdict>) {
    let seated = |seat| Some(SeatedWorker { slot: seat, pid: 100 + seat });
    let choice = explain(sample, NOW, seated, None);
    (choice.reason, choice.slot, choice.workers.iter().map(|worker| worker.verdict).collect())
}

#[test]
fn an_idle_one_is_drawn_before_busy_ones() {
    let sample = sample(Policy::LeastLatency, 2, &[2], &[look(0, 1, 1), look(1, 3, 900), look(2, 0, 0)]);
    assert_eq!(explained(&sample), (Reason::Idle, Some(2), vec![Verdict::Busy, Verdict::Busy, Verdict::Taken]));
}

#[test]
fn of_idle_ones_each_has_its_verdict() {
    let looks = [look(0, 0, 0), look(1, 0, 0), look(2, 0, 0)];
    let mut near = sample(Policy::LeastLatency, 0, &[0, 1, 2], &looks);
    near.near = set::of([0, 1].into_iter());
    assert_eq!(explained(&near).2, [Verdict::Taken, Verdict::NotDrawn, Verdict::Dearer]);
    near.fewest = set::of([0].into_iter());
    assert_eq!(explained(&near).2, [Verdict::Taken, Verdict::MoreOpen, Verdict::MoreOpen]);
}

#[test]
fn without_an_idle_one_the_least_is_found() {
    let sample = sample(Policy::LeastLatency, 1, &[], &[look(0, 5, 1), look(1, 1, 1), look(2, 1, 3000)]);
    assert_eq!(explained(&sample), (Reason::Least, Some(1), vec![Verdict::Later, Verdict::Taken, Verdict::Later]));
}

#[test]
fn an_awake_one_needs_no_other() {
    let mut awake = look(1, 1, 0);
    (awake.cost_ns, awake.queued_ns) = (MS, 20_000);
    let mut sample = sample(Policy::LeastLatency, 1, &[0], &[look(0, 0, 0), awake]);
    sample.last = 1;
    assert_eq!(explained(&sample), (Reason::Awake, Some(1), vec![Verdict::NotLookedAt, Verdict::Taken]));
}

#[test]
fn other_policies_and_fates_have_their_reasons() {
    let looks = [look(0, 0, 0), look(1, 0, 0)];
    assert_eq!(explained(&sample(Policy::RoundRobin, 0, &[0, 1], &looks)).0, Reason::Turn);
    let fate = |outcome: Outcome| {
        let mut sample = sample(Policy::LeastLatency, NO_SEAT, &[0, 1], &looks);
        sample.outcome = outcome.index();
        let (reason, slot, _) = explained(&sample);
        (reason, slot)
    };
    assert_eq!(fate(Outcome::Waits), (Reason::Waits, None));
    assert_eq!(fate(Outcome::Hash), (Reason::Hash, None));
    assert_eq!(fate(Outcome::FallbackNoSeat), (Reason::Hash, None));
    // Drawn is 0 of the two; that 1 was taken means that 0 was gone.
    assert_eq!(explained(&sample(Policy::LeastLatency, 1, &[0, 1], &looks)).0, Reason::Raced);
}

#[test]
fn the_report_says_who_was_passed_over_and_why() {
    let sample = sample(Policy::LeastLatency, 1, &[1], &[look(0, 2, 1200), look(1, 0, 0)]);
    let choice = explain(&sample, NOW - 3 * MS, |seat| Some(SeatedWorker { slot: seat, pid: 100 + seat }), None);
    let seen =
        Seen { name: "web".into(), policy: "least-latency".into(), for_ms: 1000.0, made: 7, choices: vec![choice] };
    assert_eq!(
        report(&seen),
        "web: least-latency, 7 choices within 1.0 s, 1 noted\n\
         why: idle 1\n\
         slot     pid  taken  expected ms  requests  passed over\n\
         \x20  0     100      0     1210.000         2  busy 1\n\
         \x20  1     101      1        5.000         0  -\n\
         the last ones:\n\
         \x20 after 3.0 ms: slot 1, idle\n\
         \x20   slot 0: busy; 2 requests, no answer for 1200.000 ms, expected within 1210.000 ms\n\
         \x20   slot 1: taken; nothing to do, expected within 5.000 ms\n"
    );
}
