//! Which part of a segment is new.

use super::*;

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
