//! Lifecycles told event by event; what holds of all of them is in [`simulation`].

use std::time::Duration;

use super::*;
use crate::fleet::{command::Command, effect::NewWorker};
use crate::model::Address;

#[path = "life_adopted_tests.rs"]
mod adopted;
#[path = "life_attending_tests.rs"]
mod attending;
#[path = "life_canary_tests.rs"]
mod canary;
#[path = "life_leaving_tests.rs"]
mod leaving;
#[path = "life_operated_tests.rs"]
mod operated;
#[path = "life_recycled_tests.rs"]
mod recycled;
#[path = "life_seats_tests.rs"]
mod seats;
#[path = "life_simulation.rs"]
mod simulation;
#[path = "life_told.rs"]
mod told;
#[path = "life_world.rs"]
mod world;

use told::Told;

const RULES: Rules = Rules {
    slots: 2,
    ready_when: ReadyWhen::Listening,
    ready_check: false,
    ready_timeout: Duration::from_secs(30),
    drain_timeout: Duration::from_secs(10),
    drain_idle: None,
    respawn: Duration::from_secs(1),
    backoff: Duration::from_secs(30),
};
const ONE_SLOT: Rules = Rules { slots: 1, ..RULES };

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn address(port: u16) -> Address {
    Address(([127, 0, 0, 1], port).into())
}

fn undrained(_: Seat) -> bool {
    false
}

fn drained(_: Seat) -> bool {
    true
}

/// Time passes; a worker holds requests, or nothing once its seats have drained.
fn tick(lives: &mut Told, now: Instant, drained: impl Fn(Seat) -> bool) -> Vec<Effect> {
    let holds = |worker: &Worker| if worker.seats().all(&drained) { Holding::Nothing } else { Holding::Requests };
    lives.tick(now, |worker| holds(worker).into(), &drained)
}

fn spawned(effects: &[Effect]) -> Vec<WorkerId> {
    let id = |effect: &Effect| if let Effect::Spawn(NewWorker { id, .. }) = effect { Some(*id) } else { None };
    effects.iter().filter_map(id).collect()
}

fn joined(effects: &[Effect]) -> Vec<(WorkerId, u64, Seat)> {
    let join = |effect: &Effect| match effect {
        Effect::Seat { id, cookie, seat, .. } => Some((*id, *cookie, *seat)),
        _ => None,
    };
    effects.iter().filter_map(join).collect()
}

/// A fleet whose workers 1 to `slots` listen on port 80, each by the cookie of its own number.
fn up(rules: Rules) -> Told {
    let mut lives = Told::new(rules, at(0));
    for id in spawned(&tick(&mut lives, at(0), undrained)) {
        lives.listens(id, id.0, address(80), at(1));
    }
    assert!(lives.is_up());
    lives
}

const FIRST: WorkerId = WorkerId(1);
const SECOND: WorkerId = WorkerId(2);
const THIRD: WorkerId = WorkerId(3);
const FOURTH: WorkerId = WorkerId(4);

#[test]
fn a_fleet_is_up_once_when_every_slot_has_been_ready() {
    let mut lives = Told::new(RULES, at(0));
    assert_eq!(spawned(&tick(&mut lives, at(0), undrained)), [FIRST, SECOND]);
    let effects = lives.listens(FIRST, 1, address(80), at(1));
    assert_eq!(effects, [Effect::Seat { id: FIRST, cookie: 1, address: address(80), seat: Seat(0) }]);
    // One that was ready and has died since has shown that the command works.
    lives.exited(FIRST, at(2));
    assert!(!lives.is_up());
    let effects = lives.listens(SECOND, 2, address(80), at(3));
    assert_eq!(effects.last(), Some(&Effect::Up));
    assert!(!lives.listens(SECOND, 3, address(81), at(3)).contains(&Effect::Up));
}

#[test]
fn with_ready_when_listening_a_word_is_not_enough() {
    let mut lives = Told::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.says_ready(FIRST, at(1)), []);
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(2))), [(FIRST, 1, Seat(0))]);
}

#[test]
fn with_ready_when_accepting_it_joins_when_it_accepts_at_each_of_its_listeners() {
    let rules = Rules { ready_when: ReadyWhen::Accepting, ..ONE_SLOT };
    let mut lives = Told::new(rules, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.listens(FIRST, 1, address(80), at(1)), [Effect::Watch { id: FIRST, cookie: 1 }]);
    assert_eq!(lives.listens(FIRST, 2, address(81), at(1)), [Effect::Watch { id: FIRST, cookie: 2 }]);
    assert_eq!(lives.accepts(FIRST, 3, at(1)), [], "of nobody");
    assert_eq!(lives.accepts(FIRST, 1, at(2)), []);
    let mut other = lives.clone();
    assert_eq!(joined(&lives.accepts(FIRST, 2, at(3))), [(FIRST, 1, Seat(0)), (FIRST, 2, Seat(0))]);
    assert_eq!(joined(&lives.listens(FIRST, 4, address(82), at(4))), [(FIRST, 4, Seat(0))], "it is ready already");
    // The one at which it does not is closed.
    other.closes(2);
    assert_eq!(joined(&tick(&mut other, at(3), undrained)), [(FIRST, 1, Seat(0))]);
}

