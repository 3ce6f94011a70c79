//! What an operator wants, told event by event.

use llb_common::abi::MAX_SEATS;

use super::*;
use crate::fleet::command::{Granted, Refusal};

const AT_ONCE: Command = Command::Reload(Style::AtOnce);
const ROLLING: Command = Command::Reload(Style::Rolling { max_surge: 1 });

fn granted(supervisor: &mut Told, command: Command, now: Instant) -> Vec<Effect> {
    supervisor.command(command, now).unwrap().1
}

fn told_to_finish(effects: &[Effect]) -> Vec<WorkerId> {
    let told = |effect: &Effect| if let Effect::TellToFinish(id) = effect { Some(*id) } else { None };
    effects.iter().filter_map(told).collect()
}

/// Each of these workers listens by the cookie of its own number.
fn listen(supervisor: &mut Told, ids: &[WorkerId], now: Instant) -> Vec<Effect> {
    ids.iter().flat_map(|id| supervisor.listens(*id, id.0, address(80), now)).collect()
}

fn kinds(supervisor: &mut Told) -> Vec<Kind> {
    supervisor.take_notes().iter().map(|note| note.kind).collect()
}

#[test]
fn a_reload_starts_all_at_once_and_the_old_ones_go_when_all_are_ready() {
    let mut supervisor = up(RULES);
    let (reply, effects) = supervisor.command(AT_ONCE, at(5000)).unwrap();
    assert_eq!((reply, spawned(&effects)), (Granted::Reloading(Generation(2)), vec![THIRD, FOURTH]));
    assert!(supervisor.worker(THIRD).is_some_and(|worker| worker.generation == Generation(2)));
    let effects = listen(&mut supervisor, &[THIRD], at(5100));
    assert_eq!(
        (joined(&effects).len(), told_to_finish(&effects)),
        (1, vec![]),
        "it joins at once, and the old ones stay"
    );
    kinds(&mut supervisor);
    let effects = listen(&mut supervisor, &[FOURTH], at(5200));
    assert_eq!(told_to_finish(&effects), [FIRST, SECOND]);
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(2), None));
    assert_eq!(
        kinds(&mut supervisor),
        [Kind::Listening, Kind::Ready, Kind::Draining, Kind::Draining, Kind::Reloaded],
        "told in order"
    );
    // The old ones end; nobody comes in their place.
    tick(&mut supervisor, at(6200), drained);
    for id in [FIRST, SECOND] {
        assert_eq!(spawned(&supervisor.exited(id, at(6300))), []);
    }
    assert_eq!(spawned(&tick(&mut supervisor, at(99_000), drained)), []);
}

#[test]
fn new_code_that_exits_is_rolled_back_and_the_old_ones_never_stop_serving() {
    let mut supervisor = up(RULES);
    granted(&mut supervisor, AT_ONCE, at(5000));
    listen(&mut supervisor, &[THIRD], at(5001));
    assert_eq!(spawned(&supervisor.exited(FOURTH, at(5010))), []);
    let fifth = spawned(&tick(&mut supervisor, at(6000), undrained));
    assert_eq!(fifth, [WorkerId(5)], "it is tried twice, a respawn time apart");
    let effects = supervisor.exited(fifth[0], at(6010));
    assert_eq!(told_to_finish(&effects), [THIRD], "the new one that was ready goes too");
    assert!(kinds(&mut supervisor).contains(&Kind::RolledBack));
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(1), None));
    for id in [FIRST, SECOND] {
        assert_eq!(supervisor.worker(id).unwrap().state, State::Serving);
    }
    assert_eq!(spawned(&tick(&mut supervisor, at(99_000), undrained)), []);
    assert_eq!(
        supervisor.command(AT_ONCE, at(100_000)).unwrap().0,
        Granted::Reloading(Generation(3)),
        "no number twice"
    );
}

