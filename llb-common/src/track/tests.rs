extern crate std;
use super::{
    pace::{FAILURE_MAX_NS, FAILURE_MIN_NS},
    *,
};
use crate::{
    abi::Seat,
    books::{apply, take},
    select::{ROLL_MAX_NS, given, in_flight, outstanding},
};
use proptest::prelude::*;
use std::vec::Vec;

/// A seat with two requests in flight, which made progress then.
fn progress(progress_at: u64) -> Seat {
    Seat { progress_at, begun: 2, ..Seat::default() }
}

fn change(seat: &mut Seat, conn: &mut Conn, step: Option<Step>, now: u64) {
    let delta = take(conn, seat, step);
    apply(seat, &delta, 0, now);
}

/// A seat and its connections, each event a millisecond after the last.
#[derive(Default)]
struct Stage {
    seat: Seat,
    conns: Vec<Conn>,
    now: u64,
}

impl Stage {
    fn connect(&mut self) -> usize {
        self.conns.push(Conn::default());
        self.step(self.conns.len() - 1, |_, now| Some(established(now)));
        self.conns.len() - 1
    }

    fn ask(&mut self, conn: usize) {
        self.step(conn, bytes_in);
    }

    fn answer(&mut self, conn: usize) {
        self.step(conn, bytes_out);
    }

    fn step(&mut self, conn: usize, step: impl Fn(&Conn, u64) -> Option<Step>) {
        self.now += 1_000_000;
        let step = step(&self.conns[conn], self.now);
        change(&mut self.seat, &mut self.conns[conn], step, self.now);
    }

    /// Connects and asks.
    fn request(&mut self) -> usize {
        let conn = self.connect();
        self.ask(conn);
        conn
    }

    fn given(&self) -> u64 {
        given(&self.seat)
    }
}

#[test]
fn an_answer_parks_the_requests_before_its_connection() {
    let mut stage = Stage::default();
    let poll = stage.request();
    assert_eq!(stage.given(), 1);
    for _ in 0..3 {
        let quick = stage.request();
        stage.answer(quick);
        assert_eq!((stage.given(), in_flight(&stage.seat)), (0, 1));
    }
    let quick = stage.request();
    assert_eq!(stage.given(), 1);
    stage.answer(poll);
    assert_eq!(stage.given(), 1, "the end of a parked one says nothing of those that are not");
    stage.answer(quick);
    assert_eq!((stage.given(), in_flight(&stage.seat)), (0, 0));
}

#[test]
fn a_serial_worker_parks_nothing_whoever_sends_first() {
    let mut stage = Stage::default();
    let (first, second) = (stage.connect(), stage.connect());
    // The first to be accepted is slow to send.
    stage.ask(second);
    stage.ask(first);
    stage.answer(first);
    assert_eq!(stage.given(), 1);
    stage.answer(second);
    assert_eq!(stage.given(), 0);
}

#[test]
fn a_kept_connection_parks_what_came_before_its_last_answer() {
    let mut stage = Stage::default();
    let kept = stage.request();
    stage.answer(kept);
    let poll = stage.request();
    stage.ask(kept);
    stage.answer(kept);
    assert_eq!(stage.given(), 1, "a worker may read a kept connection before it accepts another");
    stage.ask(kept);
    stage.answer(kept);
    assert_eq!((stage.given(), in_flight(&stage.seat)), (0, 1));
    stage.answer(poll);
    assert_eq!(stage.given(), 0);
}

#[test]
fn a_client_that_gives_up_is_no_sign_of_life() {
    let mut stage = Stage::default();
    let (one, _other) = (stage.request(), stage.request());
    let progress_at = stage.seat.progress_at;
    stage.step(one, |conn, now| closing(conn, Closer::Client, now));
    assert_eq!((stage.given(), stage.seat.progress_at), (1, progress_at));
}

#[test]
fn a_moved_request_gives_no_sample() {
    let mut stage = Stage::default();
    let moved = stage.request();
    let pace = (stage.seat.service_ns, stage.seat.queued_ns);
    stage.conns[moved].born = u64::MAX;
    stage.answer(moved);
    assert_eq!((stage.seat.service_ns, stage.seat.queued_ns), pace);
    stage.ask(moved);
    stage.answer(moved);
    assert_ne!(stage.seat.service_ns, 0);
}

