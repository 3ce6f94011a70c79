//! Workers leave: by their own wish, at their deadline, and all of them at the end.

use super::*;

#[test]
fn whoever_asks_to_leave_goes_when_its_replacement_is_ready() {
    let mut lives = up(RULES);
    assert_eq!(spawned(&lives.asks_to_leave(FIRST, at(5000))), [THIRD]);
    assert_eq!(lives.asks_to_leave(FIRST, at(5001)), [], "asked again, it is the same wish");
    assert_eq!(lives.worker(FIRST).unwrap().state, State::Serving);

    let effects = lives.listens(THIRD, 3, address(80), at(5100));
    let join = Effect::Seat { id: THIRD, cookie: 3, address: address(80), seat: Seat(2) };
    assert_eq!(effects, [join, Effect::Withdraw { cookie: 1 }, Effect::TellToFinish(FIRST)]);

    // It has closed its listener, and answers what it holds.
    assert_eq!(lives.closes(1), [Effect::Withdraw { cookie: 1 }]);
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
    let leave = |cookie, id| [Effect::Withdraw { cookie }, Effect::TellToFinish(id)];
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
    let end = |lives: &mut Told, ms, holds: Holding| lives.tick(at(ms), |_| holds.into(), drained);
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
    let see = |lives: &mut Told, ms, settled| lives.tick(at(ms), |_| own(Holding::Requests, settled), undrained);
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
    let see = |lives: &mut Told, ms| lives.tick(at(ms), |_| own(Holding::Streams, true), undrained);
    assert_eq!(see(&mut lives, 1100), [Effect::Terminate(FIRST)]);
    assert_eq!(see(&mut lives, 2099), []);
    assert!(matches!(see(&mut lives, 2100)[..], [Effect::CloseIdle { id: FIRST, .. }]), "nobody can go elsewhere");
    assert_eq!(see(&mut lives, 21_000), [Effect::Kill(FIRST)]);
}

#[test]
fn idle_connections_are_left_alone_as_long_as_asked() {
    let mut lives = up(ONE_SLOT);
    lives.rules.drain_idle = Some(Duration::from_secs(1));
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
