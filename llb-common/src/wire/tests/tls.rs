//! TLS, of which records are read, and not what is in them.

use super::*;

#[test]
fn a_greeting_and_then_tls() {
    let mut talk = Talk::new();
    talk.server("220 hi\r\n");
    talk.client("STARTTLS\r\n");
    talk.server("220 go\r\n");
    talk.assert(0, 2, 0, 0);
    talk.client(record(22, 300));
    talk.server(records(&[(22, 100), (20, 1), (22, 40)]));
    talk.assert(1, 2, 0, 0);
    talk.client(records(&[(20, 1), (22, 40)]));
    talk.assert(0, 2, 0, 0);
}

#[test]
fn tls_1_2() {
    let mut talk = Talk::new();
    talk.client(record(22, 300));
    talk.server(records(&[(22, 90), (22, 900), (22, 4)]));
    talk.client(records(&[(22, 70), (20, 1), (22, 40)]));
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(22, 200), (20, 1), (22, 40)]));
    talk.assert(0, 0, 0, 0);
    for answered in 1..4 {
        talk.client(record(23, 90));
        talk.assert(1, answered - 1, 0, 0);
        talk.server(record(23, 290));
        talk.server(record(23, 1290));
        talk.assert(0, answered, 0, 0);
    }
    talk.client(record(21, 26));
    talk.close(Closer::Worker);
    talk.assert(0, 3, 0, 0);
}

#[test]
fn tls_1_2_that_resumes_a_session() {
    let mut talk = Talk::new();
    talk.client(record(22, 300));
    talk.server(records(&[(22, 90), (20, 1), (22, 40)]));
    talk.assert(1, 0, 0, 0);
    // Its end and its request may come together.
    talk.client(records(&[(20, 1), (22, 40), (23, 90)]));
    talk.assert(1, 0, 0, 0);
    talk.server(record(23, 290));
    talk.assert(0, 1, 0, 0);
}

#[test]
fn a_handshake_is_in_flight_until_it_ends_and_is_no_sample_of_cost() {
    let mut talk = tls13();
    assert!(shakes_hands(&talk.conn));
    assert_eq!(talk.seat.progress_at, talk.now, "its worker has taken it up");
    let delta = talk.client(records(&FINISHED_13));
    assert_eq!((delta.ended, delta.answered, delta.failed), (1, 0, 0));
    talk.server(records(&[(23, 250), (23, 250)]));
    talk.assert(0, 0, 0, 0);
    talk.close(Closer::Worker);
    talk.assert(0, 0, 0, 0);
    assert_eq!(talk.seat.service_ns, 0);
}

#[test]
fn who_gives_a_handshake_up_late_has_not_failed() {
    for (later, failed) in [(track::HASTY_NS - 1, 1), (track::HASTY_NS, 0)] {
        let mut talk = Talk::new();
        talk.client(record(22, 300));
        talk.now += later;
        talk.close(Closer::Worker);
        talk.assert(0, 0, failed, 0);
    }
}

/// The client's hello and the server's flight of TLS 1.3.
fn tls13() -> Talk {
    let mut talk = Talk::new();
    talk.client(record(22, 500));
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(22, 122), (20, 1), (23, 30), (23, 900), (23, 280), (23, 69)]));
    talk.assert(1, 0, 0, 0);
    talk
}

pub(super) const FINISHED_13: [(u8, u16); 2] = [(20, 1), (23, 69)];

#[test]
fn tls_1_3_with_two_tickets() {
    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(records(&[(23, 250), (23, 250)]));
    talk.assert(1, 0, 0, 0);
    assert_eq!(talk.ticket, 250);
    talk.server(record(23, 190));
    talk.assert(0, 1, 0, 0);
    talk.client(record(23, 19));
    talk.close(Closer::Worker);
    talk.assert(0, 1, 0, 0);
}

#[test]
fn tls_1_3_with_an_answer_that_goes_out_with_the_end() {
    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1]]));
    talk.server(record(23, 250));
    talk.client(record(23, 100));
    talk.server(record(23, 250));
    // The socket is closed before its last segment is sent.
    talk.close(Closer::Worker);
    talk.server(record(23, 190));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.seat.service_ns, 0, "when it was written is not known");

    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(records(&[(23, 250), (23, 250)]));
    talk.close(Closer::Reset);
    talk.assert(0, 0, 1, 0);
}

#[test]
fn tls_1_3_with_two_tickets_one_by_one_and_the_answer_in_one_segment_with_the_second() {
    let mut talk = tls13();
    talk.client(records(&FINISHED_13));
    talk.client(record(23, 100));
    talk.server(record(23, 250));
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(23, 250), (23, 190), (23, 190)]));
    talk.assert(0, 1, 0, 0);
}

#[test]
fn tls_1_3_with_one_ticket_that_is_known_from_others() {
    let mut talk = tls13();
    talk.client(records(&FINISHED_13));
    talk.server(record(23, 130));
    assert_eq!(talk.ticket, 130);
    let mut next = tls13();
    next.ticket = talk.ticket;
    next.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    next.server(record(23, 128));
    next.assert(1, 0, 0, 0);
    next.server(record(23, 500));
    next.assert(0, 1, 0, 0);
}

#[test]
fn tls_1_3_without_tickets() {
    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(record(23, 190));
    talk.client(record(23, 101));
    talk.assert(1, 1, 0, 0);
    assert_eq!(talk.ticket, 0, "the client may have given up waiting");
    talk.server(record(23, 190));
    talk.assert(0, 2, 0, 0);

    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(record(23, 190));
    talk.server(record(23, 19));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.ticket, NO_TICKETS);
    talk.close(Closer::Worker);
    let mut next = tls13();
    next.ticket = talk.ticket;
    next.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    next.server(record(23, 190));
    next.assert(0, 1, 0, 0);
}

