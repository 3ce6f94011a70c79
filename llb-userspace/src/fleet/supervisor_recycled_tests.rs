//! Workers that reach a limit, told event by event.

use super::*;
use crate::fleet::recycle::Excess;

const EIGHT: Rules = Rules { slots: 8, ..RULES };

pub(super) fn reached(permille: u64) -> Excess {
    Excess { permille, cause: format!("{permille} of 1000") }
}

/// These workers, each a little further beyond its limit than the one before it.
fn all(ids: &[WorkerId]) -> Vec<(WorkerId, Excess)> {
    ids.iter().zip(1_000..).map(|(id, permille)| (*id, reached(permille))).collect()
}

fn told_to_finish(effects: &[Effect]) -> Vec<WorkerId> {
    let told = |effect: &Effect| if let Effect::TellToFinish(id) = effect { Some(*id) } else { None };
    effects.iter().filter_map(told).collect()
}

#[test]
fn replacement_serves_before_the_recycled_drains() {
    let mut supervisor = up(RULES);
    supervisor.take_notes();
    let effects = supervisor.recycle(vec![(FIRST, reached(1_000))], at(5_000));
    assert_eq!((spawned(&effects), told_to_finish(&effects)), (vec![THIRD], vec![]));
    let notes = supervisor.take_notes();
    assert_eq!((notes[0].kind, notes[0].id, notes[0].cause.as_str()), (Kind::Recycling, Some(FIRST), "1000 of 1000"));
    assert_eq!(supervisor.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    let effects = supervisor.listens(THIRD, 3, address(80), at(5_100));
    assert_eq!((joined(&effects).len(), told_to_finish(&effects)), (1, vec![FIRST]));
    assert_eq!((supervisor.recycled(Slot(0)), supervisor.restarts(Slot(0))), (1, 0));
    assert!(supervisor.take_notes().iter().any(|note| note.cause == "recycled: 1000 of 1000"));
}

#[test]
fn one_of_eight_slots_is_recycled_at_a_time() {
    let mut supervisor = up(RULES);
    assert_eq!(spawned(&supervisor.recycle(all(&[FIRST, SECOND]), at(5_000))), [THIRD], "in the slot of the second");
    assert_eq!(supervisor.worker(THIRD).map(|worker| worker.slot), Some(Slot(1)));
    assert_eq!(supervisor.recycle(all(&[FIRST, SECOND]), at(5_050)), [], "the other one waits");
    supervisor.listens(THIRD, 3, address(80), at(5_100));
    assert_eq!(spawned(&supervisor.recycle(all(&[FIRST]), at(5_150))), [FOURTH]);
    let ids: Vec<WorkerId> = (1..=24).map(WorkerId).collect();
    let mut large = up(Rules { slots: 24, ..RULES });
    assert_eq!(spawned(&large.recycle(all(&ids), at(5_000))).len(), 3);
}

#[test]
fn nobody_is_recycled_beside_a_worker_that_still_drains() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.recycle(all(&[FIRST]), at(5_000));
    supervisor.listens(SECOND, 2, address(80), at(5_100));
    assert_eq!(supervisor.recycle(all(&[SECOND]), at(7_000)), []);
    supervisor.exited(FIRST, at(7_500));
    assert_eq!(spawned(&supervisor.recycle(all(&[SECOND]), at(7_600))), [THIRD]);
}

#[test]
fn recycling_waits_while_the_fleet_comes_up_or_reloads() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.listens(FIRST, 1, address(80), at(1));
    assert_eq!(supervisor.recycle(all(&[FIRST]), at(2)), [], "it comes up");
    let mut supervisor = up(RULES);
    supervisor.command(Command::Reload(Style::AtOnce), at(5_000)).unwrap();
    assert_eq!(supervisor.recycle(all(&[FIRST, SECOND]), at(5_000)), [], "it reloads");
    let mut supervisor = up(RULES);
    supervisor.command(Command::Drain { slot: Slot(0) }, at(5_000)).unwrap();
    assert_eq!(supervisor.recycle(all(&[FIRST]), at(5_000)), [], "it is drained");
    supervisor.stop(at(6_000));
    assert_eq!(supervisor.recycle(all(&[SECOND]), at(6_000)), [], "it ends");
}

#[test]
fn recycled_that_cannot_be_replaced_serves_on() {
    let mut supervisor = up(EIGHT);
    let mut next = spawned(&supervisor.recycle(all(&[FIRST]), at(5_000)))[0];
    for second in [6, 8, 12, 20] {
        assert_eq!(
            supervisor.recycle(all(&[SECOND]), at(second * 1_000 - 500)),
            [],
            "code that fails is found out by one"
        );
        supervisor.exited(next, at(second * 1_000 - 400));
        let due = spawned(&tick(&mut supervisor, at(second * 1_000 + 20_000), undrained));
        assert_eq!(due.len(), 1, "it is tried again");
        next = due[0];
    }
    assert_eq!(supervisor.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    assert_eq!(
        (supervisor.recycled(Slot(0)), supervisor.restarts(Slot(0))),
        (1, 4),
        "only the first one was no failure"
    );
}

#[test]
fn the_slots_pace_is_no_slower_for_a_recycled_worker() {
    let mut supervisor = up(ONE_SLOT);
    let mut serving = FIRST;
    for round in 1..=5 {
        let now = round * 2_000;
        let new = spawned(&supervisor.recycle(all(&[serving]), at(now)));
        assert_eq!(new.len(), 1, "at once, round {round}");
        supervisor.listens(new[0], new[0].0, address(80), at(now + 10));
        supervisor.exited(serving, at(now + 20));
        serving = new[0];
    }
    let mut supervisor = up(ONE_SLOT);
    assert_eq!(spawned(&supervisor.recycle(all(&[FIRST]), at(300))), [], "within the least time between two starts");
    assert_eq!(spawned(&tick(&mut supervisor, at(1_000), undrained)), [SECOND]);
    assert_eq!(supervisor.recycled(Slot(0)), 1);
}
