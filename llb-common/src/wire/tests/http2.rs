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
