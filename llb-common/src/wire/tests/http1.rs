//! HTTP/1.

use super::*;

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
