//! Lifecycles told event by event; what holds of all of them is in [`simulation`].

use std::time::Duration;

use super::*;
use crate::fleet::{command::Command, effect::NewWorker};
use crate::model::Address;

#[path = "supervisor_adopted_tests.rs"]
mod adopted;
#[path = "supervisor_attending_tests.rs"]
mod attending;
#[path = "supervisor_canary_tests.rs"]
mod canary;
#[path = "supervisor_leaving_tests.rs"]
mod leaving;
#[path = "supervisor_operated_tests.rs"]
mod operated;
#[path = "supervisor_recycled_tests.rs"]
mod recycled;
#[path = "supervisor_seats_tests.rs"]
mod seats;
#[path = "supervisor_simulation.rs"]
mod simulation;
#[path = "supervisor_told.rs"]
mod told;
#[path = "supervisor_world.rs"]
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
fn tick(supervisor: &mut Told, now: Instant, drained: impl Fn(Seat) -> bool) -> Vec<Effect> {
    let holds = |worker: &Worker| if worker.seats().all(&drained) { Holding::Nothing } else { Holding::Requests };
    supervisor.tick(now, |worker| holds(worker).into(), &drained)
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
    let mut supervisor = Told::new(rules, at(0));
    for id in spawned(&tick(&mut supervisor, at(0), undrained)) {
        supervisor.listens(id, id.0, address(80), at(1));
    }
    assert!(supervisor.is_up());
    supervisor
}

const FIRST: WorkerId = WorkerId(1);
const SECOND: WorkerId = WorkerId(2);
const THIRD: WorkerId = WorkerId(3);
const FOURTH: WorkerId = WorkerId(4);

#[test]
fn a_fleet_is_up_once_when_every_slot_has_been_ready() {
    let mut supervisor = Told::new(RULES, at(0));
    assert_eq!(spawned(&tick(&mut supervisor, at(0), undrained)), [FIRST, SECOND]);
    let effects = supervisor.listens(FIRST, 1, address(80), at(1));
    assert_eq!(effects, [Effect::Seat { id: FIRST, cookie: 1, address: address(80), seat: Seat(0) }]);
    // One that was ready and has died since has shown that the command works.
    supervisor.exited(FIRST, at(2));
    assert!(!supervisor.is_up());
    let effects = supervisor.listens(SECOND, 2, address(80), at(3));
    assert_eq!(effects.last(), Some(&Effect::Up));
    assert!(!supervisor.listens(SECOND, 3, address(81), at(3)).contains(&Effect::Up));
}

