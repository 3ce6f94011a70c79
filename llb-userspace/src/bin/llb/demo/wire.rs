//! What the load and a demo worker say to each other: one HTTP/1.1 request, one answer, and the worker closes.

use super::{
    arrivals::Work,
    load::{Failure, Talk},
};
use llb::model::Slot;

/// Longest head that either end reads, bytes: ours is under 100, and other servers send no more than this, as browsers and
/// Node take no longer ones.
pub(super) const HEAD_MAX: usize = 16 << 10;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const SLOT_HEADER: &str = "x-llb-slot";

/// Whether `bytes` holds the whole head of a request or answer.
pub(super) fn head_is_whole(bytes: &[u8]) -> bool {
    bytes.windows(END_OF_HEAD.len()).any(|window| window == END_OF_HEAD)
}

/// What the load and a demo worker say.
pub(super) fn talk() -> Talk {
    Talk::new(request, |head| parse_answer(head).ok_or(Failure::NotUnderstood))
}

pub(super) fn request(work: Work) -> String {
    format!("GET /?work_ms={} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", work.ms())
}

/// The work that a request asks for, ms; 0 if it names none, `None` if it is not a request that we understand.
pub(super) fn parse_request(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if method != "GET" || !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').find_map(|pair| pair.strip_prefix("work_ms=")) {
        Some(work_ms) => work_ms.parse().ok(),
        None => Some(0),
    }
}

pub(super) fn answer(slot: Slot) -> String {
    let body = format!("worker {slot}\n");
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{SLOT_HEADER}: {slot}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

pub(super) fn refusal() -> &'static str {
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

/// The slot that answered; `None` unless this is a demo worker's 200.
pub(super) fn parse_answer(head: &[u8]) -> Option<Slot> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    if !lines.next()?.starts_with("HTTP/1.1 200 ") {
        return None;
    }
    let slot = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(SLOT_HEADER).then_some(value)
    })?;
    slot.trim().parse().ok().map(Slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_understands_the_other() {
        assert_eq!(parse_request(request(Work::Short).as_bytes()), Some(5));
        assert_eq!(parse_request(request(Work::Long).as_bytes()), Some(100));
        assert_eq!(parse_answer(answer(Slot(7)).as_bytes()), Some(Slot(7)));
        assert!(head_is_whole(request(Work::Short).as_bytes()));
        assert!(head_is_whole(answer(Slot(0)).as_bytes()));
    }

    #[test]
    fn a_request_without_work_is_fine_and_garbage_is_not() {
        assert_eq!(parse_request(b"GET / HTTP/1.1\r\n\r\n"), Some(0));
        assert_eq!(parse_request(b"GET /x?a=1&work_ms=20 HTTP/1.0\r\n\r\n"), Some(20));
        for garbage in
            [&b"\xff\xfe\r\n\r\n"[..], b"GET\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"GET /?work_ms=-1 HTTP/1.1"]
        {
            assert_eq!(parse_request(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn only_a_demo_workers_200_is_an_answer() {
        assert_eq!(parse_answer(refusal().as_bytes()), None);
        assert_eq!(parse_answer(b"HTTP/1.1 200 OK\r\n\r\nx-llb-slot: 1"), None);
        assert_eq!(parse_answer(b"HTTP/1.1 200 OK\r\nX-LLB-Slot: 2\r\n\r\n"), Some(Slot(2)));
    }
}
