//! What the load and a worker say to each other: HTTP/1.1, and the worker closes after a request that asks for it.

/// Longest head that either end reads, bytes: ours are under 200, and a proxy adds a few lines.
pub(super) const HEAD_MAX: usize = 4096;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What every worker answers, after its head.
const BODY: &[u8] = b"ok\n";

const CLOSES: &str = "Connection: close\r\n";

/// What a worker answers, and then closes.
pub(super) const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/// What a worker answers before the next request.
pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// What a worker says to what is no request of ours.
pub(super) const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Whether `bytes` holds the whole head of a request or answer.
pub(super) fn head_is_whole(bytes: &[u8]) -> bool {
    end_of_head(bytes).is_some()
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)? + END_OF_HEAD.len())
}

pub(crate) fn request(work_us: u64, is_last: bool) -> String {
    let close = if is_last { CLOSES } else { "" };
    format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n", path(work_us))
}

/// Where this work is asked for.
pub(crate) fn path(work_us: u64) -> String {
    format!("/?work_us={work_us}")
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) work_us: u64,
    pub(super) is_last: bool,
}

/// What this head asks for, no work if it names none; `None` if it is not one that we understand.
pub(super) fn wish(head: &[u8]) -> Option<Wish> {
    let head = std::str::from_utf8(head).ok()?;
    let (line, fields) = head.split_once("\r\n")?;
    let mut words = line.strip_prefix("GET ")?.split(' ');
    let query = words.next()?.split_once('?').map_or("", |(_, query)| query);
    let work_us = match query.split('&').find_map(|pair| pair.strip_prefix("work_us=")) {
        Some(work_us) => work_us.parse().ok()?,
        None => 0,
    };
    let is_old = words.next() == Some("HTTP/1.0");
    let closes = fields.lines().any(|field| field.eq_ignore_ascii_case(CLOSES.trim_end()));
    Some(Wish { work_us, is_last: is_old || closes })
}

/// What has come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Not all of it.
    Part,
    /// A 200 to its end.
    Answer,
    /// The refusal of a worker, or a proxy's own error.
    Else,
}

pub(super) fn came(bytes: &[u8]) -> Came {
    let Some(end) = end_of_head(bytes) else { return Came::Part };
    if !(bytes.starts_with(b"HTTP/1.1 200 ") || bytes.starts_with(b"HTTP/1.0 200 ")) {
        return Came::Else;
    }
    if bytes.len() - end < BODY.len() { Came::Part } else { Came::Answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_understands_the_other() {
        assert_eq!(wish(request(200, true).as_bytes()), Some(Wish { work_us: 200, is_last: true }));
        assert_eq!(wish(request(0, false).as_bytes()), Some(Wish { work_us: 0, is_last: false }));
        assert!(head_is_whole(request(5, false).as_bytes()));
        assert_eq!((came(ANSWER), came(LAST_ANSWER)), (Came::Answer, Came::Answer));
    }

    #[test]
    fn what_names_no_work_asks_for_none_and_garbage_is_no_request() {
        assert_eq!(wish(b"GET / HTTP/1.0\r\n\r\n"), Some(Wish { work_us: 0, is_last: true }));
        assert_eq!(wish(b"GET /?work_us=-1 HTTP/1.1\r\n\r\n"), None);
        assert_eq!(wish(b"\xff\r\n\r\n"), None);
    }

    #[test]
    fn half_an_answer_a_refusal_and_a_proxys_error_are_no_answers() {
        assert_eq!(came(&ANSWER[..20]), Came::Part);
        assert_eq!(came(&ANSWER[..ANSWER.len() - 1]), Came::Part);
        assert_eq!(came(REFUSAL), Came::Else);
        assert_eq!(came(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Came::Else);
    }
}