#[test]
fn a_request_and_its_answer() {
    let (mut conn, mut seat) = (Conn::default(), Seat { charged: 1, ..Seat::default() });
    change(&mut seat, &mut conn, Some(established(10)), 10);
    assert_eq!((in_flight(&seat), outstanding(&seat)), (0, 1));
    let step = bytes_in(&conn, 20);
    change(&mut seat, &mut conn, step, 20);
    assert_eq!((in_flight(&seat), outstanding(&seat)), (1, 0));
    let step = bytes_out(&conn, 30);
    assert_eq!(step.unwrap().delta.answered_since, 20);
    change(&mut seat, &mut conn, step, 30);
    assert_eq!(in_flight(&seat), 0);
    let step = closing(&conn, Closer::Worker, 40);
    change(&mut seat, &mut conn, step, 40);
    assert_eq!((seat.opened, seat.closed, seat.failed), (1, 1, 0));
}

#[test]
fn what_may_step_is_what_does() {
    for phase in 0..6 {
        let conn = Conn { phase, ..Conn::default() };
        assert_eq!(may_begin(&conn), bytes_in(&conn, 0).is_some());
        assert_eq!(may_answer(&conn), bytes_out(&conn, 0).is_some());
        assert_eq!(may_fail(&conn), reset_out(&conn, 0).is_some());
    }
}

#[test]
fn a_server_that_speaks_first_answers_at_once() {
    let conn = Conn { phase: FRESH, since: 5, ..Conn::default() };
    let step = bytes_out(&conn, 9).unwrap();
    assert_eq!((step.delta.begun, step.delta.ended, step.delta.settled, step.delta.answered_since), (1, 1, 1, 5));
}

#[test]
fn a_preconnection_is_no_request() {
    let conn = Conn { phase: FRESH, since: 5, ..Conn::default() };
    let step = closing(&conn, Closer::Client, 10 * ROLL_NS).unwrap();
    assert_eq!((step.delta.begun, step.delta.ended, step.delta.settled), (0, 0, 0));
}

#[test]
fn a_close_without_an_answer_is_a_failure_of_the_worker_only() {
    let busy = Conn { phase: BUSY, ..Conn::default() };
    for (closer, failed) in [(Closer::Worker, 1), (Closer::Client, 0), (Closer::Reset, 0)] {
        let delta = closing(&busy, closer, 2).unwrap().delta;
        assert_eq!((delta.ended, delta.failed), (1, failed));
    }
}

#[test]
fn a_reset_is_a_failure_of_the_worker_if_it_goes_out() {
    for (phase, failed) in [(BUSY, 1), (FRESH, 1), (IDLE, 0)] {
        let mut conn = Conn { phase, since: 1, ..Conn::default() };
        let step = closing(&conn, Closer::Reset, 2);
        assert_eq!(take(&mut conn, &Seat::default(), step).failed, 0);
        let step = reset_out(&conn, 3);
        assert_eq!(take(&mut conn, &Seat::default(), step).failed, failed);
        assert_eq!(reset_out(&conn, 4), None, "it is counted once");
    }
}

#[test]
fn who_does_not_wait_for_the_request_has_failed_and_who_has_waited_has_not() {
    let fresh = Conn { phase: FRESH, since: 5, ..Conn::default() };
    let failed = |closer, now| closing(&fresh, closer, now).unwrap().delta.failed;
    assert_eq!((failed(Closer::Worker, 6), failed(Closer::Worker, 5 + HASTY_NS)), (1, 0));
    assert_eq!(failed(Closer::Client, 6), 0);
}

#[test]
fn charges_are_forgotten_at_the_second_roll() {
    let mut seat = Seat { charged: 100_000, due_at: 2 * ROLL_NS, ..Seat::default() };
    assert!(is_due(&seat, 2 * ROLL_NS));
    seat = Seat { charged: 100_007, ..rolled(&seat, 2 * ROLL_NS) };
    assert_eq!((seat.settled, seat.mark), (0, 100_000));
    assert!(!is_due(&seat, 2 * ROLL_NS + 1));
    assert_eq!(outstanding(&rolled(&seat, 3 * ROLL_NS)), 7);
}

fn centre_of(samples: impl IntoIterator<Item = u64>) -> u64 {
    samples.into_iter().fold(0, |centre, sample| centre_after(centre, sample, FEW_SAMPLES))
}