#[test]
fn with_ready_when_listening_a_word_is_not_enough() {
    let mut supervisor = Told::new(ONE_SLOT, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(supervisor.says_ready(FIRST, at(1)), []);
    assert_eq!(joined(&supervisor.listens(FIRST, 1, address(80), at(2))), [(FIRST, 1, Seat(0))]);
}

#[test]
fn with_ready_when_accepting_it_joins_when_it_accepts_at_each_of_its_listeners() {
    let rules = Rules { ready_when: ReadyWhen::Accepting, ..ONE_SLOT };
    let mut supervisor = Told::new(rules, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(supervisor.listens(FIRST, 1, address(80), at(1)), [Effect::Watch { id: FIRST, cookie: 1 }]);
    assert_eq!(supervisor.listens(FIRST, 2, address(81), at(1)), [Effect::Watch { id: FIRST, cookie: 2 }]);
    assert_eq!(supervisor.accepts(FIRST, 3, at(1)), [], "of nobody");
    assert_eq!(supervisor.accepts(FIRST, 1, at(2)), []);
    let mut other = supervisor.clone();
    assert_eq!(joined(&supervisor.accepts(FIRST, 2, at(3))), [(FIRST, 1, Seat(0)), (FIRST, 2, Seat(0))]);
    assert_eq!(joined(&supervisor.listens(FIRST, 4, address(82), at(4))), [(FIRST, 4, Seat(0))], "it is ready already");
    // The one at which it does not is closed.
    other.closes(2);
    assert_eq!(joined(&tick(&mut other, at(3), undrained)), [(FIRST, 1, Seat(0))]);
}

#[test]
fn one_that_listens_and_accepts_nothing_takes_nobodys_place() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.rules.ready_when = ReadyWhen::Accepting;
    let (_, effects) = supervisor.command(Command::Reload(Style::AtOnce), at(10)).unwrap();
    assert_eq!(spawned(&effects), [SECOND]);
    supervisor.listens(SECOND, 2, address(80), at(20));
    assert_eq!(supervisor.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    supervisor.exited(SECOND, at(4_000));
    tick(&mut supervisor, at(5_000), undrained);
    supervisor.listens(THIRD, 3, address(80), at(5_001));
    supervisor.exited(THIRD, at(9_000));
    assert_eq!(supervisor.reloading(), None, "rolled back");
    assert!(supervisor.take_notes().iter().any(|note| note.kind == Kind::RolledBack));
    assert_eq!(supervisor.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
}

#[test]
fn with_ready_when_started_it_serves_at_once_and_joins_when_it_listens() {
    let mut supervisor = Told::new(Rules { ready_when: ReadyWhen::Started, ..ONE_SLOT }, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(tick(&mut supervisor, at(1), undrained), [Effect::Up]);
    assert_eq!(supervisor.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    assert_eq!(joined(&supervisor.listens(FIRST, 1, address(80), at(9))), [(FIRST, 1, Seat(0))]);
    let mut patient = Told::new(ONE_SLOT, at(0));
    tick(&mut patient, at(0), undrained);
    assert_eq!(tick(&mut patient, at(1), undrained), []);
}

#[test]
fn with_ready_when_started_it_does_not_serve_before_it_has_a_process() {
    let mut supervisor = Supervisor::new(Rules { ready_when: ReadyWhen::Started, ..ONE_SLOT }, at(0));
    supervisor.tick(at(0), |_| Holding::Nothing.into(), undrained);
    supervisor.tick(at(1), |_| Holding::Nothing.into(), undrained);
    assert!(!supervisor.is_up());
    supervisor.spawned(FIRST);
    supervisor.tick(at(2), |_| Holding::Nothing.into(), undrained);
    assert!(supervisor.is_up());
}

#[test]
fn with_ready_when_ready_it_takes_the_word_and_the_listener_in_any_order() {
    let rules = Rules { ready_when: ReadyWhen::Ready, ..ONE_SLOT };
    let mut supervisor = Told::new(rules, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(supervisor.listens(FIRST, 1, address(80), at(1)), []);
    assert_eq!(joined(&supervisor.says_ready(FIRST, at(2))), [(FIRST, 1, Seat(0))]);
    assert_eq!(supervisor.says_ready(FIRST, at(3)), [], "said again, it is nothing new");

    let mut supervisor = Told::new(rules, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(supervisor.says_ready(FIRST, at(1)), []);
    assert_eq!(joined(&supervisor.listens(FIRST, 1, address(80), at(2))), [(FIRST, 1, Seat(0))]);
}

#[test]
fn a_death_is_made_good_in_the_same_slot_and_at_most_once_a_second() {
    let mut supervisor = up(RULES);
    let effects = supervisor.exited(SECOND, at(400));
    assert!(effects.contains(&Effect::Reap(SECOND)));
    assert_eq!((spawned(&effects), supervisor.restarts(Slot(1))), (vec![], 0));
    assert_eq!(spawned(&tick(&mut supervisor, at(999), undrained)), []);
    let effects = tick(&mut supervisor, at(1000), undrained);
    assert_eq!(
        effects,
        [Effect::Spawn(NewWorker { id: THIRD, slot: Slot(1), generation: Generation(1), capture: false })],
        "the fleet is up: its output is its own"
    );
    assert_eq!((supervisor.restarts(Slot(0)), supervisor.restarts(Slot(1))), (0, 1));
    // A quick death again: the interval has doubled.
    supervisor.exited(THIRD, at(1100));
    assert_eq!(spawned(&tick(&mut supervisor, at(2999), undrained)), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(3000), undrained)), [WorkerId(4)]);
}

#[test]
fn whoever_lived_for_long_is_replaced_at_once() {
    let mut supervisor = up(RULES);
    assert_eq!(spawned(&supervisor.exited(SECOND, at(60_000))), [THIRD]);
}

#[test]
fn two_failures_in_each_slot_end_a_fleet_that_comes_up_and_the_second_is_captured() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.exited(FIRST, at(10));
    supervisor.exited(SECOND, at(10));
    let effects = tick(&mut supervisor, at(1000), undrained);
    let again = |id, slot| Effect::Spawn(NewWorker { id, slot: Slot(slot), generation: Generation(1), capture: true });
    assert_eq!(effects, [again(THIRD, 0), again(FOURTH, 1)]);
    assert_eq!(supervisor.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    let failure = Effect::Fail(Failure::Exited { id: FOURTH });
    assert_eq!(supervisor.exited(FOURTH, at(1020)), [Effect::Reap(FOURTH), failure, Effect::Down]);
}

#[test]
fn a_slot_where_nobody_ever_becomes_ready_is_given_up_and_the_others_serve_on() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.listens(FIRST, 1, address(80), at(1));
    supervisor.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut supervisor, at(1000), undrained)), [THIRD]);
    assert_eq!(supervisor.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    assert_eq!(spawned(&tick(&mut supervisor, at(3000), undrained)), [FOURTH]);
    let effects = supervisor.exited(FOURTH, at(3010));
    assert_eq!(effects, [Effect::Reap(FOURTH), Effect::GiveUp { id: FOURTH, slot: Slot(1) }, Effect::Up]);
    assert!(supervisor.slots().any(|slot| slot == (Slot(1), SlotState::Failed)));
    assert_eq!(tick(&mut supervisor, at(99_000), undrained), []);

    let (_, effects) = supervisor.command(Command::Restart { slot: Slot(1) }, at(100_000)).unwrap();
    assert_eq!(spawned(&effects), [WorkerId(5)]);
}

#[test]
fn one_failure_in_each_slot_does_not_end_it() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.exited(FIRST, at(10));
    supervisor.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut supervisor, at(1000), undrained)).len(), 2);
}

