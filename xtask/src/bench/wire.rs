//! What the load and a worker say to each other: one HTTP/1.1 request, one answer, and the worker closes.

/// Longest head that either end reads, bytes: ours are under 200, and a proxy adds a few lines.
pub(super) const HEAD_MAX: usize = 4096;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What a worker answers.
pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/// What a worker says to what is no request of ours.
pub(super) const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Whether `bytes` holds the whole head of a request or answer.
pub(super) fn head_is_whole(bytes: &[u8]) -> bool {
    bytes.windows(END_OF_HEAD.len()).any(|window| window == END_OF_HEAD)
}

pub(super) fn request(work_ms: u64) -> String {
    format!("GET /?work_ms={work_ms} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// The work that a request asks for, ms; 0 if it names none, `None` if it is not one that we understand.
pub(super) fn work_of(head: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').find_map(|pair| pair.strip_prefix("work_ms=")) {
        Some(work_ms) => work_ms.parse().ok(),
        None => Some(0),
    }
}

/// Whether this answer is a 200, not the refusal of a worker or a proxy's own error.
pub(super) fn is_answer(head: &[u8]) -> bool {
    head_is_whole(head) && (head.starts_with(b"HTTP/1.1 200 ") || head.starts_with(b"HTTP/1.0 200 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_understands_the_other() {
        assert_eq!(work_of(request(200).as_bytes()), Some(200));
        assert!(head_is_whole(request(5).as_bytes()));
        assert!(is_answer(ANSWER));
    }

    #[test]
    fn what_names_no_work_asks_for_none_and_garbage_is_no_request() {
        assert_eq!(work_of(b"GET / HTTP/1.0\r\n\r\n"), Some(0));
        assert_eq!(work_of(b"GET /?work_ms=-1 HTTP/1.1\r\n\r\n"), None);
        assert_eq!(work_of(b"\xff\r\n\r\n"), None);
    }

    #[test]
    fn half_an_answer_a_refusal_and_a_proxys_error_are_no_answers() {
        assert!(!is_answer(&ANSWER[..20]));
        assert!(!is_answer(REFUSAL));
        assert!(!is_answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
    }
}
