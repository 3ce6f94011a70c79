//! Lifecycles told event by event; what holds of all of them is in [`simulation`].

use std::time::Duration;

use super::*;
use crate::fleet::command::Command;
use crate::model::Address;

#[path = "life_adopted_tests.rs"]
mod adopted;
#[path = "life_attending_tests.rs"]
mod attending;
#[path = "life_canary_tests.rs"]
mod canary;
#[path = "life_operated_tests.rs"]
mod operated;
#[path = "life_recycled_tests.rs"]
mod recycled;
#[path = "life_simulation.rs"]
mod simulation;

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
fn tick(lives: &mut Lives, now: Instant, drained: impl Fn(Seat) -> bool) -> Vec<Effect> {
    let holds = |worker: &Worker| if worker.seats().all(&drained) { Holding::Nothing } else { Holding::Requests };
    lives.tick(now, |worker| holds(worker).into(), &drained)
}

fn spawned(effects: &[Effect]) -> Vec<WorkerId> {
    let id = |effect: &Effect| if let Effect::Spawn { id, .. } = effect { Some(*id) } else { None };
    effects.iter().filter_map(id).collect()
}

fn joined(effects: &[Effect]) -> Vec<(WorkerId, u64, Seat)> {
    let join = |effect: &Effect| match effect {
        Effect::Join { id, cookie, seat, .. } => Some((*id, *cookie, *seat)),
        _ => None,
    };
    effects.iter().filter_map(join).collect()
}

/// A fleet whose workers 1 to `slots` listen on port 80, each by the cookie of its own number.
fn up(rules: Rules) -> Lives {
    let mut lives = Lives::new(rules, at(0));
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
    let mut lives = Lives::new(RULES, at(0));
    assert_eq!(spawned(&tick(&mut lives, at(0), undrained)), [FIRST, SECOND]);
    let effects = lives.listens(FIRST, 1, address(80), at(1));
    assert_eq!(effects, [Effect::Join { id: FIRST, cookie: 1, address: address(80), seat: Seat(0) }]);
    // One that was ready and has died since has shown that the command works.
    lives.exited(FIRST, at(2));
    assert!(!lives.is_up());
    let effects = lives.listens(SECOND, 2, address(80), at(3));
    assert_eq!(effects.last(), Some(&Effect::Up));
    assert!(!lives.listens(SECOND, 3, address(81), at(3)).contains(&Effect::Up));
}

#[test]
fn with_ready_when_listening_a_word_is_not_enough() {
    let mut lives = Lives::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.says_ready(FIRST, at(1)), []);
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(2))), [(FIRST, 1, Seat(0))]);
}

#[test]
fn with_ready_when_accepting_it_joins_when_it_accepts_at_each_of_its_listeners() {
    let rules = Rules { ready_when: ReadyWhen::Accepting, ..ONE_SLOT };
    let mut lives = Lives::new(rules, at(0));
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
    let mut lives = Lives::new(Rules { ready_when: ReadyWhen::Started, ..ONE_SLOT }, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(tick(&mut lives, at(1), undrained), [Effect::Up]);
    assert_eq!(lives.worker(FIRST).map(|worker| worker.state), Some(State::Serving));
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(9))), [(FIRST, 1, Seat(0))]);
    let mut patient = Lives::new(ONE_SLOT, at(0));
    tick(&mut patient, at(0), undrained);
    assert_eq!(tick(&mut patient, at(1), undrained), []);
}

