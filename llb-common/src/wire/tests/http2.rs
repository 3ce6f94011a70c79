//! HTTP/2 without TLS.

use super::*;

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

/// Of more frames than are read nobody knows what they end: what was in flight before is over, and what comes then is read.
#[test]
fn many_frames_in_one_segment_leave_nothing_in_flight() {
    let many = |each: &dyn Fn(u32) -> Vec<u8>| (0..40).flat_map(|place| each(2 * place + 3)).collect::<Vec<u8>>();
    let mut talk = http2();
    talk.client(frame(1, 5, 1, 30));
    talk.client(many(&|stream| frame(1, 5, stream, 30)));
    assert_eq!(talk.seat.begun - talk.seat.ended, 12, "those that were read");
    talk.server(many(&|stream| [frame(1, 4, stream, 20), frame(0, 1, stream, 30)].concat()));
    let answered = talk.seat.answered;
    talk.assert(0, answered, 0, 0);
    for stream in [101, 103, 105] {
        talk.client(frame(1, 5, stream, 30));
        talk.server([frame(1, 4, stream, 20), frame(0, 1, stream, 30)].concat());
    }
    talk.assert(0, answered + 3, 0, 0);
    // A burst of cancelled calls.
    for stream in 0..20 {
        talk.client(frame(1, 5, 201 + 2 * stream, 30));
    }
    talk.assert(20, answered + 3, 0, 0);
    talk.client((0..20).flat_map(|stream| frame(3, 0, 201 + 2 * stream, 4)).collect::<Vec<u8>>());
    talk.assert(0, answered + 3, 0, 0);
}

#[test]
fn http2_is_read_on_after_a_gap() {
    let mut talk = http2();
    talk.client(frame(1, 5, 1, 30));
    talk.sent[0] = talk.sent[0].wrapping_add(100);
    talk.client([vec![0xff; 20], frame(1, 5, 5, 30)].concat());
    talk.assert(0, 0, 0, 0);
    talk.server([frame(1, 4, 1, 20), frame(0, 1, 1, 30)].concat());
    talk.client(frame(1, 5, 7, 30));
    talk.assert(1, 0, 0, 0);
    talk.server([frame(1, 4, 7, 20), frame(0, 1, 7, 30)].concat());
    talk.assert(0, 1, 0, 0);
}

#[test]
fn a_preface_that_comes_byte_by_byte_is_one() {
    for step in 1..30 {
        for server_first in [false, true] {
            let mut talk = Talk::new();
            if server_first {
                talk.server(frame(4, 0, 0, 6));
            }
            for piece in [PREFACE, &frame(4, 0, 0, 18)].concat().chunks(step) {
                talk.client(piece);
            }
            if !server_first {
                talk.server(frame(4, 0, 0, 6));
            }
            talk.server(frame(4, 1, 0, 0));
            talk.client(frame(4, 1, 0, 0));
            talk.assert(0, 0, 0, 0);
            for (answered, stream) in [1, 3, 5].into_iter().enumerate() {
                talk.client([frame(1, 4, stream, 30), frame(0, 1, stream, 10)].concat());
                talk.assert(1, answered as u64, 0, 0);
                talk.server([frame(1, 4, stream, 20), frame(0, 1, stream, 30)].concat());
            }
            talk.assert(0, 3, 0, 0);
        }
    }
}
