extern crate std;
use super::*;
use crate::{
    abi::Seat,
    books::{apply, take},
    track::{self, Closer, Delta, payload_in, payload_out},
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

mod any;
mod http1;
mod http2;
mod proxied;
mod segments;
mod text_protocols;
mod tls;
mod tls_http2;

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
            payload_out(&self.conn, &words, self.now)
        } else {
            payload_in(&self.conn, &words, self.seat.alive, self.now)
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