#[test]
fn with_ready_when_ready_it_takes_the_word_and_the_listener_in_any_order() {
    let rules = Rules { ready_when: ReadyWhen::Ready, ..ONE_SLOT };
    let mut lives = Lives::new(rules, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(lives.listens(FIRST, 1, address(80), at(1)), []);
    assert_eq!(joined(&lives.says_ready(FIRST, at(2))), [(FIRST, 1, Seat(0))]);
    assert_eq!(lives.says_ready(FIRST, at(3)), [], "said again, it is nothing new");

    let mut lives = Lives::new(rules, at(0));
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
        [Effect::Spawn { id: THIRD, slot: Slot(1), generation: Generation(1), capture: false }],
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
    let mut lives = Lives::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.exited(FIRST, at(10));
    lives.exited(SECOND, at(10));
    let effects = tick(&mut lives, at(1000), undrained);
    let again = |id, slot| Effect::Spawn { id, slot: Slot(slot), generation: Generation(1), capture: true };
    assert_eq!(effects, [again(THIRD, 0), again(FOURTH, 1)]);
    assert_eq!(lives.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    let failure = Effect::Fail(Failure::Exited { id: FOURTH });
    assert_eq!(lives.exited(FOURTH, at(1020)), [Effect::Reap(FOURTH), failure, Effect::Down]);
}

#[test]
fn a_slot_where_nobody_ever_becomes_ready_is_given_up_and_the_others_serve_on() {
    let mut lives = Lives::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.listens(FIRST, 1, address(80), at(1));
    lives.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut lives, at(1000), undrained)), [THIRD]);
    assert_eq!(lives.exited(THIRD, at(1010)), [Effect::Reap(THIRD)]);
    assert_eq!(spawned(&tick(&mut lives, at(3000), undrained)), [FOURTH]);
    let effects = lives.exited(FOURTH, at(3010));
    assert_eq!(effects, [Effect::Reap(FOURTH), Effect::GiveUp { id: FOURTH, slot: Slot(1) }, Effect::Up]);
    assert!(lives.slots().any(|slot| slot == (Slot(1), Standing::Failed)));
    assert_eq!(tick(&mut lives, at(99_000), undrained), []);

    let (_, effects) = lives.command(Command::Restart { slot: Slot(1) }, at(100_000)).unwrap();
    assert_eq!(spawned(&effects), [WorkerId(5)]);
}

#[test]
fn one_failure_in_each_slot_does_not_end_it() {
    let mut lives = Lives::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    lives.exited(FIRST, at(10));
    lives.exited(SECOND, at(10));
    assert_eq!(spawned(&tick(&mut lives, at(1000), undrained)).len(), 2);
}

#[test]
fn a_worker_that_hangs_up_before_its_exit_is_counted_and_captured_like_any_other() {
    let mut lives = Lives::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    lives.speaks(FIRST);
    assert_eq!(lives.hangs_up(FIRST, at(5000)), [], "not ready, it has nothing to hand over");
    let effects = lives.exited(FIRST, at(5000));
    let again = Effect::Spawn { id: SECOND, slot: Slot(0), generation: Generation(1), capture: true };
    assert_eq!(effects, [Effect::Reap(FIRST), again]);
    lives.speaks(SECOND);
    lives.hangs_up(SECOND, at(5010));
    assert!(lives.exited(SECOND, at(5010)).contains(&Effect::Fail(Failure::Exited { id: SECOND })));
}