#[test]
fn a_worker_that_hangs_up_before_its_exit_is_counted_and_captured_like_any_other() {
    let mut supervisor = Told::new(ONE_SLOT, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.speaks(FIRST);
    assert_eq!(supervisor.hangs_up(FIRST, at(5000)), [], "not ready, it has nothing to hand over");
    let effects = supervisor.exited(FIRST, at(5000));
    let again = Effect::Spawn(NewWorker { id: SECOND, slot: Slot(0), generation: Generation(1), capture: true });
    assert_eq!(effects, [Effect::Reap(FIRST), again]);
    supervisor.speaks(SECOND);
    supervisor.hangs_up(SECOND, at(5010));
    assert!(supervisor.exited(SECOND, at(5010)).contains(&Effect::Fail(Failure::Exited { id: SECOND })));
}

#[test]
fn not_ready_in_time_ends_a_fleet_of_which_nobody_is() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    assert_eq!(tick(&mut supervisor, at(29_999), undrained), []);
    let failure = Effect::Fail(Failure::NotReady { id: FIRST });
    let effects = tick(&mut supervisor, at(30_000), undrained);
    assert_eq!(effects, [failure, Effect::Terminate(FIRST), Effect::Terminate(SECOND)]);

    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    supervisor.listens(FIRST, 1, address(80), at(1));
    assert_eq!(tick(&mut supervisor, at(30_000), undrained), [Effect::Terminate(SECOND)], "another one is");
}

#[test]
fn a_replacement_that_does_not_become_ready_is_a_quick_death_and_its_elder_serves_on() {
    let mut supervisor = up(ONE_SLOT);
    assert_eq!(spawned(&supervisor.asks_to_leave(FIRST, at(5000))), [SECOND]);
    assert_eq!(tick(&mut supervisor, at(35_000), undrained), [Effect::Terminate(SECOND)]);
    assert_eq!(supervisor.worker(FIRST).unwrap().state, State::Serving);
    // Neither a live worker in the slot nor the time that it was given is a success: the interval doubles.
    assert_eq!(spawned(&supervisor.exited(SECOND, at(35_001))), [THIRD]);
    supervisor.exited(THIRD, at(35_002));
    assert_eq!(spawned(&tick(&mut supervisor, at(39_000), undrained)), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(39_001), undrained)), [WorkerId(4)]);
    let effects = supervisor.listens(WorkerId(4), 4, address(80), at(39_100));
    assert!(effects.ends_with(&[Effect::Withdraw { cookie: 1 }, Effect::TellToFinish(FIRST)]), "{effects:?}");
}

#[test]
fn what_cannot_be_spawned_ends_a_fleet_that_comes_up_and_no_other() {
    let mut supervisor = Told::new(RULES, at(0));
    tick(&mut supervisor, at(0), undrained);
    let effects = supervisor.spawn_failed(FIRST, at(1));
    assert_eq!(effects[0], Effect::Fail(Failure::Spawn { id: FIRST }));
    assert_eq!(supervisor.spawn_failed(SECOND, at(1)), [Effect::Reap(SECOND), Effect::Down]);

    let mut supervisor = up(RULES);
    supervisor.exited(FIRST, at(60_000));
    assert_eq!(supervisor.spawn_failed(THIRD, at(60_000)), [Effect::Reap(THIRD)]);
    assert_eq!(spawned(&tick(&mut supervisor, at(62_000), undrained)), [WorkerId(4)]);
}

#[test]
fn an_unknown_worker_changes_nothing() {
    let mut supervisor = up(RULES);
    let unknown = WorkerId(77);
    supervisor.binds(unknown, address(80));
    supervisor.speaks(unknown);
    assert_eq!(supervisor.listens(unknown, 77, address(80), at(1)), []);
    assert_eq!(supervisor.says_ready(unknown, at(1)), []);
    assert_eq!(supervisor.asks_to_leave(unknown, at(1)), []);
    assert_eq!(supervisor.hangs_up(unknown, at(1)), []);
    assert_eq!(supervisor.exited(unknown, at(1)), []);
    assert_eq!(supervisor.spawn_failed(unknown, at(1)), []);
    assert_eq!(supervisor.closes(77), []);
}
