//! Seats: who gets one, and when it is free again.

use super::*;

#[test]
fn two_ports_share_a_seat_and_two_listeners_on_one_address_do_not() {
    let mut supervisor = Told::new(ONE_SLOT, at(0));
    tick(&mut supervisor, at(0), undrained);
    let seat_of = |effects: Vec<Effect>| joined(&effects)[0].2;
    assert_eq!(seat_of(supervisor.listens(FIRST, 1, address(80), at(1))), Seat(0));
    assert_eq!(seat_of(supervisor.listens(FIRST, 2, address(81), at(1))), Seat(0));
    assert_eq!(seat_of(supervisor.listens(FIRST, 3, address(80), at(1))), Seat(1));
    assert_eq!(supervisor.listens(FIRST, 3, address(80), at(1)), [], "one socket has one seat");
    // A listener that is opened anew finds the worker's own seat free again.
    supervisor.closes(1);
    assert!(!supervisor.worker(FIRST).unwrap().listeners.iter().any(|listener| listener.cookie == 1));
    assert_eq!(seat_of(supervisor.listens(FIRST, 4, address(80), at(2))), Seat(0));
    assert!(supervisor.worker(FIRST).unwrap().seats().eq([Seat(0), Seat(1)]));
}

#[test]
fn a_seat_takes_connections_only_while_it_has_a_listener() {
    let mut supervisor = up(ONE_SLOT);
    assert!(supervisor.worker(FIRST).unwrap().takes(Seat(0)));
    supervisor.closes(1);
    let worker = supervisor.worker(FIRST).unwrap();
    assert!(!worker.takes(Seat(0)));
    assert!(worker.seats().eq([Seat(0)]), "what it has accepted is still counted there");
}

#[test]
fn a_seat_is_not_handed_on_before_its_books_are_at_rest() {
    let mut supervisor = up(ONE_SLOT);
    supervisor.exited(FIRST, at(60_000));
    assert_eq!(joined(&supervisor.listens(SECOND, 2, address(80), at(60_001))), [(SECOND, 2, Seat(1))]);
    supervisor.exited(SECOND, at(120_000));
    tick(&mut supervisor, at(120_000), drained);
    tick(&mut supervisor, at(120_010), drained);
    assert_eq!(joined(&supervisor.listens(THIRD, 3, address(80), at(120_020))), [(THIRD, 3, Seat(0))]);
}

#[test]
fn a_listener_without_a_seat_gets_the_first_that_becomes_free() {
    let slots = u32::try_from(llb_common::abi::MAX_SEATS).unwrap();
    let mut supervisor = up(Rules { slots, ..RULES });
    let next = spawned(&supervisor.exited(FIRST, at(60_000)))[0];
    assert_eq!(joined(&supervisor.listens(next, 999, address(80), at(60_001))), []);
    assert_eq!(joined(&tick(&mut supervisor, at(60_010), drained)), []);
    assert_eq!(joined(&tick(&mut supervisor, at(60_020), drained)), [(next, 999, Seat(0))]);
}
