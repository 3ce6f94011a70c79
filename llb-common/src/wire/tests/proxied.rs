//! The header of the PROXY protocol.

use super::*;

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