#[test]
fn one_long_request_does_not_spoil_the_centre() {
    let centre = centre_of([5_000, 5_100, 200_000, 4_900, 5_000]);
    assert!((4_500..5_500).contains(&centre), "{centre}");
}

#[test]
fn between_two_halves_the_centre_stays() {
    // Pairs of a Thue-Morse sequence: no drift, and no rhythm.
    let samples = (0_u32..20_000).map(|turn| if turn.count_ones() % 2 == 0 { 100_000 } else { 5_000_000 });
    let centre = centre_of(samples);
    assert!((300_000..1_500_000).contains(&centre), "{centre}");
}

#[test]
fn a_worker_that_becomes_ten_times_slower_is_known_after_a_hundred_requests() {
    let centre = centre_of([5_000_000; 50].into_iter().chain([50_000_000; 100]));
    assert!((40_000_000..51_000_000).contains(&centre), "{centre}");
    assert_eq!(centre_of([1; 10]), 1);
}

#[test]
fn a_worker_that_fails_soon_costs_more_than_one_that_answers() {
    let failure = Delta { ended: 1, failed: 1, ..nothing() };
    let fails = |pace, times| (0..times).fold(pace, |pace, _| pace_after(pace, &progress(0), &failure, 50_000));
    let pace = fails(Pace { service_ns: 5_000_000, queued_ns: 5_000_000, ..Pace::default() }, 16);
    assert!(pace.service_ns > 100_000_000 && pace.queued_ns == 0, "{pace:?}");
    assert!(fails(pace, 100).service_ns < 2 * FAILURE_MAX_NS);
    assert!(fails(Pace::default(), 1).service_ns > FAILURE_MIN_NS);
}

#[test]
fn a_failure_now_and_then_is_mended_by_answers() {
    let failure = Delta { ended: 1, failed: 1, ..nothing() };
    let answer = Delta { ended: 1, answered: 1, answered_since: 0, ..nothing() };
    let mut pace = Pace { service_ns: 5_000_000, ..Pace::default() };
    for turn in 0..1_000 {
        pace = pace_after(pace, &progress(0), if turn % 10 == 0 { &failure } else { &answer }, 5_000_000);
    }
    assert!((4_000_000..8_000_000).contains(&pace.service_ns), "{pace:?}");
}

/// The pace after requests that began at `began`, were answered at `now`, and saw the last progress at `progress_at`.
fn pace_of(requests: impl IntoIterator<Item = (u64, u64, u64)>) -> Pace {
    requests.into_iter().fold(Pace::default(), |pace, (progress_at, began, now)| {
        // One that came after the last progress, and is no newcomer to an idle seat, has overtaken another.
        let number = u64::from(began > progress_at);
        let delta = Delta { ended: 1, answered: 1, answered_since: began, ticket: number, born: number, ..nothing() };
        pace_after(pace, &progress(progress_at), &delta, now)
    })
}

#[test]
fn a_request_that_waited_tells_what_one_more_costs_and_nothing_of_an_idle_seat() {
    let found_idle = [(1_000_000, 1_000_000, 2_000_000); 50];
    let waited = [(5_000_000, 1_000_000, 5_020_000); 400];
    let pace = pace_of(found_idle.into_iter().chain(waited));
    assert!((980_000..1_020_000).contains(&pace.service_ns) && pace.overtaking == 0, "{pace:?}");
    assert!((19_000..22_000).contains(&pace.queued_ns), "{pace:?}");
}

#[test]
fn only_a_request_that_found_it_idle_tells_what_an_idle_seat_costs() {
    let waited = (5_000_000, 1_000_000, 5_020_000);
    let unknown = pace_of([waited; 40]);
    assert_eq!((unknown.service_ns, unknown.samples), (0, 0), "{unknown:?}");
    assert_eq!(pace_of([waited, (6_000_000, 6_000_000, 8_000_000)]).service_ns, 2_000_000);
}

#[test]
fn a_parked_request_tells_nothing_of_a_seat_that_is_not_known() {
    let parked = Delta { ended: 1, answered: 1, answered_since: 1, ticket: 1, born: 1, ..nothing() };
    let before = Seat { alive: 2, ..progress(5) };
    let pace = pace_after(Pace::of(&before, 20_000_000), &before, &parked, 9);
    assert_eq!((pace.service_ns, pace.samples), (0, 0));
}

