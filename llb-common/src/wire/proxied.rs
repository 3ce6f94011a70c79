//! The PROXY protocol: with its header a balancer says whose connection it hands on. It may send the header at once, and the
//! client its request minutes later.

use super::{Fresh, Payload};

/// How version 1 begins, a line of text.
const LINE: [u8; 6] = *b"PROXY ";

/// The longest line that there may be.
const LINE_MAX: u32 = 107;

/// How version 2 begins. Four bytes follow, the last two of them the length of the rest.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How many bytes of a connection's first segment are such a header. A line is one only if nothing follows it: else its end
/// is not looked for, and the answer says what the connection speaks.
#[inline(always)]
pub(super) fn header(fresh: Fresh, payload: &impl Payload) -> u32 {
    let len = fresh.end - fresh.at;
    if let Some([signature @ .., _, _, high, low]) = payload.load::<16>(fresh.at)
        && signature == SIGNATURE
    {
        return 16 + (u32::from(high) << 8 | u32::from(low));
    }
    let is_line = len <= LINE_MAX && payload.load::<6>(fresh.at) == Some(LINE);
    // A request of HTTP/1 ends with an empty line.
    let is_alone =
        is_line && matches!(payload.load::<4>(fresh.end - 4), Some([.., second, b'\r', b'\n']) if second != b'\n');
    if is_alone { len } else { 0 }
}