#[test]
fn new_code_that_hangs_is_rolled_back_when_its_time_is_over() {
    let mut supervisor = up(ONE_SLOT);
    granted(&mut supervisor, AT_ONCE, at(5000));
    assert_eq!(tick(&mut supervisor, at(35_000), undrained), [Effect::Terminate(SECOND)]);
    assert_eq!(supervisor.worker(FIRST).unwrap().state, State::Serving);
    assert_eq!(spawned(&supervisor.exited(SECOND, at(35_100))), []);
}

#[test]
fn an_old_worker_that_dies_during_a_reload_is_made_good_by_the_new_one() {
    let mut supervisor = up(ONE_SLOT);
    granted(&mut supervisor, AT_ONCE, at(5000));
    assert_eq!(spawned(&supervisor.exited(FIRST, at(5001))), []);
    listen(&mut supervisor, &[SECOND], at(5100));
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(2), None));
}

#[test]
fn a_rolled_back_slot_whose_old_worker_has_died_is_filled() {
    let mut supervisor = up(ONE_SLOT);
    granted(&mut supervisor, AT_ONCE, at(5000));
    supervisor.exited(FIRST, at(5001));
    tick(&mut supervisor, at(35_000), undrained);
    supervisor.exited(SECOND, at(35_100));
    assert_eq!(spawned(&tick(&mut supervisor, at(60_000), undrained)), [THIRD]);
}

#[test]
fn rolling_goes_slot_by_slot_within_the_surge() {
    let mut supervisor = up(RULES);
    assert_eq!(spawned(&granted(&mut supervisor, ROLLING, at(5000))), [THIRD]);
    let effects = listen(&mut supervisor, &[THIRD], at(5100));
    assert_eq!((told_to_finish(&effects), spawned(&effects)), (vec![FIRST], vec![]), "the old one still ends");
    tick(&mut supervisor, at(6100), drained);
    assert_eq!(spawned(&supervisor.exited(FIRST, at(6200))), [FOURTH]);
    assert_eq!(told_to_finish(&listen(&mut supervisor, &[FOURTH], at(6300))), [SECOND]);
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(2), None));
}

#[test]
fn without_a_surge_the_old_one_ends_first() {
    let mut supervisor = up(RULES);
    let effects = granted(&mut supervisor, Command::Reload(Style::Rolling { max_surge: 0 }), at(5000));
    assert_eq!((told_to_finish(&effects), spawned(&effects)), (vec![FIRST], vec![]));
    tick(&mut supervisor, at(6100), drained);
    assert_eq!(spawned(&supervisor.exited(FIRST, at(6200))), [THIRD]);
    let effects = listen(&mut supervisor, &[THIRD], at(6300));
    assert_eq!((told_to_finish(&effects), spawned(&effects)), (vec![SECOND], vec![]), "one after the other");
    tick(&mut supervisor, at(7400), drained);
    assert_eq!(spawned(&supervisor.exited(SECOND, at(7500))), [FOURTH]);
    listen(&mut supervisor, &[FOURTH], at(7600));
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(2), None));
}

#[test]
fn a_hung_worker_makes_way_for_a_replacement_that_cannot_start_beside_it() {
    for (hangs, retired) in [(true, vec![FIRST]), (false, vec![])] {
        let mut supervisor = up(ONE_SLOT);
        let effects = match hangs {
            true => supervisor.replace_hung(FIRST, "hung", at(5000)),
            false => supervisor.replace(FIRST, "asked for", true, at(5000)),
        };
        assert_eq!(spawned(&effects), [SECOND]);
        assert_eq!(told_to_finish(&supervisor.exited(SECOND, at(5010))), [], "once may be chance");
        assert_eq!(spawned(&tick(&mut supervisor, at(9000), undrained)), [THIRD]);
        assert_eq!(told_to_finish(&supervisor.exited(THIRD, at(9010))), retired);
    }
}

