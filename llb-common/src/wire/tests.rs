extern crate std;
use super::*;
use crate::{
    abi::Seat,
    books::{apply, take},
    track::{self, Closer, Delta, heard_in, heard_out},
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

mod http2;
mod tls;

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
        let step = if out {
            heard_out(&self.conn, &words, self.now)
        } else {
            heard_in(&self.conn, &words, self.seat.alive, self.now)
        };
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

    /// The client sends before it has received the last of what has gone out.
    fn blind(&mut self, bytes: impl AsRef<[u8]>) -> Delta {
        let ack = self.sent[1].wrapping_sub(1);
        note_ack(&mut self.conn, ack);
        self.says(false, bytes.as_ref())
    }

    fn client(&mut self, bytes: impl AsRef<[u8]>) -> Delta {
        note_ack(&mut self.conn, self.sent[1]);
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

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
fn the_rest_of_an_upload_that_is_answered_is_no_request() {
    for rest in ["{\"a\": 1}", "3\r\nabc\r\n0\r\n\r\n", "\r\n", "a=b", "x"] {
        let mut talk = Talk::new();
        talk.client("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n");
        talk.server("HTTP/1.1 404 Not Found\r\n\r\n");
        talk.client(rest);
        talk.assert(0, 1, 0, 0);
        talk.client("G");
        talk.client("ET / HTTP/1.1\r\n\r\n");
        talk.assert(1, 1, 0, 0);
        talk.server("HTTP/1.1 200 OK\r\n\r\n");
        talk.close(Closer::Worker);
        talk.assert(0, 2, 0, 0);
    }
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";

#[test]
fn a_proxys_header_is_no_request() {
    for header in [V1, V2] {
        let mut talk = Talk::new();
        talk.client(header);
        talk.assert(0, 0, 0, 0);
        talk.now += track::ONE_WAY_NS;
        for answered in 0..3 {
            talk.client("GET / HTTP/1.1\r\n\r\n");
            talk.assert(1, answered, 0, answered);
            talk.server("HTTP/1.1 500 No\r\n\r\n");
        }
        talk.assert(0, 3, 0, 3);
    }
}

#[test]
fn a_proxys_header_is_found_in_pieces() {
    for header in [V1, V2] {
        for cut in 1..header.len() {
            let mut talk = Talk::new();
            talk.client(&header[..cut]);
            talk.now += track::ONE_WAY_NS;
            talk.client(&header[cut..]);
            talk.assert(0, 0, 0, 0);
            for answered in 0..3 {
                talk.client("GET / HTTP/1.1\r\n\r\n");
                talk.assert(1, answered, 0, answered);
                talk.server("HTTP/1.1 500 No\r\n\r\n");
            }
            talk.assert(0, 3, 0, 3);
        }
        let mut talk = Talk::new();
        for byte in header {
            talk.client([*byte]);
            talk.assert(0, 0, 0, 0);
        }
        talk.client(record(22, 500));
        talk.server(records(&[(22, 122), (20, 1), (23, 30), (23, 900), (23, 280), (23, 69)]));
        talk.client(records(&[(20, 1), (23, 69)]));
        talk.assert(0, 0, 0, 0);
    }
    // The request comes with the end of the header.
    let mut talk = Talk::new();
    talk.client(&V2[..20]);
    talk.client([&V2[20..], b"GET / HTTP/1.1\r\n\r\n"].concat());
    talk.assert(1, 0, 0, 0);
    talk.server("HTTP/1.1 500 No\r\n\r\n");
    talk.assert(0, 1, 0, 1);
}

#[test]
fn what_begins_like_a_proxys_header_is_a_request() {
    for (first, rest) in
        [("P", "OST / HTTP/1.1\r\n\r\n"), ("PR", "OPFIND / HTTP/1.1\r\n\r\n"), ("\r\n", "GET / HTTP/1.1\r\n\r\n")]
    {
        let mut talk = Talk::new();
        talk.client(first);
        talk.client(rest);
        talk.assert(1, 0, 0, 0);
        talk.server("HTTP/1.1 500 No\r\n\r\n");
        talk.assert(0, 1, 0, 1);
    }
}

#[test]
fn behind_a_proxys_header_all_is_read() {
    for header in [V1, V2] {
        let mut talk = Talk::new();
        talk.client([header, b"GET / HTTP/1.1\r\n\r\n"].concat());
        talk.assert(1, 0, 0, 0);
        talk.server("HTTP/1.1 500 No\r\n\r\n");
        talk.assert(0, 1, 0, 1);

        let mut talk = Talk::new();
        talk.client([header, &record(22, 500)].concat());
        talk.server(records(&[(22, 122), (20, 1), (23, 30), (23, 900), (23, 280), (23, 69)]));
        talk.client(records(&[(20, 1), (23, 69)]));
        talk.server(records(&[(23, 250), (23, 250)]));
        talk.assert(0, 0, 0, 0);
        talk.client(record(23, 100));
        talk.server(record(23, 190));
        talk.client(record(23, 19));
        talk.assert(0, 1, 0, 0);
    }
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

/// A connection that has had an answer, in the clear and in TLS.
fn answered() -> [Talk; 2] {
    let mut lines = Talk::new();
    lines.server("220 a greeting\r\n");
    let mut tls = Talk::new();
    tls.client(record(22, 500));
    tls.server(records(&[(22, 122), (20, 1), (23, 30), (23, 900), (23, 280), (23, 69)]));
    tls.client(records(&[(20, 1), (23, 69)]));
    tls.server(records(&[(23, 250), (23, 250)]));
    tls.client(record(23, 100));
    tls.server(record(23, 190));
    for talk in [&lines, &tls] {
        talk.assert(0, 1, 0, 0);
    }
    [lines, tls]
}

/// As userspace does when it has seen the worker wait.
fn seen_waiting(talk: &mut Talk) {
    let mark = track::mark_at(talk.seat.begun);
    (talk.seat.alive, talk.seat.passed) = (mark.alive, mark.passed);
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