#[test]
fn whoever_was_overtaken_counts_as_well_as_whoever_overtook() {
    let before = Seat { begun: 9, alive: 5, service_ns: 2_000_000, ..progress(9_000_000) };
    let parked = Delta { ended: 1, answered: 1, answered_since: 1, ticket: 1, ..nothing() };
    let known = Pace { service_ns: 2_000_000, samples: FEW_SAMPLES, overtaking: OVERTAKING_ALWAYS, ..Pace::default() };
    let cost_after = |pace, delta, now| pace_after(pace, &before, delta, now).service_ns;
    assert!(cost_after(known, &parked, 20_000_000) > 2_000_000);
    assert_eq!(cost_after(known, &parked, 1_000_000_000), 2_000_000, "a long poll");
    assert_eq!(cost_after(Pace { overtaking: 0, ..known }, &parked, 20_000_000), 2_000_000, "it serves in turn");
    let moved = Delta { born: u64::MAX, ..parked };
    assert_eq!(cost_after(known, &moved, 20_000_000), 2_000_000, "it waited at another worker");
}

#[test]
fn an_answer_tells_beside_how_many_older_requests_it_came() {
    // Of five requests two have ended.
    let before = Seat { begun: 5, ended: 2, ..Seat::default() };
    let answer = |ticket| Delta { answered: 1, ended: 1, ticket, born: ticket, ..nothing() };
    assert_eq!(beside(&before, &answer(4)), 2);
    assert_eq!(beside(&before, &answer(2)), 0);
    assert_eq!(beside(&before, &Delta { born: u64::MAX, ..answer(4) }), 0, "it waited at another worker");
    assert_eq!(beside(&before, &Delta { errors: 1, ..answer(4) }), 0, "it may have been turned away");
    assert_eq!(beside(&before, &Delta { answered: 0, ..answer(4) }), 0);
}

#[test]
fn one_long_request_does_not_spoil_what_one_more_costs() {
    let waited = |ns: u64| (5_000_000, 1_000_000, 5_000_000 + ns);
    let pace = pace_of([waited(4_000_000); 100].into_iter().chain([waited(200_000_000)]));
    assert!((4_000_000..4_600_000).contains(&pace.queued_ns), "{pace:?}");
}

#[test]
fn whoever_overtakes_now_and_then_is_served_beside_others() {
    let (waited, overtook) = ((5_000_000, 4_000_000, 6_000_000), (1_000_000, 5_000_000, 6_000_000));
    let one_in = |every| pace_of((1..2_000).map(|turn| if turn % every == 0 { overtook } else { waited }));
    assert!(one_in(20).overtaking > CONCURRENT);
    assert_eq!(one_in(3_000).overtaking, 0);
    assert!(pace_of([overtook; 100].into_iter().chain([waited; 700])).overtaking < CONCURRENT);
    assert!(pace_of([overtook; 1_000]).overtaking <= OVERTAKING_ALWAYS);
}

#[test]
fn who_was_accepted_first_and_sends_last_overtakes_nobody() {
    let answer = Delta { ended: 1, answered: 1, answered_since: 5_000_000, ticket: 2, born: 1, ..nothing() };
    let pace = (0..100).fold(Pace::default(), |pace, _| pace_after(pace, &progress(1_000_000), &answer, 6_000_000));
    assert_eq!(pace.overtaking, 0);
}

#[test]
fn a_server_that_speaks_first_overtakes_nobody() {
    let speaks = Delta { begun: 1, ended: 1, answered: 1, answered_since: 5_000_000, ticket: 1, born: 1, ..nothing() };
    let pace = (0..100).fold(Pace::default(), |pace, _| pace_after(pace, &progress(1), &speaks, 6_000_000));
    assert!((980_000..1_020_000).contains(&pace.service_ns) && pace.overtaking == 0, "{pace:?}");
}

#[test]
fn a_forgotten_pace_starts_from_the_fleets() {
    let seat = Seat { queued_ns: 7, ..Seat::default() };
    assert_eq!(Pace::of(&seat, 5_000), Pace { service_ns: 5_000, ..Pace::default() });
    assert_eq!(
        Pace::of(&Seat { service_ns: 9, ..seat }, 5_000),
        Pace { service_ns: 9, queued_ns: 7, ..Pace::default() }
    );
}