#[test]
fn a_second_reload_waits_for_the_first_and_two_are_one() {
    let mut supervisor = up(ONE_SLOT);
    granted(&mut supervisor, AT_ONCE, at(5000));
    let reload = |supervisor: &mut Told| supervisor.command(AT_ONCE, at(5001)).unwrap();
    assert_eq!(reload(&mut supervisor), (Granted::Queued(Generation(3)), vec![]));
    assert_eq!(reload(&mut supervisor), (Granted::Queued(Generation(3)), vec![]));
    assert_eq!(spawned(&listen(&mut supervisor, &[SECOND], at(5100))), [THIRD]);
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(2), Some(Generation(3))));
    listen(&mut supervisor, &[THIRD], at(5200));
    assert_eq!((supervisor.generation(), supervisor.reloading()), (Generation(3), None));
}

#[test]
fn a_reload_for_which_there_is_no_room_yet_is_refused() {
    let slots = u32::try_from(MAX_SEATS).unwrap() / 2;
    let mut supervisor = up(Rules { slots, ..RULES });
    granted(&mut supervisor, Command::Scale { workers: slots + 2 }, at(5000));
    listen(&mut supervisor, &[WorkerId(u64::from(slots) + 1), WorkerId(u64::from(slots) + 2)], at(5000));
    granted(&mut supervisor, Command::Scale { workers: slots }, at(5000));
    let refused = supervisor.command(AT_ONCE, at(5000)).unwrap_err();
    assert_eq!(refused, Refusal::NoSeats { free: slots as usize - 2, needed: slots as usize });
    let rolling = Command::Reload(Style::Rolling { max_surge: 3 });
    assert_eq!(spawned(&granted(&mut supervisor, rolling, at(5000))).len(), 1, "beside the two that still drain");
}

#[test]
fn more_workers_than_half_the_seats_are_reloaded_in_batches() {
    for slots in [129, 256] {
        let mut supervisor = up(Rules { slots, ..RULES });
        let mut now = 5000;
        let mut fresh = spawned(&granted(&mut supervisor, AT_ONCE, at(now)));
        while supervisor.reloading().is_some() {
            assert!(!fresh.is_empty(), "of {slots} none comes any more");
            assert!(supervisor.workers().count() <= MAX_SEATS.max(slots as usize + 16), "{slots}");
            now += 10;
            let ready = listen(&mut supervisor, &fresh, at(now));
            let mut next = spawned(&ready);
            for id in told_to_finish(&ready) {
                next.extend(spawned(&supervisor.exited(id, at(now))));
            }
            // The seats of those that are gone come to rest, and the new ones sit down.
            tick(&mut supervisor, at(now + 1), drained);
            next.extend(spawned(&tick(&mut supervisor, at(now + 2), drained)));
            fresh = next;
        }
        assert_eq!(supervisor.generation(), Generation(2));
        let serving = supervisor.workers().filter(|worker| worker.generation == Generation(2));
        assert_eq!(serving.filter(|worker| worker.seats().count() == 1).count(), slots as usize);
    }
}

#[test]
fn scaling_starts_more_and_lets_the_last_ones_finish() {
    let mut supervisor = up(RULES);
    assert_eq!(spawned(&granted(&mut supervisor, Command::Scale { workers: 4 }, at(5000))), [THIRD, FOURTH]);
    listen(&mut supervisor, &[THIRD, FOURTH], at(5100));
    let effects = granted(&mut supervisor, Command::Scale { workers: 1 }, at(6000));
    assert_eq!(told_to_finish(&effects), [SECOND, THIRD, FOURTH]);
    for id in [SECOND, THIRD, FOURTH] {
        assert_eq!(spawned(&supervisor.exited(id, at(7000))), []);
    }
    assert_eq!(supervisor.slots().collect::<Vec<_>>(), [(Slot(0), SlotState::Filled)]);
    assert_eq!(supervisor.command(Command::Scale { workers: 0 }, at(8000)), Err(Refusal::BadCount));
    assert_eq!(supervisor.command(Command::Scale { workers: 257 }, at(8000)), Err(Refusal::BadCount));
}