#[test]
fn one_that_listens_and_accepts_nothing_takes_nobodys_place() {
    let mut lives = up(ONE_SLOT);
    lives.rules.ready_when = ReadyWhen::Accepting;
    let (_, effects) = lives.command(Command::Reload(Style::AtOnce), at(10)).unwrap();
    assert_eq!(spawned(&effects), [SECOND]);
    lives.listens(SECOND, 2, address(80), at(20));
    assert_eq!(lives.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    lives.exited(SECOND, at(4_000));
    tick(&mut lives, at(5_000), undrained);
    lives.listens(THIRD, 3, address(80), at(5_001));
    lives.exited(THIRD, at(9_000));
    assert_eq!(lives.reloading(), None, "rolled back");
    assert!(lives.take_notes().iter().any(|note| note.kind == Kind::RolledBack));
    assert_eq!(lives.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
}

#[test]
fn with_ready_when_started_it_serves_at_once_and_joins_when_it_listens() {
    let mut lives = Told::new(Rules { ready_when: ReadyWhen::Started, ..ONE_SLOT }, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(tick(&mut lives, at(1), undrained), [Effect::Up]);
    assert_eq!(lives.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(9))), [(FIRST, 1, Seat(0))]);
    let mut patient = Told::new(ONE_SLOT, at(0));
    tick(&mut patient, at(0), undrained);
    assert_eq!(tick(&mut patient, at(1), undrained), []);
}

#[test]
fn with_ready_when_started_it_does_not_serve_before_it_has_a_process() {
    let mut lives = Lives::new(Rules { ready_when: ReadyWhen::Started, ..ONE_SLOT }, at(0));
    lives.tick(at(0), |_| Holding::Nothing.into(), undrained);
    lives.tick(at(1), |_| Holding::Nothing.into(), undrained);
    assert!(!lives.is_up());
    lives.spawned(FIRST);
    lives.tick(at(2), |_| Holding::Nothing.into(), undrained);
    assert!(lives.is_up());
}

#[test]
fn with_ready_when_ready_it_takes_the_word_and_the_listener_in_any_order() {
    let rules = Rules { ready_when: ReadyWhen::Ready, ..ONE_SLOT };
    let mut lives = Told::new(rules, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.listens(FIRST, 1, address(80), at(1)), []);
    assert_eq!(joined(&lives.says_ready(FIRST, at(2))), [(FIRST, 1, Seat(0))]);
    assert_eq!(lives.says_ready(FIRST, at(3)), [], "said again, it is nothing new");

    let mut lives = Told::new(rules, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.says_ready(FIRST, at(1)), []);
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(2))), [(FIRST, 1, Seat(0))]);
}

#[test]
fn a_death_is_made_good_in_the_same_slot_and_at_most_once_a_second() {
    let mut lives = up(RULES);
    let effects = lives.exited(SECOND, at(400));
    assert!(effects.contains(&Effect::Reap(SECOND)));
    assert_eq!((spawned(&effects), lives.restarts(Slot(1))), (vec![], 0));
    assert_eq!(spawned(&tick(&mut lives, at(999), undrained)), []);
    let effects = tick(&mut lives, at(1000), undrained);
    assert_eq!(
        effects,
        [Effect::Spawn(NewWorker { id: THIRD, slot: Slot(1), generation: Generation(1), capture: false })],
        "the fleet is up: its output is its own"
    );
    assert_eq!((lives.restarts(Slot(0)), lives.restarts(Slot(1))), (0, 1));
    // A quick death again: the interval has doubled.
    lives.exited(THIRD, at(1100));
    assert_eq!(spawned(&tick(&mut lives, at(2999), undrained)), []);
    assert_eq!(spawned(&tick(&mut lives, at(3000), undrained)), [WorkerId(4)]);
}

#[test]
fn whoever_lived_for_long_is_replaced_at_once() {
    let mut lives = up(RULES);
    assert_eq!(spawned(&lives.exited(SECOND, at(60_000))), [THIRD]);
}