#[test]
fn not_ready_in_time_ends_a_fleet_of_which_nobody_is() {
    let mut lives = Lives::new(RULES, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(tick(&mut lives, at(29_999), undrained), []);
    let failure = Effect::Fail(Failure::NotReady { id: FIRST });
    let effects = tick(&mut lives, at(30_000), undrained);
    assert_eq!(effects, [failure, Effect::Terminate(FIRST), Effect::Terminate(SECOND)]);

    let mut lives = Lives::new(RULES, at(0));
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
    assert!(effects.ends_with(&[Effect::Leave { cookie: 1 }, Effect::TellToFinish(FIRST)]), "{effects:?}");
}

#[test]
fn what_cannot_be_spawned_ends_a_fleet_that_comes_up_and_no_other() {
    let mut lives = Lives::new(RULES, at(0));
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
fn whoever_asks_to_leave_goes_when_its_replacement_is_ready() {
    let mut lives = up(RULES);
    assert_eq!(spawned(&lives.asks_to_leave(FIRST, at(5000))), [THIRD]);
    assert_eq!(lives.asks_to_leave(FIRST, at(5001)), [], "asked again, it is the same wish");
    assert_eq!(lives.worker(FIRST).unwrap().state, State::Serving);

    let effects = lives.listens(THIRD, 3, address(80), at(5100));
    let join = Effect::Join { id: THIRD, cookie: 3, address: address(80), seat: Seat(2) };
    assert_eq!(effects, [join, Effect::Leave { cookie: 1 }, Effect::TellToFinish(FIRST)]);

    // It has closed its listener, and answers what it holds.
    assert_eq!(lives.closes(1), [Effect::Leave { cookie: 1 }, Effect::Forget { cookie: 1 }]);
    assert_eq!(tick(&mut lives, at(5200), |seat| seat != Seat(0)), []);
    assert_eq!(tick(&mut lives, at(6099), drained), [], "it may not have heard yet");
    assert_eq!(tick(&mut lives, at(6100), |seat| seat != Seat(0)), []);
    assert_eq!(tick(&mut lives, at(6300), drained), [Effect::Terminate(FIRST)]);
    assert_eq!(tick(&mut lives, at(16_299), undrained), []);
    assert_eq!(tick(&mut lives, at(16_300), undrained), [Effect::Kill(FIRST)]);
    assert_eq!(tick(&mut lives, at(99_000), undrained), [], "once is enough");
    assert_eq!(lives.exited(FIRST, at(99_000)), [Effect::Reap(FIRST)]);
    assert_eq!((lives.restarts(Slot(0)), lives.workers().count()), (1, 2));
}

#[test]
fn whoever_never_finishes_is_ended_at_the_deadline() {
    let mut lives = up(ONE_SLOT);
    lives.asks_to_leave(FIRST, at(5000));
    lives.listens(SECOND, 2, address(80), at(5100));
    assert_eq!(tick(&mut lives, at(10_099), undrained), []);
    let close = |ms, permille| {
        [Effect::CloseIdle { id: FIRST, scope: CloseScope { pause: Duration::from_millis(ms), permille } }]
    };
    assert_eq!(tick(&mut lives, at(10_100), undrained), close(1_200, 0), "from half of its time on");
    assert_eq!(tick(&mut lives, at(11_100), undrained), close(1_200, 266), "one by one");
    assert_eq!(tick(&mut lives, at(12_600), undrained), close(5, 666), "in the last quarter");
    assert_eq!(tick(&mut lives, at(13_850), undrained), close(0, 1_000), "in the last eighth");
    assert_eq!(tick(&mut lives, at(15_099), undrained), close(0, 1_000));
    assert_eq!(tick(&mut lives, at(15_100), undrained), [Effect::Terminate(FIRST)]);
}

#[test]
fn whoever_asks_to_leave_and_exits_before_is_replaced_once() {
    let mut lives = up(ONE_SLOT);
    // Too young: the replacement is due at 1 s, and its exit does not order another.
    assert_eq!(lives.asks_to_leave(FIRST, at(200)), []);
    assert_eq!(spawned(&lives.exited(FIRST, at(300))), []);
    assert_eq!(spawned(&tick(&mut lives, at(1000), undrained)), [SECOND]);
    assert_eq!(spawned(&tick(&mut lives, at(9000), undrained)), []);

    lives.listens(SECOND, 2, address(80), at(9000));
    assert_eq!(spawned(&lives.asks_to_leave(SECOND, at(60_000))), [THIRD]);
    assert_eq!(spawned(&lives.exited(SECOND, at(60_001))), []);
    assert_eq!(spawned(&tick(&mut lives, at(80_000), undrained)), []);
    assert_eq!(lives.restarts(Slot(0)), 2);
}

#[test]
fn a_wish_to_leave_before_readiness_is_granted_when_it_is_ready() {
    let mut lives = up(ONE_SLOT);
    assert_eq!(spawned(&lives.exited(FIRST, at(60_000))), [SECOND]);
    assert_eq!(lives.asks_to_leave(SECOND, at(60_010)), []);
    let effects = lives.listens(SECOND, 2, address(80), at(62_000));
    assert_eq!((joined(&effects).len(), spawned(&effects)), (1, vec![THIRD]));
    assert_eq!(lives.worker(SECOND).unwrap().state, State::Serving, "it serves until then");
}

#[test]
fn hanging_up_is_a_wish_to_leave_only_of_one_that_has_spoken() {
    let mut lives = up(RULES);
    assert_eq!(lives.hangs_up(FIRST, at(5000)), []);
    lives.speaks(SECOND);
    assert_eq!(spawned(&lives.hangs_up(SECOND, at(5000))), [THIRD]);
}

#[test]
fn stopping_lets_all_finish_then_terminates_and_then_kills() {
    let mut lives = up(RULES);
    let leave = |cookie, id| [Effect::Leave { cookie }, Effect::TellToFinish(id)];
    assert_eq!(lives.stop(at(1000)), [leave(1, FIRST), leave(2, SECOND)].concat());
    let effects = tick(&mut lives, at(1000), |seat| seat == Seat(0));
    assert_eq!(
        effects,
        [
            Effect::Terminate(FIRST),
            Effect::CloseIdle { id: SECOND, scope: CloseScope { pause: QUIET, permille: 1_000 } }
        ]
    );
    assert_eq!(lives.exited(FIRST, at(1100)).last(), Some(&Effect::Reap(FIRST)));
    assert_eq!(lives.asks_to_leave(SECOND, at(1200)), []);
    assert_eq!(tick(&mut lives, at(11_000), undrained), [Effect::Terminate(SECOND)]);
    assert_eq!(tick(&mut lives, at(21_000), undrained), [Effect::Kill(SECOND)]);
    assert_eq!(lives.exited(SECOND, at(21_001)).last(), Some(&Effect::Down));
    assert_eq!(lives.stop(at(21_002)), [], "it is down, and down once");
    assert_eq!(tick(&mut lives, at(99_000), drained), []);
}

#[test]
fn the_end_does_not_wait_for_clients_who_may_come_back() {
    let mut lives = up(RULES);
    lives.stop(at(0));
    let end = |lives: &mut Lives, ms, holds: Holding| lives.tick(at(ms), |_| holds.into(), drained);
    assert!(!end(&mut lives, 1, Holding::Streams).contains(&Effect::Terminate(FIRST)), "an answer may be on its way");
    assert!(end(&mut lives.clone(), 2, Holding::Idle).contains(&Effect::Terminate(FIRST)));
    assert!(!end(&mut lives, 9_999, Holding::Streams).contains(&Effect::Terminate(FIRST)), "as long as there is time");
    assert!(end(&mut lives, 10_000, Holding::Streams).contains(&Effect::Terminate(FIRST)));
}

/// What is seen of a worker that catches the signal to end.
fn own(holds: Holding, settled: bool) -> Sight {
    Sight { holds, settled, ends_itself: true, has_flows: false }
}

#[test]
fn one_with_its_own_shutdown_is_asked_early() {
    let mut lives = up(ONE_SLOT);
    lives.asks_to_leave(FIRST, at(5000));
    lives.listens(SECOND, 2, address(80), at(5100));
    let see = |lives: &mut Lives, ms, settled| lives.tick(at(ms), |_| own(Holding::Requests, settled), undrained);
    assert_eq!(see(&mut lives, 5150, false), [], "somebody is on the way to it");
    let mut unsettled = lives.clone();
    assert_eq!(see(&mut unsettled, 10_100, false), [Effect::Terminate(FIRST)], "not for ever");
    assert_eq!(see(&mut lives, 5200, true), [Effect::Terminate(FIRST)]);
    assert_eq!(see(&mut lives, 15_099, true), [], "its connections are left alone, and it is asked once");
    assert!(matches!(see(&mut lives, 15_100, true)[..], [Effect::CloseIdle { id: FIRST, .. }]), "it is late");
    assert_eq!(see(&mut lives, 25_100, true), [Effect::Kill(FIRST)]);
}

#[test]
fn the_end_asks_those_with_their_own_shutdown_too() {
    let mut lives = up(ONE_SLOT);
    lives.stop(at(1000));
    let see = |lives: &mut Lives, ms| lives.tick(at(ms), |_| own(Holding::Streams, true), undrained);
    assert_eq!(see(&mut lives, 1100), [Effect::Terminate(FIRST)]);
    assert_eq!(see(&mut lives, 2099), []);
    assert!(matches!(see(&mut lives, 2100)[..], [Effect::CloseIdle { id: FIRST, .. }]), "nobody can go elsewhere");
    assert_eq!(see(&mut lives, 21_000), [Effect::Kill(FIRST)]);
}

#[test]
fn idle_connections_are_left_alone_as_long_as_asked() {
    let mut lives = Lives { rules: Rules { drain_idle: Some(Duration::from_secs(1)), ..ONE_SLOT }, ..up(ONE_SLOT) };
    lives.asks_to_leave(FIRST, at(5000));
    lives.listens(SECOND, 2, address(80), at(5100));
    let closes = |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::CloseIdle { .. }));
    assert!(!closes(tick(&mut lives, at(6_099), undrained)));
    assert!(closes(tick(&mut lives.clone(), at(6_100), undrained)));
    lives.tick(at(6_099), |_| own(Holding::Requests, true), undrained);
    assert!(closes(tick(&mut lives, at(6_100), undrained)), "also by one that has been asked to end");
}