#[test]
fn a_drained_slot_stays_empty_until_it_is_restarted() {
    let mut supervisor = up(RULES);
    let drain = |slot| Command::Drain { slot: Slot(slot) };
    assert_eq!(told_to_finish(&granted(&mut supervisor, drain(1), at(5000))), [SECOND]);
    assert_eq!(supervisor.command(drain(0), at(5000)), Err(Refusal::LastOne));
    assert_eq!(supervisor.command(drain(2), at(5000)), Err(Refusal::NoSuchSlot { slot: Slot(2), slots: 2 }));
    assert_eq!(spawned(&supervisor.exited(SECOND, at(6000))), []);
    assert_eq!(spawned(&tick(&mut supervisor, at(60_000), drained)), []);
    assert!(supervisor.slots().any(|slot| slot == (Slot(1), SlotState::Drained)));
    let restart = Command::Restart { slot: Slot(1) };
    assert_eq!(spawned(&granted(&mut supervisor, restart, at(60_000))), [THIRD]);
}

#[test]
fn a_slot_is_told_to_be_empty_when_its_last_worker_is_gone_and_nobody_is_to_come() {
    let emptied = |supervisor: &mut Told| -> Vec<u32> {
        let notes = supervisor.take_notes();
        notes.iter().filter(|note| note.kind == Kind::Emptied).filter_map(|note| note.slot).map(|slot| slot.0).collect()
    };
    let mut supervisor = up(RULES);
    let drain = Command::Drain { slot: Slot(1) };
    granted(&mut supervisor, AT_ONCE, at(5000));
    listen(&mut supervisor, &[THIRD, FOURTH], at(5100));
    // The old one and the new one of the slot are both on their way out.
    granted(&mut supervisor, drain, at(5200));
    supervisor.exited(FIRST, at(5300));
    supervisor.exited(SECOND, at(5300));
    assert_eq!(emptied(&mut supervisor), [0; 0]);
    supervisor.exited(FOURTH, at(5400));
    assert_eq!(emptied(&mut supervisor), [1]);
    granted(&mut supervisor, drain, at(5500));
    assert_eq!(emptied(&mut supervisor), [1], "it is so already");
    granted(&mut supervisor, Command::Scale { workers: 3 }, at(6000));
    granted(&mut supervisor, Command::Scale { workers: 1 }, at(6100));
    assert_eq!(emptied(&mut supervisor), [1], "slot 2 has one that starts");
    supervisor.exited(WorkerId(5), at(6200));
    assert_eq!(emptied(&mut supervisor), [2]);
}

#[test]
fn a_restart_replaces_first_and_at_once() {
    let mut supervisor = up(ONE_SLOT);
    let restart = Command::Restart { slot: Slot(0) };
    assert_eq!(spawned(&granted(&mut supervisor, restart, at(10))), [SECOND], "an operator need not wait for the pace");
    assert_eq!(supervisor.worker(FIRST).unwrap().state, State::Serving);
    assert_eq!(told_to_finish(&listen(&mut supervisor, &[SECOND], at(20))), [FIRST]);
    granted(&mut supervisor, restart, at(30));
    assert_eq!(
        granted(&mut supervisor, restart, at(31))[0],
        Effect::Terminate(FOURTH.min(THIRD)),
        "one that starts is ended"
    );
}

#[test]
fn before_it_serves_and_while_it_ends_a_fleet_takes_no_wish_but_one() {
    let mut supervisor = Told::new(RULES, at(0));
    assert_eq!(supervisor.command(AT_ONCE, at(1)), Err(Refusal::ComingUp));
    assert!(supervisor.command(Command::Stop, at(1)).is_ok());
    assert_eq!(supervisor.command(AT_ONCE, at(1)), Err(Refusal::Ending));
}