/// As Go does, which sends the ticket right behind the end of its handshake.
#[test]
fn tls_1_3_with_a_ticket_before_the_clients_end() {
    let mut talk = Talk::new();
    talk.client(record(22, 500));
    talk.server(records(&[(22, 122), (20, 1), (23, 53), (23, 900), (23, 280), (23, 53), (23, 130)]));
    talk.client(records(&[(20, 1), (23, 53)]));
    talk.assert(0, 0, 0, 0);
    talk.client(record(23, 100));
    talk.server(record(23, 190));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.ticket, 0, "nothing is known of the others");
}

#[test]
fn tls_1_3_with_a_clients_certificate() {
    let mut talk = tls13();
    talk.client(records(&[(20, 1), (23, 1900), (23, 280)]));
    talk.client(record(23, 53));
    talk.assert(0, 0, 0, 0);
    talk.client(record(23, 90));
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(23, 1250), (23, 1250), (23, 90)]));
    talk.assert(0, 1, 0, 0);
}

#[test]
fn a_finished_that_is_not_recognised_makes_opaque() {
    let mut talk = tls13();
    talk.client(records(&[(20, 1), (23, 2300)]));
    talk.server(records(&[(23, 250), (23, 250)]));
    talk.client(record(23, 90));
    talk.server(record(23, 90));
    talk.close(Closer::Worker);
    talk.assert(0, 0, 0, 0);
}

#[test]
fn early_data_is_a_request() {
    let mut talk = Talk::new();
    talk.client(records(&[(22, 600), (20, 1), (23, 100)]));
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(22, 122), (20, 1), (23, 40), (23, 69)]));
    talk.assert(1, 0, 0, 0);
    talk.client(records(&[(23, 21), (23, 69)]));
    talk.server(record(23, 190));
    assert!(talk.seat.begun - talk.seat.ended <= 1);
}

#[test]
fn what_controls_http2_within_tls_begins_nothing() {
    let mut talk = tls13();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(records(&[(23, 250), (23, 250), (23, 190)]));
    talk.assert(0, 1, 0, 0);
    for len in [26, 30, 34, 43] {
        talk.client(record(23, len));
    }
    talk.assert(0, 1, 0, 0);
    talk.client(record(23, 60));
    talk.assert(1, 1, 0, 0);
}

#[test]
fn a_handshake_that_ends_in_an_alert_is_no_failure() {
    let mut talk = Talk::new();
    talk.client(record(22, 300));
    talk.server(record(21, 2));
    talk.close(Closer::Worker);
    talk.assert(0, 0, 0, 0);
    let mut talk = Talk::new();
    talk.client(record(22, 300));
    talk.close(Closer::Worker);
    talk.assert(0, 0, 1, 0);
}

#[test]
fn a_hello_that_completes_the_handshake_is_no_request() {
    let mut talk = Talk::new();
    let step = track::bytes_in(&talk.conn, talk.now);
    talk.step(step);
    talk.assert(1, 0, 0, 0);
    talk.server(records(&[(22, 122), (20, 1), (23, 30), (23, 900), (23, 69)]));
    talk.assert(0, 0, 0, 0);
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(records(&[(23, 250), (23, 250), (23, 190)]));
    talk.assert(0, 1, 0, 0);
}

#[test]
fn tls_records_are_found_wherever_segments_end() {
    let finished = records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]);
    let answer = records(&[(23, 250), (23, 250), (23, 190)]);
    for cut in 1..finished.len() {
        let mut talk = tls13();
        talk.client(&finished[..cut]);
        talk.client(&finished[cut..]);
        talk.assert(1, 0, 0, 0);
        talk.server(&answer[..cut]);
        talk.server(&answer[cut..]);
        talk.assert(0, 1, 0, 0);
    }
}

#[test]
fn the_rest_of_an_upload_that_is_answered_early_is_no_request() {
    let [_, mut talk] = answered();
    talk.client(record(23, 300));
    for _ in 0..3 {
        talk.client(record(23, 16_401));
    }
    talk.server(record(23, 200));
    for len in [16_401, 16_401, 5_000] {
        talk.client(record(23, len));
        talk.assert(0, 2, 0, 0);
    }
    for answered in 2..5 {
        talk.client(record(23, 300));
        talk.assert(1, answered, 0, 0);
        talk.server(record(23, 200));
    }
    // Requests that are alike are no upload.
    for answered in 5..8 {
        talk.client(record(23, 1_500));
        talk.assert(1, answered, 0, 0);
        talk.server(record(23, 200));
    }
    talk.assert(0, 8, 0, 0);
}

/// Its head is answered, and the client learns that while it sends on.
#[test]
fn the_body_of_an_upload_whose_head_is_answered_is_no_request() {
    let [_, mut talk] = answered();
    talk.client(record(23, 300));
    talk.server(record(23, 200));
    talk.blind(record(23, 16_401));
    for len in [16_401, 16_401, 5_000] {
        talk.client(record(23, len));
        talk.assert(0, 2, 0, 0);
    }
    talk.client(record(23, 300));
    talk.assert(1, 2, 0, 0);
    talk.server(record(23, 200));
    // Who asks for more in HTTP/2 before all has come asks.
    talk.blind(record(23, 60));
    talk.assert(1, 3, 0, 0);
}
