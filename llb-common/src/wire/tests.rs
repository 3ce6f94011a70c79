extern crate std;
use super::*;
use crate::{
    abi::Seat,
    books::{apply, take},
    track::{self, Closer, Delta, heard_in, heard_out},
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const MS: u64 = 1_000_000;

impl Payload for &[u8] {
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.get(at as usize..at as usize + N)?.try_into().ok()
    }
}

/// A connection, its seat, and what the fleet knows.
struct Talk {
    conn: Conn,
    seat: Seat,
    ticket: u32,
    sent: [u32; 2],
    now: u64,
}

impl Talk {
    fn new() -> Self {
        // Sequence numbers wrap on the way.
        let mut talk = Talk {
            conn: Conn::default(),
            seat: Seat { charged: 1, ..Seat::default() },
            ticket: 0,
            sent: [u32::MAX - 10, u32::MAX - 20],
            now: MS,
        };
        talk.step(Some(track::established(MS)));
        (talk.conn.inward.next, talk.conn.outward.next) = (talk.sent[0], talk.sent[1]);
        talk
    }

    fn step(&mut self, step: Option<track::Step>) -> Delta {
        let delta = take(&mut self.conn, &self.seat, step);
        apply(&mut self.seat, &delta, 0, self.now);
        delta
    }

    /// As the kernel does: `llb-ebpf/src/track.rs`.
    fn segment(&mut self, out: bool, seq: u32, bytes: &[u8]) -> Delta {
        if self.conn.phase > BUSY {
            return Delta::default();
        }
        let conn = self.conn;
        let mut direction = if out { conn.outward } else { conn.inward };
        let Some(fresh) = advance(&mut direction, seq, bytes.len() as u32) else { return Delta::default() };
        if out {
            read_out(conn.state, conn.phase, &mut direction, fresh, self.ticket, &bytes);
        } else {
            read_in(conn.state, conn.phase, &mut direction, fresh, &bytes);
        }
        let words = direction.words;
        *(if out { &mut self.conn.outward } else { &mut self.conn.inward }) = direction;
        self.ticket = learnt(&words, self.ticket).unwrap_or(self.ticket);
        let heard = if out { heard_out } else { heard_in };
        let step = heard(&self.conn, &words, self.now);
        assert!(
            words.matter(conn.state) || step.is_none_or(|step| step.delta == Delta { alive: 1, ..Delta::default() })
        );
        self.step(step)
    }

    fn says(&mut self, out: bool, bytes: &[u8]) -> Delta {
        self.now += MS;
        let seq = self.sent[usize::from(out)];
        self.sent[usize::from(out)] = seq.wrapping_add(bytes.len() as u32);
        self.segment(out, seq, bytes)
    }

    fn client(&mut self, bytes: impl AsRef<[u8]>) -> Delta {
        self.says(false, bytes.as_ref())
    }

    fn server(&mut self, bytes: impl AsRef<[u8]>) -> Delta {
        self.says(true, bytes.as_ref())
    }

    fn close(&mut self, closer: Closer) {
        let step = track::closing(&self.conn, closer, self.now);
        self.step(step);
        let step = track::reset_out(&self.conn, self.now);
        self.step(step);
    }

    /// In flight, answered, failed, errors.
    #[track_caller]
    fn assert(&self, in_flight: u64, answered: u64, failed: u64, errors: u64) {
        let seat = &self.seat;
        let counted = (seat.begun - seat.ended, seat.answered, seat.failed, seat.errors);
        assert_eq!(counted, (in_flight, answered, failed, errors), "{:?}", self.conn);
    }
}

fn record(kind: u8, len: u16) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3, (len >> 8) as u8, len as u8];
    bytes.extend((0..len).map(|place| place as u8 ^ 0xa5));
    bytes
}

fn records(records: &[(u8, u16)]) -> Vec<u8> {
    records.iter().flat_map(|(kind, len)| record(*kind, *len)).collect()
}

