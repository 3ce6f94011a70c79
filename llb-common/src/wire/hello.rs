//! What a client's `ClientHello` offers (RFC 8446, 4.1.2; RFC 7301): the only thing in the clear that tells HTTP/2 in TLS 1.3.

use super::{Fresh, Payload};

/// A record's header, and where its length is in that.
const RECORD: u32 = 5;
const LENGTH_AT: u32 = 3;

/// What comes before the length of the session's id: the headers of the record and of the message, the version, and the random
/// bytes.
const SESSION_AT: u32 = RECORD + 4 + 2 + 32;

/// The extension that names protocols, and how many extensions and names are looked at: browsers send some 20, and two.
const PROTOCOLS: u16 = 16;
const EXTENSIONS: u32 = 32;
const NAMES: u32 = 4;

/// Whether the client may speak HTTP/2: it says so, or its hello goes on where it cannot be read, as those of browsers do, which
/// do speak it.
#[inline(always)]
pub fn offers_http2(fresh: Fresh, payload: &impl Payload) -> bool {
    let Some(len) = payload.load::<2>(fresh.at + LENGTH_AT) else { return false };
    match extension(fresh, payload) {
        Some(at) => names_http2(at, payload),
        None => fresh.at + RECORD + u32::from(u16::from_be_bytes(len)) > fresh.end,
    }
}

/// Where the list of protocols begins, if it is in this segment.
#[inline(always)]
fn extension(fresh: Fresh, payload: &impl Payload) -> Option<u32> {
    let mut at = fresh.at + SESSION_AT;
    let [session] = payload.load::<1>(at)?;
    at += 1 + u32::from(session);
    at += 2 + u32::from(u16::from_be_bytes(payload.load(at)?));
    let [compressions] = payload.load::<1>(at)?;
    at += 1 + u32::from(compressions) + 2;
    for _ in 0..EXTENSIONS {
        if at >= fresh.end {
            return None;
        }
        let [kind, kind_low, len, len_low] = payload.load::<4>(at)?;
        at += 4;
        if u16::from_be_bytes([kind, kind_low]) == PROTOCOLS {
            return Some(at);
        }
        at += u32::from(u16::from_be_bytes([len, len_low]));
    }
    None
}

/// Whether the list of protocols at `at` has HTTP/2 in it, as one of the first.
#[inline(always)]
fn names_http2(at: u32, payload: &impl Payload) -> bool {
    let mut at = at + 2;
    for _ in 0..NAMES {
        let Some([len, name @ ..]) = payload.load::<3>(at) else { return false };
        if len == 2 && name == *b"h2" {
            return true;
        }
        at += 1 + u32::from(len);
    }
    false
}
