//! Lines, and what only sends.

use super::*;

#[test]
fn what_never_answers_is_one_way() {
    let mut talk = Talk::new();
    talk.client("<34>1 a line\n");
    talk.client("<34>1 at once another\n");
    talk.assert(1, 0, 0, 0);
    talk.now += track::ONE_WAY_NS;
    talk.client("<34>1 later another\n");
    talk.client("<34>1 and another\n");
    talk.assert(0, 0, 0, 0);
    talk.close(Closer::Worker);
    talk.assert(0, 0, 0, 0);

    let mut talk = Talk::new();
    talk.client("POST / HTTP/1.1\r\n\r\n");
    talk.now += track::ONE_WAY_NS;
    talk.client("the body");
    talk.assert(1, 0, 0, 0);
}

/// A method that HTTP/1 has too, and an answer that it has not.
#[test]
fn what_is_not_answered_in_http_is_none() {
    let mut talk = Talk::new();
    talk.client("CONNECT\naccept-version:1.2\n\n\0");
    talk.server("CONNECTED\nversion:1.2\n\n\0");
    talk.assert(0, 1, 0, 0);
    talk.client("SEND\ndestination:/a\n\na\0");
    talk.now += track::ONE_WAY_NS;
    talk.assert(1, 1, 0, 0);
    seen_waiting(&mut talk);
    talk.client("SEND\ndestination:/a\n\nb\0");
    talk.assert(0, 1, 0, 0);
}

#[test]
fn what_answers_in_the_end_is_not_one_way() {
    let mut talk = Talk::new();
    for _ in 0..3 {
        talk.client("\0\0\0\x02a call");
        talk.now += track::ONE_WAY_NS;
    }
    talk.assert(0, 0, 0, 0);
    talk.server("\0\0\0\x02an answer");
    talk.assert(0, 1, 0, 0);
    talk.client("\0\0\0\x02a call");
    talk.assert(1, 1, 0, 0);
    talk.server("\0\0\0\x02an answer");
    talk.assert(0, 2, 0, 0);
}

#[test]
fn a_line_is_answered_by_a_line() {
    let mut talk = Talk::new();
    for answered in 1..4 {
        talk.client("ping\r\n");
        talk.now += 2 * track::ONE_WAY_NS;
        talk.server("pong\r\n");
        talk.assert(0, answered, 0, 0);
    }
}

#[test]
fn messages_that_want_no_answer_hold_no_request() {
    for mut talk in answered() {
        talk.client(record(23, 60));
        talk.assert(1, 1, 0, 0);
        talk.now += track::ONE_WAY_NS;
        talk.client(record(23, 60));
        talk.assert(1, 1, 0, 0);
        seen_waiting(&mut talk);
        talk.client(record(23, 60));
        talk.assert(0, 1, 0, 0);
        talk.now += track::ONE_WAY_NS;
        for answered in 1..5 {
            // A ping is answered, and the messages go on.
            for _ in 0..3 {
                talk.client(record(23, 60));
                talk.now += track::ONE_WAY_NS;
                talk.assert(0, answered, 0, 0);
            }
            assert_eq!(talk.server(record(23, 20)).untimed, 1);
            talk.assert(0, answered + 1, 0, 0);
        }
        // From here on each is answered.
        talk.client(record(23, 60));
        talk.server(record(23, 60));
        talk.assert(0, 6, 0, 0);
        for answered in 6..9 {
            talk.client(record(23, 60));
            talk.assert(1, answered, 0, 0);
            talk.server(record(23, 60));
        }
        talk.close(Closer::Client);
        talk.assert(0, 9, 0, 0);
    }
}

/// A worker that does not go on is not free because its client does.
#[test]
fn messages_to_a_worker_that_stands_still_are_in_flight() {
    for mut talk in answered() {
        seen_waiting(&mut talk);
        for _ in 0..5 {
            talk.client(record(23, 60));
            talk.now += 2 * track::ONE_WAY_NS;
        }
        talk.assert(1, 1, 0, 0);
        talk.server(record(23, 60));
        talk.assert(0, 2, 0, 0);
        // Nor are the pieces of an upload messages.
        talk.client(record(23, 60));
        seen_waiting(&mut talk);
        for _ in 0..5 {
            talk.now += 2 * track::ONE_WAY_NS;
            talk.client(record(23, 1_300));
        }
        talk.assert(1, 2, 0, 0);
    }
}
