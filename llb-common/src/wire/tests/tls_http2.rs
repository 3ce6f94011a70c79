//! HTTP/2 in TLS, of which nothing but the lengths of records is known.

use super::{tls::FINISHED_13, *};

/// A hello with a session's id of 32 bytes, and so many bytes of other extensions before the list of protocols.
fn hello(before: u16, protocols: &[&str]) -> Vec<u8> {
    let extension = |kind: u16, body: &[u8]| {
        [&kind.to_be_bytes()[..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    };
    let names: Vec<u8> = protocols.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
    let list = [&u16::try_from(names.len()).unwrap().to_be_bytes()[..], &names].concat();
    let mut extensions = extension(13, &vec![0x16; before.into()]);
    if !protocols.is_empty() {
        extensions.extend(extension(16, &list));
    }
    extensions.extend(extension(51, &[16, 0, 2, b'h', b'2']));
    let mut body = [&[3, 3][..], &[0xa5; 32], &[32], &[0xa5; 32], &[0, 4, 19, 1, 19, 2], &[1, 0]].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let message = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

#[test]
fn a_hello_says_whether_http2_is_offered() {
    let offers = |hello: &[u8]| {
        let end = hello.len() as u32;
        offers_http2(Fresh { at: 0, end, gap: false }, &hello)
    };
    for before in [0, 7, 300] {
        assert!(offers(&hello(before, &["h2", "http/1.1"])));
        assert!(offers(&hello(before, &["http/1.1", "h2"])));
        assert!(!offers(&hello(before, &["http/1.1"])));
        assert!(!offers(&hello(before, &[])));
    }
    // One that goes on in the next segment may.
    assert!(offers(&hello(2_000, &["http/1.1"])[..1_400]));
    assert!(!offers(&record(22, 300)), "garbage");
    for len in 0..48 {
        offers(&hello(0, &["h2"])[..len]);
    }
}

/// The client's hello and the server's flight, where the client offers HTTP/2.
fn tls13_for_http2() -> Talk {
    let mut talk = Talk::new();
    talk.client(hello(300, &["h2", "http/1.1"]));
    talk.server(records(&[(22, 122), (20, 1), (23, 32), (23, 398), (23, 96), (23, 69)]));
    talk.assert(1, 0, 0, 0);
    talk
}

/// As Node, curl and h2load speak to Node, hypercorn, Go and granian.
#[test]
fn http2_in_tls_1_3() {
    type Records = &'static [(u8, u16)];
    let node: &[Records] = &[&[(23, 282), (23, 282), (23, 35)]];
    let hypercorn: &[Records] = &[&[(23, 250), (23, 250), (23, 68)], &[(23, 26)]];
    let go: &[Records] = &[&[(23, 62)], &[(23, 30)], &[(23, 26)]];
    let granian: &[Records] = &[&[(23, 179)], &[(23, 50)], &[(23, 39)]];
    for settings in [node, hypercorn, go, granian] {
        let mut talk = tls13_for_http2();
        talk.client(records(&FINISHED_13));
        talk.client(record(23, 81));
        for records in settings {
            talk.server(self::records(records));
            talk.assert(1, 0, 0, 0);
        }
        talk.client(record(23, 26));
        talk.assert(1, 0, 0, 0);
        talk.server(record(23, 62));
        talk.assert(0, 1, 0, 0);
        let first = (settings.len() as u64 + 2) * MS;
        assert_eq!(talk.seat.service_ns, first);
        talk.client(record(23, 60));
        talk.client(record(23, 60));
        talk.assert(1, 1, 0, 0);
        talk.server(record(23, 85));
        talk.client(record(23, 60));
        talk.server(record(23, 85));
        talk.assert(0, 3, 0, 0);
        assert_eq!(talk.seat.service_ns, first, "which of the streams was answered is not known");
        talk.close(Closer::Client);
        talk.assert(0, 3, 0, 0);
    }
}

/// As gRPC's servers do, to measure the way to their client.
#[test]
fn a_ping_of_the_servers_answers_nothing() {
    let mut talk = tls13_for_http2();
    talk.client(records(&FINISHED_13));
    talk.client(record(23, 99));
    talk.server(records(&[(23, 413), (23, 63)]));
    talk.server(record(23, 26));
    talk.client(record(23, 26));
    talk.client(record(23, 285));
    talk.assert(1, 0, 0, 0);
    for len in [34, 47, 43] {
        talk.server(record(23, len));
        talk.client(record(23, 34));
        talk.assert(1, 0, 0, 0);
    }
    talk.now += 20 * MS;
    talk.server(record(23, 174));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.seat.service_ns, 27 * MS);
    talk.client(record(23, 97));
    talk.server(record(23, 34));
    talk.assert(1, 1, 0, 0);
    talk.server(record(23, 85));
    talk.assert(0, 2, 0, 0);
    // With its headers in a byte each a later answer is as short as a first one is not.
    for (len, answered) in [(43, 3), (47, 4), (56, 5)] {
        talk.client(record(23, 60));
        talk.server(record(23, len));
        talk.assert(0, answered, 0, 0);
    }
}

/// What one side says at once: whether it is the server, its records, and what has to come before it, as bits.
type Part = (bool, &'static [(u8, u16)], u16);

/// All orders in which the parts may come.
fn orders(parts: &[Part], done: u16, order: &mut Vec<usize>, seen: &mut impl FnMut(&[usize])) {
    if order.len() == parts.len() {
        return seen(order);
    }
    for (at, (_, _, before)) in parts.iter().enumerate() {
        if done >> at & 1 == 0 && done & before == *before {
            order.push(at);
            orders(parts, done | 1 << at, order, seen);
            order.pop();
        }
    }
}

/// The talk in this order, where bits say which parts share a segment with the one before.
fn grpc(parts: &[Part], order: &[usize], joined: u16, ticket: u32) -> Talk {
    let mut talk = Talk { ticket, ..tls13_for_http2() };
    let mut segments: Vec<(bool, Vec<(u8, u16)>)> = Vec::new();
    for (at, part) in order.iter().enumerate() {
        let (out, records, _) = parts[*part];
        match segments.last_mut().filter(|last| last.0 == out && joined >> at & 1 == 1) {
            Some(last) => last.1.extend(records),
            None => segments.push((out, records.to_vec())),
        }
    }
    for (out, records) in segments {
        talk.says(out, &self::records(&records));
    }
    talk
}

/// As gRPC's own client and server speak, whose first records cross in every way.
#[test]
fn a_call_of_grpcs_is_in_flight_from_its_headers_to_its_answer() {
    let apart: [Part; 8] = [
        (false, &FINISHED_13, 0),
        (false, &[(23, 99)], 1),
        (true, &[(23, 413)], 1),
        (true, &[(23, 63)], 0b101),
        (true, &[(23, 26)], 0b1110),
        (false, &[(23, 26)], 0b1011),
        (false, &[(23, 281)], 0b10_0011),
        (true, &[(23, 34)], 0b101_1110),
    ];
    // The server writes once it has read the call.
    let mut at_once = apart;
    at_once[4] = (true, &[(23, 56)], 0b100_1110);
    at_once[7] = (false, &[(23, 34)], 0b1_0000);
    for parts in [apart, at_once] {
        orders(&parts, 0, &mut Vec::new(), &mut |order| {
            for (ticket, joined) in
                [0, 413].into_iter().flat_map(|ticket| (0..1 << 8).map(move |joined| (ticket, joined)))
            {
                let mut talk = grpc(&parts, order, joined, ticket);
                talk.assert(1, 0, 0, 0);
                talk.server(record(23, 175));
                talk.assert(0, 1, 0, 0);
            }
        });
    }
}

/// A server may send its settings before the client has asked.
#[test]
fn http2_in_tls_whose_server_speaks_first() {
    let mut talk = tls13_for_http2();
    talk.client(records(&FINISHED_13));
    talk.server(records(&[(23, 282), (23, 282)]));
    talk.server(record(23, 26));
    talk.assert(0, 0, 0, 0);
    talk.client(records(&[(23, 81), (23, 63), (23, 26)]));
    talk.server(record(23, 26));
    talk.assert(1, 0, 0, 0);
    talk.server(record(23, 62));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.seat.service_ns, 2 * MS);
}

/// A pool of connections is opened long before its first request.
#[test]
fn http2_in_tls_that_asks_later() {
    let mut talk = tls13_for_http2();
    talk.client(records(&FINISHED_13));
    talk.client(record(23, 81));
    talk.server(records(&[(23, 250), (23, 250), (23, 68)]));
    talk.server(record(23, 26));
    talk.client(record(23, 26));
    talk.now += 5_000 * MS;
    talk.client(record(23, 63));
    talk.assert(1, 0, 0, 0);
    talk.now += 20 * MS;
    talk.server(record(23, 62));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.seat.service_ns, 21 * MS);
}

/// Who offers HTTP/2 may get HTTP/1.
#[test]
fn http1_in_tls_for_who_offers_http2() {
    let mut talk = tls13_for_http2();
    talk.client(records(&[FINISHED_13[0], FINISHED_13[1], (23, 100)]));
    talk.server(records(&[(23, 250), (23, 250)]));
    talk.assert(1, 0, 0, 0);
    talk.server(record(23, 160));
    talk.assert(0, 1, 0, 0);
    assert_ne!(talk.seat.service_ns, 0);
    talk.client(record(23, 100));
    talk.server(record(23, 40));
    talk.assert(0, 2, 0, 0);
}

#[test]
fn http2_in_tls_1_2() {
    let mut talk = Talk::new();
    talk.client(hello(300, &["h2"]));
    talk.server(records(&[(22, 90), (22, 900), (22, 4)]));
    talk.client(records(&[(22, 70), (20, 1), (22, 40)]));
    talk.server(records(&[(22, 200), (20, 1), (22, 40)]));
    talk.client(record(23, 88));
    talk.server(record(23, 69));
    talk.server(record(23, 33));
    talk.assert(1, 0, 0, 0);
    talk.client(record(23, 33));
    talk.server(record(23, 69));
    talk.assert(0, 1, 0, 0);
    assert_eq!(talk.seat.service_ns, 4 * MS);
}
