//! The next master goes on, told event by event.

use super::*;
use crate::fleet::{AdoptedSlot, AdoptedWorker, takeover::Stage};

const RELOAD: Command = Command::Reload(Style::AtOnce);

/// What is left of a fleet whose master dies now.
pub(super) fn left(supervisor: &Told) -> Adopted {
    let worker = |worker: &Worker| {
        let in_group = worker.state == State::Serving;
        AdoptedWorker {
            slot: worker.slot,
            generation: worker.generation,
            stage: match worker.state {
                State::Starting { .. } => Stage::Starting,
                State::Serving => Stage::Serving,
                State::Draining { .. } => Stage::Draining,
                State::Stopping { .. } | State::Killed => Stage::Stopping,
            },
            asked_to_leave: worker.asked_to_leave.clone(),
            is_recycled: worker.is_recycled,
            started_at: worker.started_at,
            udp: Vec::new(),
            listeners: worker
                .listeners
                .iter()
                .map(|listener| Listener { seat: listener.seat.filter(|_| in_group), ..*listener })
                .collect(),
            seats: worker.seats().collect(),
        }
    };
    Adopted {
        workers: supervisor.workers().map(worker).collect(),
        slots: supervisor.slots_to_adopt().collect(),
        generation: supervisor.generation().0,
        reloading: supervisor.reloading().map(|generation| generation.0),
        unattended: supervisor.unattended().collect(),
    }
}

fn next(before: &Told, rules: Rules, now: Instant) -> (Told, Vec<Effect>) {
    let mut supervisor = Told::new(rules, now);
    let (ids, effects) = supervisor.adopt(left(before), |_| false, now);
    assert_eq!(ids.len(), before.workers().count());
    (supervisor, effects)
}

fn states(supervisor: &Told) -> Vec<(u32, u32, &'static str)> {
    supervisor.workers().map(|worker| (worker.slot.0, worker.generation.0, worker.state.name())).collect()
}

#[test]
fn a_fleet_that_serves_goes_on_and_nothing_is_done() {
    let before = up(RULES);
    let (mut supervisor, effects) = next(&before, RULES, at(5000));
    assert_eq!(effects, [Effect::Up]);
    assert!(supervisor.is_up());
    assert_eq!(states(&supervisor), [(0, 1, "serving"), (1, 1, "serving")]);
    assert_eq!(tick(&mut supervisor, at(99_000), drained), []);
    // Their seats are theirs, and the slots know what was.
    assert_eq!(joined(&supervisor.listens(FIRST, 9, address(81), at(99_001))), [(FIRST, 9, Seat(0))]);
    assert_eq!(spawned(&supervisor.exited(FIRST, at(99_002))), [THIRD]);
    assert_eq!(supervisor.restarts(Slot(0)), 1);
    assert_eq!(joined(&supervisor.listens(THIRD, 10, address(80), at(99_003))), [(THIRD, 10, Seat(2))], "seat 0 rests");
}

#[test]
fn who_is_missing_is_replaced_and_who_has_begun_to_listen_joins() {
    let mut found = left(&up(RULES));
    found.workers.remove(0);
    found.workers[0].listeners.push(Listener::new(7, address(81)));
    let mut supervisor = Told::new(RULES, at(5000));
    let (_, effects) = supervisor.adopt(found, |seat| seat == Seat(0), at(5000));
    assert_eq!(joined(&effects), [(FIRST, 7, Seat(1))]);
    assert_eq!(spawned(&effects), [SECOND]);
    assert_eq!(supervisor.worker(SECOND).map(|worker| worker.slot), Some(Slot(0)));
    assert_eq!(joined(&supervisor.listens(SECOND, 8, address(80), at(5001))), [(SECOND, 8, Seat(2))], "seat 0 rests");
}

#[test]
fn a_reload_is_rolled_back() {
    let mut before = up(RULES);
    before.command(RELOAD, at(2000)).unwrap();
    before.listens(THIRD, 3, address(80), at(2001));
    let (mut supervisor, effects) = next(&before, RULES, at(5000));
    assert_eq!(
        states(&supervisor),
        [(0, 1, "serving"), (1, 1, "serving"), (0, 2, "draining"), (1, 2, "stopping")],
        "the old ones have never stopped serving"
    );
    assert_eq!(spawned(&effects), []);
    // Its number is not used again.
    let (granted, _) = supervisor.command(RELOAD, at(6000)).unwrap();
    assert_eq!(granted, crate::fleet::Granted::Reloading(Generation(3)));
}