#[test]
fn stopping_twice_kills_at_once() {
    let mut lives = up(RULES);
    lives.stop(at(1000));
    assert_eq!(lives.stop(at(1001)), [], "two signals that come together are one");
    assert_eq!(lives.stop(at(1200)), [Effect::Kill(FIRST), Effect::Kill(SECOND)]);
}

#[test]
fn a_fleet_between_two_lives_goes_down_at_once() {
    let mut lives = up(ONE_SLOT);
    lives.exited(FIRST, at(2));
    assert_eq!(lives.stop(at(3)), [Effect::Down]);
    assert_eq!(tick(&mut lives, at(5000), drained), [], "nothing is started any more");
}

#[test]
fn two_ports_share_a_seat_and_two_listeners_on_one_address_do_not() {
    let mut lives = Lives::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    let seat_of = |effects: Vec<Effect>| joined(&effects)[0].2;
    assert_eq!(seat_of(lives.listens(FIRST, 1, address(80), at(1))), Seat(0));
    assert_eq!(seat_of(lives.listens(FIRST, 2, address(81), at(1))), Seat(0));
    assert_eq!(seat_of(lives.listens(FIRST, 3, address(80), at(1))), Seat(1));
    assert_eq!(lives.listens(FIRST, 3, address(80), at(1)), [], "one socket has one seat");
    // A listener that is opened anew finds the worker's own seat free again.
    lives.closes(1);
    assert!(!lives.worker(FIRST).unwrap().listeners.iter().any(|listener| listener.cookie == 1));
    assert_eq!(seat_of(lives.listens(FIRST, 4, address(80), at(2))), Seat(0));
    assert!(lives.worker(FIRST).unwrap().seats().eq([Seat(0), Seat(1)]));
}

