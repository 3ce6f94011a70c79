use llb_common::select::Load;

use super::{Candidate, Choice, Rules, Standing, Step, Waiter, decide};
use crate::model::{Instant, Seat};

const MS: u64 = 1_000_000;
const NOW: Instant = Instant(1_000 * MS);
const RULES: Rules = Rules { concurrency: 1, patience_ns: 50 * MS, turn: 0 };

fn waiter(place: u32, age_ms: u64, standing: Standing) -> Waiter {
    Waiter { group: 0, place, since: Instant(NOW.0 - age_ms * MS), standing }
}

fn candidate(seat: u32, requests: u64, cost_ms: u64) -> Candidate {
    let load = Load { requests, since: NOW.0, cost_ns: cost_ms * MS, ..Load::default() };
    Candidate { seat: Seat(seat), load, certain: requests }
}

fn handed(waiters: Vec<Waiter>, candidates: &[Candidate], rules: Rules) -> Vec<(u32, u32)> {
    let steps = decide(waiters, |_| candidates.to_vec(), |_| 255, rules, NOW).into_iter();
    let handed = |(waiter, step): (Waiter, Step)| match step {
        Step::HandOver(choice) => Some((waiter.place, choice.seat.0)),
        _ => None,
    };
    steps.filter_map(handed).collect()
}

#[test]
fn who_came_first_is_served_first() {
    let waiters =
        vec![waiter(0, 1, Standing::Waiting), waiter(1, 9, Standing::Waiting), waiter(2, 5, Standing::Waiting)];
    assert_eq!(handed(waiters.clone(), &[candidate(7, 0, 4)], RULES), [(1, 7)]);
    let two = [candidate(7, 0, 4), candidate(3, 0, 4)];
    assert_eq!(handed(waiters.clone(), &two, RULES), [(1, 7), (2, 3)]);
    assert_eq!(handed(waiters, &two, Rules { turn: 1, ..RULES }), [(1, 3), (2, 7)]);
}

#[test]
fn nobody_gets_more_than_it_serves_at_once() {
    let waiters: Vec<Waiter> = (0..5).map(|place| waiter(place, 9 - u64::from(place), Standing::Waiting)).collect();
    assert_eq!(handed(waiters.clone(), &[candidate(7, 1, 4)], RULES), []);
    assert_eq!(handed(waiters, &[candidate(7, 1, 4)], Rules { concurrency: 3, ..RULES }), [(0, 7), (1, 7)]);
}

#[test]
fn of_more_than_a_line_holds_the_first_go_to_workers() {
    let busy = [candidate(7, 1, 4), candidate(3, 3, 4)];
    let waiters = |count: u32| {
        (0..count).map(|place| waiter(place, 300 - u64::from(place), Standing::Waiting)).collect::<Vec<Waiter>>()
    };
    let handed = |count: u32, places: usize| {
        let steps = decide(waiters(count), |_| busy.to_vec(), |_| places, RULES, NOW);
        let handed = |(waiter, step): (Waiter, Step)| match step {
            Step::HandOver(Choice { seat, is_awaited: false }) => (waiter.place, seat.0),
            other => panic!("{other:?}"),
        };
        steps.into_iter().map(handed).collect::<Vec<_>>()
    };
    assert_eq!(handed(48, 64), []);
    assert_eq!(handed(51, 64), [(0, 7), (1, 7), (2, 7)]);
    assert_eq!(handed(52, 64)[3], (3, 3), "they go where they are answered first");
    assert_eq!(handed(1, 1), [], "the only place is one");
}

#[test]
fn a_handshake_under_way_holds_up_nobody() {
    let waiters =
        vec![waiter(0, 40, Standing::Coming), waiter(1, 60, Standing::Coming), waiter(2, 1, Standing::Waiting)];
    let steps = decide(waiters, |_| vec![candidate(7, 0, 4)], |_| 255, RULES, NOW);
    let steps: Vec<(u32, Step)> = steps.into_iter().map(|(waiter, step)| (waiter.place, step)).collect();
    assert_eq!(steps, [(1, Step::TakeBack), (2, Step::HandOver(Choice { seat: Seat(7), is_awaited: true }))]);
}

#[test]
fn who_has_gone_is_seen_off() {
    let steps = decide(vec![waiter(4, 1, Standing::Gone)], |_| vec![candidate(7, 0, 4)], |_| 255, RULES, NOW);
    assert_eq!(steps[0].1, Step::SeeOff);
}

#[test]
fn a_slow_worker_gets_who_would_wait_longer_for_a_fast_one() {
    let all = [candidate(0, 1, 4), candidate(1, 0, 40)];
    let one = vec![waiter(0, 1, Standing::Waiting)];
    assert_eq!(handed(one.clone(), &all, RULES), []);
    // The fast one is in a long request by now.
    let mut stuck = all;
    stuck[0].load.since = NOW.0 - 100 * MS;
    assert_eq!(handed(one, &stuck, RULES), [(0, 1)]);
    // Or many wait.
    let many: Vec<Waiter> = (0..30).map(|place| waiter(place, 9, Standing::Waiting)).collect();
    assert_eq!(handed(many.clone(), &all, RULES).len(), 1);
    // That it has been free until now is not for want of being told.
    let first = decide(many, |_| all.to_vec(), |_| 255, RULES, NOW)[0].1;
    assert_eq!(first, Step::HandOver(Choice { seat: Seat(1), is_awaited: false }));
}

#[test]
fn charges_of_clients_who_never_come_do_not_stop_the_line() {
    let mut flooded = candidate(7, 900, 4);
    flooded.certain = 0;
    assert_eq!(handed(vec![waiter(0, 10, Standing::Waiting)], &[flooded], RULES), []);
    assert_eq!(
        handed(vec![waiter(0, 31, Standing::Waiting), waiter(1, 31, Standing::Waiting)], &[flooded], RULES),
        [(0, 7)]
    );
}
