//! Workers leave: by their own wish, at their deadline, and all of them at the end.

use super::*;

#[test]
fn whoever_asks_to_leave_goes_when_its_replacement_is_ready() {
    let mut supervisor = up(RULES);
    assert_eq!(spawned(&supervisor.asks_to_leave(FIRST, at(5000))), [THIRD]);
    assert_eq!(supervisor.asks_to_leave(FIRST, at(5001)), [], "asked again, it is the same wish");
    assert_eq!(supervisor.worker(FIRST).unwrap().state, State::Serving);

    let effects = supervisor.listens(THIRD, 3, address(80), at(5100));
    let join = Effect::Seat { id: THIRD, cookie: 3, address: address(80), seat: Seat(2) };
    assert_eq!(effects, [join, Effect::Withdraw { cookie: 1 }, Effect::TellToFinish(FIRST)]);

    // It has closed its listener, and answers what it holds.
    assert_eq!(supervisor.closes(1), [Effect::Withdraw { cookie: 1 }]);
    assert_eq!(tick(&mut supervisor, at(5200), |seat| seat != Seat(0)), []);
    assert_eq!(tick(&mut supervisor, at(6099), drained), [], "it may not have heard yet");
    assert_eq!(tick(&mut supervisor, at(6100), |seat| seat != Seat(0)), []);
    assert_eq!(tick(&mut supervisor, at(6300), drained), [Effect::Terminate(FIRST)]);
    assert_eq!(tick(&mut supervisor, at(16_299), undrained), []);
    assert_eq!(tick(&mut supervisor, at(16_300), undrained), [Effect::Kill(FIRST)]);
    assert_eq!(tick(&mut supervisor, at(99_000), undrained), [], "once is enough");
    assert_eq!(supervisor.exited(FIRST, at(99_000)), [Effect::Reap(FIRST)]);
    assert_eq!((supervisor.restarts(Slot(0)), supervisor.workers().count()), (1, 2));
}

#[test]
fn whoever_never_finishes_is_ended_at_the_deadline() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.asks_to_leave(FIRST, at(5000));
    supervisor.listens(SECOND, 2, address(80), at(5100));
    assert_eq!(tick(&mut supervisor, at(10_099), undrained), []);
    let close = |ms, permille| {
        [Effect::CloseIdle { id: FIRST, scope: CloseScope { pause: Duration::from_millis(ms), permille } }]
    };
    assert_eq!(tick(&mut supervisor, at(10_100), undrained), close(1_200, 0), "from half of its time on");
    assert_eq!(tick(&mut supervisor, at(11_100), undrained), close(1_200, 266), "one by one");
    assert_eq!(tick(&mut supervisor, at(12_600), undrained), close(5, 666), "in the last quarter");
    assert_eq!(tick(&mut supervisor, at(13_850), undrained), close(0, 1_000), "in the last eighth");
    assert_eq!(tick(&mut supervisor, at(15_099), undrained), close(0, 1_000));
    assert_eq!(tick(&mut supervisor, at(15_100), undrained), [Effect::Terminate(FIRST)]);
}

#[test]
fn whoever_asks_to_leave_and_exits_before_is_replaced_once() {
    let mut supervisor = up(ONE_SLOT);
    // Too young: the replacement is due at 1 s, and its exit does not order another.
    assert_eq!(supervisor.asks_to_leave(FIRST, at(200)), []);
    assert_eq!(spawned(&supervisor.exited(FIRST, at(300))), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(1000), undrained)), [SECOND]);
    assert_eq!(spawned(&tick(&mut supervisor, at(9000), undrained)), []);

    supervisor.listens(SECOND, 2, address(80), at(9000));
    assert_eq!(spawned(&supervisor.asks_to_leave(SECOND, at(60_000))), [THIRD]);
    assert_eq!(spawned(&supervisor.exited(SECOND, at(60_001))), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(80_000), undrained)), []);
    assert_eq!(supervisor.restarts(Slot(0)), 2);
}

#[test]
fn a_wish_to_leave_before_readiness_is_granted_when_it_is_ready() {
    let mut supervisor = up(ONE_SLOT);
    assert_eq!(spawned(&supervisor.exited(FIRST, at(60_000))), [SECOND]);
    assert_eq!(supervisor.asks_to_leave(SECOND, at(60_010)), []);
    let effects = supervisor.listens(SECOND, 2, address(80), at(62_000));
    assert_eq!((joined(&effects).len(), spawned(&effects)), (1, vec![THIRD]));
    assert_eq!(supervisor.worker(SECOND).unwrap().state, State::Serving, "it serves until then");
}

#[test]
fn hanging_up_is_a_wish_to_leave_only_of_one_that_has_spoken() {
    let mut supervisor = up(RULES);
    assert_eq!(supervisor.hangs_up(FIRST, at(5000)), []);
    supervisor.speaks(SECOND);
    assert_eq!(spawned(&supervisor.hangs_up(SECOND, at(5000))), [THIRD]);
}

