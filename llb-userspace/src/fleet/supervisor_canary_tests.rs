//! New code on trial, told event by event.

use super::*;
use crate::fleet::command::{Granted, Refusal};

const FOUR: Rules = Rules { slots: 4, ..RULES };
const FIFTH: WorkerId = WorkerId(5);
const MINUTE: Canary = Canary { slots: 1, watch: Duration::from_secs(60) };

/// A fleet of four whose first slot has new code that serves, since 5.1 s.
fn on_trial(style: Style) -> Told {
    let mut supervisor = up(FOUR);
    let (granted, effects) = supervisor.command(Command::Try(style, MINUTE), at(5_000)).unwrap();
    assert_eq!((granted, spawned(&effects)), (Granted::Reloading(Generation(2)), vec![FIFTH]));
    assert_eq!(supervisor.watched(), None, "it does not serve yet");
    supervisor.listens(FIFTH, 5, address(80), at(5_100));
    assert_eq!(supervisor.watched(), Some((Generation(2), at(5_100), at(65_100))));
    assert!(supervisor.take_notes().iter().any(|note| note.kind == Kind::Canary && note.cause.contains("1m")));
    assert_eq!(spawned(&tick(&mut supervisor, at(200_000), drained)), [], "the others wait for the verdict");
    supervisor
}

fn told_to_finish(effects: &[Effect]) -> Vec<WorkerId> {
    let told = |effect: &Effect| if let Effect::TellToFinish(id) = effect { Some(*id) } else { None };
    effects.iter().filter_map(told).collect()
}

#[test]
fn new_code_that_passes_comes_to_all() {
    let mut supervisor = on_trial(Style::AtOnce);
    let new = spawned(&supervisor.canary_passes("as good", at(65_100)));
    assert_eq!(new.len(), 3);
    let mut effects = Vec::new();
    for id in new {
        effects = supervisor.listens(id, id.0, address(80), at(65_200));
    }
    assert_eq!(told_to_finish(&effects), [FIRST, SECOND, THIRD, FOURTH]);
    assert_eq!((supervisor.generation(), supervisor.reloading(), supervisor.watched()), (Generation(2), None, None));
    let mut supervisor = on_trial(Style::Rolling { max_surge: 1 });
    let effects = supervisor.canary_passes("as good", at(65_100));
    assert_eq!(told_to_finish(&effects), [FIRST], "slot by slot from here on");
}

#[test]
fn new_code_that_fails_goes_and_nobody_else_does() {
    for style in [Style::AtOnce, Style::Rolling { max_surge: 1 }, Style::Rolling { max_surge: 0 }] {
        let mut supervisor = on_trial(style);
        let effects = supervisor.canary_fails("fails clearly more often", at(9_000));
        assert_eq!(told_to_finish(&effects), [FIFTH]);
        let notes = supervisor.take_notes();
        let cause = notes.iter().find(|note| note.kind == Kind::RolledBack).map(|note| note.cause.as_str());
        assert_eq!(cause, Some("the new code fails clearly more often"));
        assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(1), None));
        assert_eq!(supervisor.canary_passes("too late", at(9_001)), []);
        assert_eq!(supervisor.canary_fails("too late", at(9_001)), []);
    }
}

#[test]
fn new_code_that_exits_on_trial_is_rolled_back() {
    let mut supervisor = on_trial(Style::AtOnce);
    assert_eq!(spawned(&supervisor.exited(FIFTH, at(9_000))), []);
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(1), None));
    let mut supervisor = on_trial(Style::AtOnce);
    supervisor.ends_well(FIFTH, true, at(9_000));
    assert_eq!(spawned(&supervisor.exited(FIFTH, at(9_000))).len(), 1, "one that ends by design is replaced");
    assert_eq!(supervisor.reloading(), Some(Generation(2)));
}

#[test]
fn some_slots_have_to_keep_the_old_code() {
    let mut supervisor = up(FOUR);
    for slots in [0, 4, 9] {
        let tried = supervisor.command(Command::Try(Style::AtOnce, Canary { slots, ..MINUTE }), at(5_000));
        assert_eq!(tried.unwrap_err(), Refusal::BadCanary { most: 3 });
    }
}