#[test]
fn charges_live_as_long_as_handshakes_take() {
    let handshake = |sample| (0..500).fold(0, |centre, _| handshake_after(centre, sample));
    assert_eq!(roll_ns(0), ROLL_NS);
    assert_eq!(roll_ns(handshake(200)), ROLL_NS);
    assert!((70_000_000..90_000_000).contains(&roll_ns(handshake(80_000))));
    assert_eq!(roll_ns(handshake(u32::MAX)), ROLL_MAX_NS);
}

proptest! {
    #[test]
    fn the_centre_never_leaves_what_was_seen_by_more_than_an_eighth(
        samples in proptest::collection::vec(1u64..1 << 50, 1..200),
    ) {
        let (least, most) = (*samples.iter().min().unwrap(), *samples.iter().max().unwrap());
        let centre = centre_of(samples);
        prop_assert!(centre >= least - least / 8 && centre <= most + most / 8 + 1, "{centre}");
    }

    /// Any order of events on any number of connections, some of them moved, leaves the books at zero.
    #[test]
    fn the_books_balance(events in proptest::collection::vec((0usize..8, 0u8..6, 0usize..3), 0..400)) {
        let mut seats = [Seat::default(); 3];
        let mut conns: Vec<Option<Conn>> = Vec::from([None; 8]);
        let mut now = 1;
        for (index, event, target) in events {
            now += 1_000_000;
            let Some(mut conn) = conns[index] else {
                let mut conn = Conn { seat: target as u32, ..Conn::default() };
                seats[target].charged += 1;
                change(&mut seats[target], &mut conn, Some(established(now)), now);
                conns[index] = Some(conn);
                continue;
            };
            let seat = conn.seat as usize;
            let step = match event {
                0 | 1 => bytes_in(&conn, now),
                2 | 3 => bytes_out(&conn, now),
                4 => closing(&conn, [Closer::Worker, Closer::Client, Closer::Reset][target], now),
                _ => {
                    seats[target].charged += 1;
                    let (leaves, joins) = moved(&conn);
                    apply(&mut seats[seat], &leaves, 0, now);
                    let joins = numbered(&mut conn, joins, seats[target].begun);
                    apply(&mut seats[target], &joins, 0, now);
                    (conn.seat, conn.born) = (target as u32, u64::MAX);
                    None
                }
            };
            change(&mut seats[seat], &mut conn, step, now);
            conns[index] = if conn.phase >= Phase::Closed as u32 { None } else { Some(conn) };
            for seat in &seats {
                prop_assert!(seat.ended <= seat.begun && seat.closed <= seat.opened, "{seat:?}");
                prop_assert!(seat.alive <= seat.passed && seat.passed <= seat.begun, "{seat:?}");
            }
        }
        for conn in conns.iter_mut().flatten() {
            let step = closing(conn, Closer::Client, now);
            change(&mut seats[conn.seat as usize], conn, step, now);
        }
        for seat in &seats {
            prop_assert_eq!((seat.begun, seat.opened), (seat.ended, seat.closed));
        }
    }
}

#[test]
fn what_came_first_is_soon_outweighed() {
    let mut seat = Seat::default();
    let mut answers = |count, ms: u64| {
        for _ in 0..count {
            let delta = Delta { answered: 1, answered_since: 1, ticket: seat.alive, ..Delta::default() };
            apply(&mut seat, &delta, 0, 1 + ms * 1_000_000);
            seat.progress_at = 0;
        }
        (seat.service_ns / 1_000_000, seat.samples)
    };
    assert_eq!(answers(4, 3), (3, 4));
    let (soon, samples) = answers(16, 25);
    assert!(soon >= 20 && samples == 20, "{soon} ms");
    // Later it takes more to move it.
    assert!((24..26).contains(&answers(100, 25).0));
    let (later, samples) = answers(4, 600);
    assert!(later < 50 && samples == FEW_SAMPLES, "{later} ms");
}

#[test]
fn a_greeting_says_nothing_once_a_request_is_known() {
    let mut seat = Seat::default();
    let mut says = |greets: bool, ns: u64| {
        let begun = u64::from(greets);
        let delta = Delta { begun, ended: 1, answered: 1, answered_since: 1, ticket: seat.alive, ..Delta::default() };
        apply(&mut seat, &delta, 0, 1 + ns);
        seat.progress_at = 0;
        seat.service_ns
    };
    assert_eq!(says(true, 300_000), 300_000, "nothing else is known yet");
    assert_eq!(says(false, 25_000_000), 25_000_000);
    assert_eq!(says(true, 300_000), 25_000_000);
}