#[test]
fn stopping_lets_all_finish_then_terminates_and_then_kills() {
    let mut supervisor = up(RULES);
    let leave = |cookie, id| [Effect::Withdraw { cookie }, Effect::TellToFinish(id)];
    assert_eq!(supervisor.stop(at(1000)), [leave(1, FIRST), leave(2, SECOND)].concat());
    let effects = tick(&mut supervisor, at(1000), |seat| seat == Seat(0));
    assert_eq!(
        effects,
        [
            Effect::Terminate(FIRST),
            Effect::CloseIdle { id: SECOND, scope: CloseScope { pause: QUIET, permille: 1_000 } }
        ]
    );
    assert_eq!(supervisor.exited(FIRST, at(1100)).last(), Some(&Effect::Reap(FIRST)));
    assert_eq!(supervisor.asks_to_leave(SECOND, at(1200)), []);
    assert_eq!(tick(&mut supervisor, at(11_000), undrained), [Effect::Terminate(SECOND)]);
    assert_eq!(tick(&mut supervisor, at(21_000), undrained), [Effect::Kill(SECOND)]);
    assert_eq!(supervisor.exited(SECOND, at(21_001)).last(), Some(&Effect::Down));
    assert_eq!(supervisor.stop(at(21_002)), [], "it is down, and down once");
    assert_eq!(tick(&mut supervisor, at(99_000), drained), []);
}

#[test]
fn the_end_does_not_wait_for_clients_who_may_come_back() {
    let mut supervisor = up(RULES);
    supervisor.stop(at(0));
    let end = |supervisor: &mut Told, ms, holds: Holding| supervisor.tick(at(ms), |_| holds.into(), drained);
    assert!(
        !end(&mut supervisor, 1, Holding::Streams).contains(&Effect::Terminate(FIRST)),
        "an answer may be on its way"
    );
    assert!(end(&mut supervisor.clone(), 2, Holding::Idle).contains(&Effect::Terminate(FIRST)));
    assert!(
        !end(&mut supervisor, 9_999, Holding::Streams).contains(&Effect::Terminate(FIRST)),
        "as long as there is time"
    );
    assert!(end(&mut supervisor, 10_000, Holding::Streams).contains(&Effect::Terminate(FIRST)));
}

/// What is seen of a worker that catches the signal to end.
fn own(holds: Holding, settled: bool) -> Sight {
    Sight { holds, settled, ends_itself: true, has_flows: false }
}

#[test]
fn one_with_its_own_shutdown_is_asked_early() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.asks_to_leave(FIRST, at(5000));
    supervisor.listens(SECOND, 2, address(80), at(5100));
    let see =
        |supervisor: &mut Told, ms, settled| supervisor.tick(at(ms), |_| own(Holding::Requests, settled), undrained);
    assert_eq!(see(&mut supervisor, 5150, false), [], "somebody is on the way to it");
    let mut unsettled = supervisor.clone();
    assert_eq!(see(&mut unsettled, 10_100, false), [Effect::Terminate(FIRST)], "not for ever");
    assert_eq!(see(&mut supervisor, 5200, true), [Effect::Terminate(FIRST)]);
    assert_eq!(see(&mut supervisor, 15_099, true), [], "its connections are left alone, and it is asked once");
    assert!(matches!(see(&mut supervisor, 15_100, true)[..], [Effect::CloseIdle { id: FIRST, .. }]), "it is late");
    assert_eq!(see(&mut supervisor, 25_100, true), [Effect::Kill(FIRST)]);
}

#[test]
fn the_end_asks_those_with_their_own_shutdown_too() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.stop(at(1000));
    let see = |supervisor: &mut Told, ms| supervisor.tick(at(ms), |_| own(Holding::Streams, true), undrained);
    assert_eq!(see(&mut supervisor, 1100), [Effect::Terminate(FIRST)]);
    assert_eq!(see(&mut supervisor, 2099), []);
    assert!(matches!(see(&mut supervisor, 2100)[..], [Effect::CloseIdle { id: FIRST, .. }]), "nobody can go elsewhere");
    assert_eq!(see(&mut supervisor, 21_000), [Effect::Kill(FIRST)]);
}

#[test]
fn idle_connections_are_left_alone_as_long_as_asked() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.rules.drain_idle = Some(Duration::from_secs(1));
    supervisor.asks_to_leave(FIRST, at(5000));
    supervisor.listens(SECOND, 2, address(80), at(5100));
    let closes = |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::CloseIdle { .. }));
    assert!(!closes(tick(&mut supervisor, at(6_099), undrained)));
    assert!(closes(tick(&mut supervisor.clone(), at(6_100), undrained)));
    supervisor.tick(at(6_099), |_| own(Holding::Requests, true), undrained);
    assert!(closes(tick(&mut supervisor, at(6_100), undrained)), "also by one that has been asked to end");
}

#[test]
fn stopping_twice_kills_at_once() {
    let mut supervisor = up(RULES);
    supervisor.stop(at(1000));
    assert_eq!(supervisor.stop(at(1001)), [], "two signals that come together are one");
    assert_eq!(supervisor.stop(at(1200)), [Effect::Kill(FIRST), Effect::Kill(SECOND)]);
}

#[test]
fn a_fleet_between_two_lives_goes_down_at_once() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.exited(FIRST, at(2));
    assert_eq!(supervisor.stop(at(3)), [Effect::Down]);
    assert_eq!(tick(&mut supervisor, at(5000), drained), [], "nothing is started any more");
}
