//! Workers that listen on several ports and accept on some, told event by event.

use super::*;

const RULES: Rules = Rules { ready_when: ReadyWhen::Accepting, ..super::RULES };

/// A worker that listens on 80 and 81, by ten and eleven times the cookie of its own number, and accepts on 80.
fn begins(supervisor: &mut Told, id: WorkerId, now: Instant) -> Vec<Effect> {
    supervisor.listens(id, id.0 * 10, address(80), now);
    supervisor.listens(id, id.0 * 10 + 1, address(81), now);
    supervisor.accepts(id, id.0 * 10, now)
}

/// The same fleet, of which both workers accept at both ports.
fn attending() -> Told {
    let mut supervisor = Told::new(RULES, at(0));
    for id in spawned(&tick(&mut supervisor, at(0), undrained)) {
        begins(&mut supervisor, id, at(1));
        supervisor.accepts(id, id.0 * 10 + 1, at(2));
    }
    assert!(supervisor.is_up());
    supervisor
}

/// The same, of which none ever accepts at the second.
fn neglecting() -> Told {
    let mut supervisor = Told::new(RULES, at(0));
    for id in spawned(&tick(&mut supervisor, at(0), undrained)) {
        begins(&mut supervisor, id, at(1));
        supervisor.queues(id, id.0 * 10 + 1, false, at(300));
    }
    tick(&mut supervisor, at(7_000), undrained);
    assert!(!supervisor.is_up(), "it may be loading its code");
    tick(&mut supervisor, at(7_502), undrained);
    assert!(supervisor.is_up(), "a quarter of the time to become ready");
    supervisor
}

#[test]
fn port_that_nobody_accepts_at_is_let_be_in_time() {
    let mut supervisor = neglecting();
    let notes = supervisor.take_notes();
    let cause = notes.iter().find(|note| note.kind == Kind::Ready).map(|note| note.cause.clone()).unwrap();
    assert!(cause.contains("for none at 127.0.0.1:81"), "{cause}");
    // The next ones need not wait: it is known of the program.
    supervisor.exited(FIRST, at(20_000));
    begins(&mut supervisor, THIRD, at(20_100));
    assert_eq!(joined(&supervisor.queues(THIRD, 31, false, at(20_400))).len(), 2);
}

#[test]
fn connections_that_wait_hold_readiness_up() {
    let mut supervisor = Told::new(ONE_SLOT, at(0));
    supervisor.rules.ready_when = ReadyWhen::Accepting;
    tick(&mut supervisor, at(0), undrained);
    begins(&mut supervisor, FIRST, at(1));
    assert_eq!(supervisor.queues(FIRST, 11, true, at(300)), []);
    assert_eq!(tick(&mut supervisor, at(20_000), undrained), [], "it would not answer them");
    assert_eq!(joined(&supervisor.queues(FIRST, 11, false, at(20_001))).len(), 2);
    // Of a listener that cannot be looked at nothing is known.
    let mut supervisor = Told::new(Rules { slots: 1, ..RULES }, at(0));
    tick(&mut supervisor, at(0), undrained);
    begins(&mut supervisor, FIRST, at(1));
    assert_eq!(joined(&tick(&mut supervisor, at(20_000), undrained)), []);
}

#[test]
fn where_elders_accept_the_new_ones_have_to() {
    let mut supervisor = attending();
    supervisor.command(Command::Reload(Style::AtOnce), at(50_000)).unwrap();
    for id in [THIRD, FOURTH] {
        begins(&mut supervisor, id, at(50_100));
        assert_eq!(supervisor.queues(id, id.0 * 10 + 1, false, at(50_400)), []);
    }
    assert_eq!(joined(&tick(&mut supervisor, at(79_999), undrained)), []);
    assert_eq!(supervisor.reloading(), Some(Generation(2)));
    tick(&mut supervisor, at(80_000), undrained);
    assert_eq!(
        (supervisor.reloading(), supervisor.generation()),
        (None, Generation(1)),
        "rolled back when its time is over"
    );
}

#[test]
fn the_next_master_knows_where_nobody_accepts() {
    let before = neglecting();
    let mut supervisor = Told::new(RULES, at(30_000));
    supervisor.adopt(adopted::left(&before), |_| false, at(30_000));
    supervisor.command(Command::Reload(Style::AtOnce), at(30_001)).unwrap();
    for id in [THIRD, FOURTH] {
        begins(&mut supervisor, id, at(30_100));
        assert_eq!(joined(&supervisor.queues(id, id.0 * 10 + 1, false, at(30_400))).len(), 2);
    }
    assert_eq!(supervisor.generation(), Generation(2));
    // One that accepts there after all has to from then on.
    supervisor.accepts(THIRD, 31, at(31_000));
    supervisor.exited(FOURTH, at(32_000));
    let fifth = WorkerId(5);
    begins(&mut supervisor, fifth, at(32_100));
    assert_eq!(joined(&supervisor.queues(fifth, 51, false, at(32_400))), []);
}

#[test]
fn one_that_is_asked_is_ready_when_it_has_answered() {
    for ready_when in [ReadyWhen::Accepting, ReadyWhen::Listening, ReadyWhen::Started] {
        let mut supervisor = Told::new(Rules { slots: 1, ready_when, ready_check: true, ..RULES }, at(0));
        tick(&mut supervisor, at(0), undrained);
        assert_eq!(tick(&mut supervisor, at(1), undrained), [], "it is asked where it listens");
        let mut effects = supervisor.listens(FIRST, 1, address(80), at(2));
        effects.extend(supervisor.accepts(FIRST, 1, at(3)));
        effects.extend(tick(&mut supervisor, at(4), undrained));
        assert_eq!(effects.iter().filter(|effect| **effect == Effect::Check(FIRST)).count(), 1, "{effects:?}");
        assert!(joined(&effects).is_empty() && !supervisor.is_up());
        let mut late = supervisor.clone();
        assert_eq!(joined(&supervisor.answers(FIRST, "/ with 200", at(500))), [(FIRST, 1, Seat(0))]);
        assert!(
            supervisor.take_notes().iter().any(|note| note.kind == Kind::Ready && note.cause.ends_with("/ with 200"))
        );
        let effects = tick(&mut late, at(30_000), undrained);
        assert!(effects.contains(&Effect::Fail(Failure::NotReady { id: FIRST })), "{effects:?}");
    }
}