#[test]
fn two_failures_in_each_slot_end_a_fleet_that_comes_up_and_the_second_is_captured() {
    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.exited(FIRST, at(10));
    lives.exited(SECOND, at(10));
    let effects = tick(&mut lives, at(1000), undrained);
    let again = |id, slot| Effect::Spawn(NewWorker { id, slot: Slot(slot), generation: Generation(1), capture: true });
    assert_eq!(effects, [again(THIRD, 0), again(FOURTH, 1)]);
    assert_eq!(lives.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    let failure = Effect::Fail(Failure::Exited { id: FOURTH });
    assert_eq!(lives.exited(FOURTH, at(1020)), [Effect::Reap(FOURTH), failure, Effect::Down]);
}

#[test]
fn a_slot_where_nobody_ever_becomes_ready_is_given_up_and_the_others_serve_on() {
    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.listens(FIRST, 1, address(80), at(1));
    lives.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut lives, at(1000), undrained)), [THIRD]);
    assert_eq!(lives.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    assert_eq!(spawned(&tick(&mut lives, at(3000), undrained)), [FOURTH]);
    let effects = lives.exited(FOURTH, at(3010));
    assert_eq!(effects, [Effect::Reap(FOURTH), Effect::GiveUp { id: FOURTH, slot: Slot(1) }, Effect::Up]);
    assert!(lives.slots().any(|slot| slot == (Slot(1), SlotState::Failed)));
    assert_eq!(tick(&mut lives, at(99_000), undrained), []);

    let (_, effects) = lives.command(Command::Restart { slot: Slot(1) }, at(100_000)).unwrap();
    assert_eq!(spawned(&effects), [WorkerId(5)]);
}

#[test]
fn one_failure_in_each_slot_does_not_end_it() {
    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.exited(FIRST, at(10));
    lives.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut lives, at(1000), undrained)).len(), 2);
}

#[test]
fn a_worker_that_hangs_up_before_its_exit_is_counted_and_captured_like_any_other() {
    let mut lives = Told::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    lives.speaks(FIRST);
    assert_eq!(lives.hangs_up(FIRST, at(5000)), [], "not ready, it has nothing to hand over");
    let effects = lives.exited(FIRST, at(5000));
    let again = Effect::Spawn(NewWorker { id: SECOND, slot: Slot(0), generation: Generation(1), capture: true });
    assert_eq!(effects, [Effect::Reap(FIRST), again]);
    lives.speaks(SECOND);
    lives.hangs_up(SECOND, at(5010));
    assert!(lives.exited(SECOND, at(5010)).contains(&Effect::Fail(Failure::Exited { id: SECOND })));
}

#[test]
fn not_ready_in_time_ends_a_fleet_of_which_nobody_is() {
    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(tick(&mut lives, at(29_999), undrained), []);
    let failure = Effect::Fail(Failure::NotReady { id: FIRST });
    let effects = tick(&mut lives, at(30_000), undrained);
    assert_eq!(effects, [failure, Effect::Terminate(FIRST), Effect::Terminate(SECOND)]);

    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.listens(FIRST, 1, address(80), at(1));
    assert_eq!(tick(&mut lives, at(30_000), undrained), [Effect::Terminate(SECOND)], "another one is");
}

#[test]
fn a_replacement_that_does_not_become_ready_is_a_quick_death_and_its_elder_serves_on() {
    let mut lives = up(ONE_SLOT);
    assert_eq!(spawned(&lives.asks_to_leave(FIRST, at(5000))), [SECOND]);
    assert_eq!(tick(&mut lives, at(35_000), undrained), [Effect::Terminate(SECOND)]);
    assert_eq!(lives.worker(FIRST).unwrap().state, State::Serving);
    // Neither a live worker in the slot nor the time that it was given is a success: the interval doubles.
    assert_eq!(spawned(&lives.exited(SECOND, at(35_001))), [THIRD]);
    lives.exited(THIRD, at(35_002));
    assert_eq!(spawned(&tick(&mut lives, at(39_000), undrained)), []);
    assert_eq!(spawned(&tick(&mut lives, at(39_001), undrained)), [WorkerId(4)]);
    let effects = lives.listens(WorkerId(4), 4, address(80), at(39_100));
    assert!(effects.ends_with(&[Effect::Withdraw { cookie: 1 }, Effect::TellToFinish(FIRST)]), "{effects:?}");
}

#[test]
fn what_cannot_be_spawned_ends_a_fleet_that_comes_up_and_no_other() {
    let mut lives = Told::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    let effects = lives.spawn_failed(FIRST, at(1));
    assert_eq!(effects[0], Effect::Fail(Failure::Spawn { id: FIRST }));
    assert_eq!(lives.spawn_failed(SECOND, at(1)), [Effect::Reap(SECOND), Effect::Down]);

    let mut lives = up(RULES);
    lives.exited(FIRST, at(60_000));
    assert_eq!(lives.spawn_failed(THIRD, at(60_000)), [Effect::Reap(THIRD)]);
    assert_eq!(spawned(&tick(&mut lives, at(62_000), undrained)), [WorkerId(4)]);
}

#[test]
fn an_unknown_worker_changes_nothing() {
    let mut lives = up(RULES);
    let unknown = WorkerId(77);
    lives.binds(unknown, address(80));
    lives.speaks(unknown);
    assert_eq!(lives.listens(unknown, 77, address(80), at(1)), []);
    assert_eq!(lives.says_ready(unknown, at(1)), []);
    assert_eq!(lives.asks_to_leave(unknown, at(1)), []);
    assert_eq!(lives.hangs_up(unknown, at(1)), []);
    assert_eq!(lives.exited(unknown, at(1)), []);
    assert_eq!(lives.spawn_failed(unknown, at(1)), []);
    assert_eq!(lives.closes(77), []);
}