fn frame(kind: u8, flags: u8, stream: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![(len >> 16) as u8, (len >> 8) as u8, len as u8, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend((0..len).map(|_| 0xff));
    bytes
}

#[test]
fn only_what_is_new_counts() {
    let mut direction = Direction { next: u32::MAX - 4, ..Direction::default() };
    assert_eq!(advance(&mut direction, u32::MAX - 5, 1), None, "a keep-alive probe");
    assert_eq!(advance(&mut direction, u32::MAX - 4, 10), Some(Fresh { at: 0, end: 10, gap: false }));
    assert_eq!(advance(&mut direction, u32::MAX - 4, 10), None, "a retransmission");
    assert_eq!(advance(&mut direction, 0, 8), Some(Fresh { at: 5, end: 8, gap: false }));
    assert_eq!(advance(&mut direction, 9, 1), Some(Fresh { at: 0, end: 1, gap: true }));
}

#[test]
fn an_old_segment_begins_nothing() {
    let mut talk = Talk::new();
    let seq = talk.sent[0];
    talk.client("GET / HTTP/1.1\r\n\r\n");
    talk.server("HTTP/1.1 200 OK\r\n\r\n");
    talk.segment(false, seq, b"GET / HTTP/1.1\r\n\r\n");
    talk.segment(false, talk.sent[0].wrapping_sub(1), b"\0");
    talk.assert(0, 1, 0, 0);
    talk.client("GET / HTTP/1.1\r\n\r\n");
    talk.segment(true, talk.sent[1].wrapping_sub(19), b"HTTP/1.1 200 OK\r\n\r\n");
    talk.assert(1, 1, 0, 0);
}

#[test]
fn interim_answers_are_none_and_errors_are_counted() {
    let mut talk = Talk::new();
    talk.client("POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
    talk.server("HTTP/1.1 100 Continue\r\n\r\n");
    talk.server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    talk.assert(1, 0, 0, 0);
    talk.server("HTTP/1.1 503 No\r\n\r\n");
    talk.assert(0, 1, 0, 1);
    talk.client("G");
    talk.server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\n\r\n");
    talk.assert(0, 2, 0, 2);
}

#[test]
fn an_upgrade_answers_and_makes_opaque() {
    let mut talk = Talk::new();
    talk.client("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    let delta = talk.server("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!((delta.answered, delta.untimed), (1, 1), "it is no sample of what a request costs");
    talk.client("a frame");
    talk.assert(0, 1, 0, 0);
    talk.now += 5 * MS;
    assert_eq!(talk.server("another").alive, 1);
    talk.close(Closer::Worker);
    talk.assert(0, 1, 0, 0);
}

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

const FINISHED_13: [(u8, u16); 2] = [(20, 1), (23, 69)];

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

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn http2() -> Talk {
    let mut talk = Talk::new();
    talk.client([PREFACE, &frame(4, 0, 0, 18), &frame(8, 0, 0, 4)].concat());
    talk.server([frame(4, 0, 0, 6), frame(4, 1, 0, 0)].concat());
    talk.client(frame(4, 1, 0, 0));
    talk.assert(0, 0, 0, 0);
    talk
}

#[test]
fn http2_streams_begin_and_end() {
    let mut talk = http2();
    talk.client([frame(1, 4, 1, 30), frame(0, 1, 1, 10)].concat());
    talk.assert(1, 0, 0, 0);
    let delta = talk.server([frame(1, 4, 1, 20), frame(0, 0, 1, 50)].concat());
    assert_eq!((delta.answered, delta.untimed, delta.answered_since), (1, 0, talk.now - MS));
    talk.assert(1, 1, 0, 0);
    talk.client(frame(8, 0, 1, 4));
    talk.server([frame(0, 0, 1, 50), frame(1, 5, 1, 20)].concat());
    talk.assert(0, 1, 0, 0);
    talk.client([frame(1, 5, 3, 30), frame(1, 5, 5, 30)].concat());
    talk.assert(2, 1, 0, 0);
    talk.server([frame(1, 4, 5, 20), frame(0, 1, 5, 20)].concat());
    talk.assert(1, 2, 0, 0);
    talk.client(frame(3, 0, 3, 4));
    talk.client(frame(6, 0, 0, 8));
    talk.assert(0, 2, 0, 0);
    talk.client(frame(1, 5, 7, 30));
    talk.close(Closer::Worker);
    talk.assert(0, 2, 1, 0);
}

#[test]
fn http2_frames_are_found_wherever_segments_end() {
    let bytes = [PREFACE.to_vec(), frame(4, 0, 0, 18), frame(1, 4, 1, 30), frame(0, 1, 1, 10)].concat();
    let answer = [frame(1, 4, 1, 20), frame(0, 1, 1, 50)].concat();
    // The first four bytes come together, or the connection is taken for another.
    for cut in 4..bytes.len() {
        let mut talk = Talk::new();
        talk.server(frame(4, 0, 0, 6));
        talk.client(&bytes[..cut]);
        talk.client(&bytes[cut..]);
        talk.assert(1, 0, 0, 0);
        for piece in answer.chunks(cut.min(7)) {
            talk.server(piece);
        }
        talk.assert(0, 1, 0, 0);
    }
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

/// One of everything that may be on the wire.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let tls =
        prop::collection::vec((20u8..25, prop_oneof![Just(53u16), Just(69), Just(19), Just(250), 0u16..600]), 1..4);
    let http2 = prop::collection::vec((0u8..10, 0u8..8, 0u32..12, 0u32..40), 1..30);
    prop_oneof![
        Just(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 500 No\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 101 Switching\r\n\r\n".to_vec()),
        Just(PREFACE.to_vec()),
        tls.prop_map(|all| records(&all)),
        http2.prop_map(|all| all.into_iter().flat_map(|(kind, flags, id, len)| frame(kind, flags, id, len)).collect()),
        prop::collection::vec(any::<u8>(), 1..80),
    ]
}

proptest! {
    /// Whatever comes, in whatever order, lost, repeated or cut: the books are in order, and nothing is left.
    #[test]
    fn the_books_balance_whatever_is_said(
        said in prop::collection::vec((any_bytes(), any::<bool>(), 0u8..8, 0usize..600, 0u64..100), 0..40),
        brought: bool,
        closer in 0usize..3,
    ) {
        let mut talk = Talk::new();
        if brought {
            let step = track::bytes_in(&talk.conn, talk.now);
            talk.step(step);
        }
        for (bytes, out, fate, cut, pause) in said {
            talk.now += pause * MS;
            let cut = cut.min(bytes.len());
            let seq = talk.sent[usize::from(out)];
            match fate {
                // Lost, as far as we see; repeated; cut in two; in the wrong order.
                0 => talk.sent[usize::from(out)] = seq.wrapping_add(bytes.len() as u32),
                1 => {
                    talk.says(out, &bytes);
                    talk.segment(out, seq, &bytes);
                }
                2 => {
                    talk.says(out, &bytes[..cut]);
                    talk.says(out, &bytes[cut..]);
                }
                3 => {
                    talk.segment(out, seq.wrapping_add(cut as u32), &bytes[cut..]);
                    talk.says(out, &bytes);
                }
                _ => {
                    talk.says(out, &bytes);
                }
            }
            let seat = &talk.seat;
            prop_assert!(seat.ended <= seat.begun && seat.answered <= seat.begun, "{seat:?}");
            prop_assert_eq!(seat.begun - seat.ended, u64::from(in_flight(&talk.conn)));
            prop_assert!(seat.settled <= seat.charged);
        }
        talk.close([Closer::Worker, Closer::Client, Closer::Reset][closer]);
        prop_assert_eq!((talk.seat.begun, talk.seat.opened), (talk.seat.ended, talk.seat.closed));
        prop_assert!(talk.seat.answered + talk.seat.failed <= talk.seat.begun + 1);
    }

    /// And nothing panics for any words at all.
    #[test]
    fn nothing_panics_whatever_the_state(state: u32, phase in 0u32..5, bytes in any_bytes(), rest: u32, have in 0u32..9, last: u32) {
        let direction = Direction { rest, have, last, ..Direction::default() };
        let conn = Conn { state, phase, inward: direction, outward: direction, ..Conn::default() };
        for out in [false, true] {
            let mut talk = Talk { conn, ..Talk::new() };
            talk.seat.begun = 1 << 20;
            talk.segment(out, 0, &bytes);
        }
    }
}
