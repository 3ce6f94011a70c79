//! HTTP/1: methods, and status lines.

use super::{ANSWERED, Fresh, HTTP1, Payload};
use crate::abi::Direction;

/// The first four bytes of the methods that are in use, WebDAV's too.
const METHODS: [[u8; 4]; 20] = [
    *b"GET ", *b"POST", *b"HEAD", *b"PUT ", *b"DELE", *b"OPTI", *b"PATC", *b"CONN", *b"TRAC", *b"PROP", *b"REPO",
    *b"MKCO", *b"COPY", *b"MOVE", *b"LOCK", *b"UNLO", *b"SEAR", *b"MERG", *b"PURG", *b"CHEC",
];

/// Whether a connection's first four bytes are a method's.
#[inline(always)]
pub(super) fn is_method(word: u32) -> bool {
    let mut found = false;
    for method in METHODS {
        found |= word == u32::from_be_bytes(method);
    }
    found
}

/// Whether less than four bytes may be the beginning of a method.
#[inline(always)]
pub(super) fn may_begin(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// Whether a segment may begin with a method, of which each letter is a capital one.
#[inline(always)]
pub(super) fn may_be_method(fresh: Fresh, payload: &impl Payload) -> bool {
    match (payload.load::<3>(fresh.at), payload.load::<1>(fresh.at)) {
        (Some([a, b, c]), _) => may_begin(a) && may_begin(b) && may_begin(c),
        (_, Some([byte])) => may_begin(byte),
        _ => true,
    }
}

/// The length of "HTTP/1.1 100 Continue" and the empty line that follows.
const CONTINUE: u32 = 25;

/// What goes out while a request is in flight. An interim answer is none, but for a switch to another protocol. False if it is
/// no answer of HTTP/1, on a connection that has had none.
#[inline(always)]
pub(super) fn read_out(state: u32, direction: &mut Direction, fresh: Fresh, payload: &impl Payload) -> bool {
    let words = &mut direction.words;
    let Some(mut code) = status(fresh.at, payload) else {
        let is_known = super::protocol(state) == HTTP1 && state & ANSWERED != 0;
        words.answers |= u32::from(is_known);
        return is_known;
    };
    // The answer itself may be right behind.
    let is_followed = code == *b"100" && fresh.end - fresh.at > CONTINUE;
    if is_followed {
        code = status(fresh.at + CONTINUE, payload).unwrap_or(*b"200");
    }
    words.opaque |= u32::from(code == *b"101");
    words.answers |= u32::from(code[0] != b'1' || code == *b"101");
    words.error |= u32::from(code[0] == b'5');
    true
}

/// The status code of a status line.
#[inline(always)]
fn status(at: u32, payload: &impl Payload) -> Option<[u8; 3]> {
    match payload.load::<12>(at)? {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', code @ ..] => Some(code),
        _ => None,
    }
}