#[test]
fn a_seat_takes_connections_only_while_it_has_a_listener() {
    let mut lives = up(ONE_SLOT);
    assert!(lives.worker(FIRST).unwrap().takes(Seat(0)));
    lives.closes(1);
    let worker = lives.worker(FIRST).unwrap();
    assert!(!worker.takes(Seat(0)));
    assert!(worker.seats().eq([Seat(0)]), "what it has accepted is still counted there");
}

#[test]
fn a_seat_is_not_handed_on_before_its_books_are_at_rest() {
    let mut lives = up(ONE_SLOT);
    lives.exited(FIRST, at(60_000));
    assert_eq!(joined(&lives.listens(SECOND, 2, address(80), at(60_001))), [(SECOND, 2, Seat(1))]);
    lives.exited(SECOND, at(120_000));
    tick(&mut lives, at(120_000), drained);
    tick(&mut lives, at(120_010), drained);
    assert_eq!(joined(&lives.listens(THIRD, 3, address(80), at(120_020))), [(THIRD, 3, Seat(0))]);
}

#[test]
fn a_listener_without_a_seat_gets_the_first_that_becomes_free() {
    let slots = u32::try_from(llb_common::abi::MAX_SEATS).unwrap();
    let mut lives = up(Rules { slots, ..RULES });
    let next = spawned(&lives.exited(FIRST, at(60_000)))[0];
    assert_eq!(joined(&lives.listens(next, 999, address(80), at(60_001))), []);
    assert_eq!(joined(&tick(&mut lives, at(60_010), drained)), []);
    assert_eq!(joined(&tick(&mut lives, at(60_020), drained)), [(next, 999, Seat(0))]);
}

#[test]
fn nobody_knows_a_stranger() {
    let mut lives = up(RULES);
    let stranger = WorkerId(77);
    lives.binds(stranger, address(80));
    lives.speaks(stranger);
    assert_eq!(lives.listens(stranger, 77, address(80), at(1)), []);
    assert_eq!(lives.says_ready(stranger, at(1)), []);
    assert_eq!(lives.asks_to_leave(stranger, at(1)), []);
    assert_eq!(lives.hangs_up(stranger, at(1)), []);
    assert_eq!(lives.exited(stranger, at(1)), []);
    assert_eq!(lives.spawn_failed(stranger, at(1)), []);
    assert_eq!(lives.closes(77), []);
}

#[test]
fn a_listener_that_cannot_be_joined_is_tried_again() {
    let mut lives = Lives::new(ONE_SLOT, at(0));
    tick(&mut lives, at(0), undrained);
    assert_eq!(joined(&lives.listens(FIRST, 1, address(80), at(1))), [(FIRST, 1, Seat(0))]);
    assert!(lives.join_failed(1, at(1)), "the first failure is told");
    assert!(lives.worker(FIRST).unwrap().waits_to_join());
    assert_eq!(tick(&mut lives, at(50), undrained), [], "not at once");
    assert_eq!(joined(&tick(&mut lives, at(101), undrained)), [(FIRST, 1, Seat(0))], "with the seat that it had");
    assert!(!lives.join_failed(1, at(101)));
    assert_eq!(tick(&mut lives, at(202), undrained), [], "each time after a longer while");
    assert_eq!(joined(&tick(&mut lives, at(301), undrained)), [(FIRST, 1, Seat(0))]);
    assert!(!lives.worker(FIRST).unwrap().waits_to_join());
    assert!(!lives.join_failed(7, at(302)), "one that has closed is not");
}