#[test]
fn the_generation_goes_on() {
    let mut before = up(ONE_SLOT);
    before.command(RELOAD, at(2000)).unwrap();
    before.listens(SECOND, 2, address(80), at(2001));
    before.exited(FIRST, at(3000));
    let (supervisor, _) = next(&before, ONE_SLOT, at(5000));
    assert_eq!((states(&supervisor), supervisor.generation()), (vec![(0, 2, "serving")], Generation(2)));
}

#[test]
fn another_number_of_workers_is_had() {
    let before = up(RULES);
    let (supervisor, effects) = next(&before, Rules { slots: 3, ..RULES }, at(5000));
    assert_eq!(spawned(&effects), [THIRD]);
    assert_eq!(supervisor.worker(THIRD).map(|worker| worker.slot), Some(Slot(2)));
    let (supervisor, effects) = next(&before, ONE_SLOT, at(5000));
    assert_eq!(states(&supervisor), [(0, 1, "serving"), (1, 1, "draining")]);
    assert!(effects.contains(&Effect::TellToFinish(SECOND)));
    assert_eq!(supervisor.slots().count(), 1);
}

#[test]
fn who_cannot_say_any_more_that_it_is_ready_makes_way() {
    let rules = Rules { ready_when: ReadyWhen::Ready, ..ONE_SLOT };
    let mut before = Told::new(rules, at(0));
    tick(&mut before, at(0), undrained);
    before.listens(FIRST, 1, address(80), at(1));
    let (supervisor, effects) = next(&before, rules, at(5000));
    assert_eq!(states(&supervisor), [(0, 1, "stopping"), (0, 1, "starting")]);
    assert_eq!(effects[0], Effect::Terminate(FIRST));
    assert_eq!(spawned(&effects), [SECOND]);
    // One that only has to listen is waited for.
    let (supervisor, effects) = next(&before, ONE_SLOT, at(5000));
    assert_eq!((states(&supervisor), joined(&effects)), (vec![(0, 1, "serving")], vec![(FIRST, 1, Seat(0))]));
}

#[test]
fn who_was_to_be_replaced_is() {
    let mut before = up(ONE_SLOT);
    before.asks_to_leave(FIRST, at(2000));
    assert_eq!(states(&before), [(0, 1, "serving"), (0, 1, "starting")]);
    let (mut supervisor, effects) = next(&before, ONE_SLOT, at(5000));
    assert_eq!(spawned(&effects), [], "its replacement is there");
    let effects = supervisor.listens(SECOND, 2, address(80), at(5001));
    assert!(effects.contains(&Effect::TellToFinish(FIRST)), "{effects:?}");
}

#[test]
fn a_slot_that_was_drained_stays_empty() {
    let mut before = up(RULES);
    before.command(Command::Drain { slot: Slot(1) }, at(2000)).unwrap();
    let (mut supervisor, _) = next(&before, RULES, at(5000));
    assert_eq!(states(&supervisor), [(0, 1, "serving"), (1, 1, "draining")]);
    assert_eq!(spawned(&supervisor.exited(SECOND, at(5001))), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(99_000), drained)), []);
}

#[test]
fn a_fleet_that_was_ending_comes_back_and_its_workers_finish() {
    let mut before = up(ONE_SLOT);
    before.stop(at(2000));
    let (supervisor, effects) = next(&before, ONE_SLOT, at(5000));
    assert!(!supervisor.is_up());
    assert_eq!(states(&supervisor), [(0, 1, "draining"), (0, 1, "starting")]);
    assert_eq!(spawned(&effects), [SECOND]);
}

#[test]
fn one_of_several_in_a_slot_stays() {
    let mut found = left(&up(ONE_SLOT));
    let mut twin = found.workers[0].clone();
    twin.listeners[0] = Listener { cookie: 2, seat: Some(Seat(1)), ..twin.listeners[0] };
    twin.seats = vec![Seat(1)];
    found.workers.push(twin);
    found.generation = u32::MAX;
    found.slots.extend([AdoptedSlot::default(); 1000]);
    let mut supervisor = Told::new(ONE_SLOT, at(5000));
    supervisor.adopt(found, |_| false, at(5000));
    assert_eq!(states(&supervisor), [(0, 1, "draining"), (0, 1, "serving")]);
    assert!(supervisor.command(RELOAD, at(5001)).is_ok());
}
