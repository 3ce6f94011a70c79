//! What matters of a packet: where its TCP payload is.

use aya_ebpf::{bindings::__sk_buff, programs::SkBuffContext};
use llb_common::{
    abi::Direction,
    wire::{Fresh, Payload, Seen, offers_http2, read_frames, read_records, record_in, record_out},
};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPV4_LEN: usize = 20;
pub const IPV6_LEN: usize = 40;
pub const TCP_LEN: usize = 20;
/// Where the header length, in words of four bytes in the upper half, lies in a TCP header.
pub const TCP_OFFSET_AT: usize = 12;
/// Where its flags lie, and the one of a reset.
const TCP_FLAGS_AT: usize = 13;
const TCP_RST: u8 = 4;

/// Where its sequence number lies, and the one that it acknowledges.
const TCP_SEQ_AT: usize = 4;
const TCP_ACK_AT: usize = 8;

/// What matters of a TCP segment.
#[derive(Clone, Copy)]
pub struct Segment {
    /// Where its payload begins in the packet.
    pub at: u32,
    /// The payload's length.
    pub len: u32,
    /// The sequence number of its first byte.
    pub seq: u32,
    /// The sequence number up to which its sender has received.
    pub ack: u32,
    pub reset: bool,
}

const NOTHING: Segment = Segment { at: 0, len: 0, seq: 0, ack: 0, reset: false };

/// What a datagram is: no segment.
const DATAGRAM: Segment = Segment { at: u32::MAX, ..NOTHING };

impl Segment {
    /// Whether it is UDP's.
    #[inline(always)]
    pub fn is_datagram(&self) -> bool {
        self.at == DATAGRAM.at
    }
}

#[inline(always)]
fn other(protocol: u8) -> Segment {
    if protocol == IPPROTO_UDP { DATAGRAM } else { NOTHING }
}

/// A segment's payload. Mostly it is not in the packet's linear part, so a helper fetches it.
pub struct Bytes<'a> {
    pub ctx: &'a SkBuffContext,
    /// Where it begins in the packet.
    pub at: u32,
}

impl Payload for Bytes<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.ctx.load::<[u8; N]>((self.at + at) as usize).ok()
    }

    #[inline(always)]
    fn frames(&self, out: bool, direction: &mut Direction, fresh: Fresh) {
        let frames = if out { llb_frames_out } else { llb_frames_in };
        let (at, end) = (self.at + fresh.at, self.at + fresh.end);
        // SAFETY: the context is that of the program's run, and the direction is a whole one.
        unsafe { frames(self.ctx.skb.skb, &raw mut *direction, at, end, fresh.gap.into()) };
    }

    #[inline(always)]
    fn offers_http2(&self, fresh: Fresh) -> bool {
        // SAFETY: the context is that of the program's run.
        unsafe { llb_offers_http2(self.ctx.skb.skb, self.at + fresh.at, self.at + fresh.end) != 0 }
    }

    #[inline(always)]
    fn records(&self, direction: &mut Direction, seen: Seen, fresh: Fresh) {
        let span = Span { at: self.at + fresh.at, end: self.at + fresh.end, gap: fresh.gap.into() };
        // SAFETY: the context is that of the program's run; the others are whole ones.
        let _ = unsafe { llb_records(self.ctx.skb.skb, &raw mut *direction, &raw const seen, &raw const span) };
    }

    #[inline(always)]
    fn record_in(&self, direction: &mut Direction, seen: Seen, record: u32) {
        // SAFETY: both are whole ones.
        let _ = unsafe { llb_record_in(&raw mut *direction, &raw const seen, record) };
    }

    #[inline(always)]
    fn record_out(&self, direction: &mut Direction, seen: Seen, record: u32) {
        // SAFETY: both are whole ones.
        let _ = unsafe { llb_record_out(&raw mut *direction, &raw const seen, record) };
    }
}

/// [`read_frames`] of what comes in, from `at` up to `end` of the packet. A global function: the verifier takes it for itself, and
/// not once for each way to it.
///
/// # Safety
/// `ctx` is a program's, and `direction` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_frames_in(
    ctx: *mut __sk_buff,
    direction: *mut Direction,
    at: u32,
    end: u32,
    gap: u32,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { frames(false, ctx, direction, Fresh { at, end, gap: gap != 0 }) }
}

/// The same of what goes out.
///
/// # Safety
/// `ctx` is a program's, and `direction` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_frames_out(
    ctx: *mut __sk_buff,
    direction: *mut Direction,
    at: u32,
    end: u32,
    gap: u32,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { frames(true, ctx, direction, Fresh { at, end, gap: gap != 0 }) }
}

/// [`offers_http2`] of what comes in, from `at` up to `end` of the packet. A global function as well.
///
/// # Safety
/// `ctx` is a program's.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_offers_http2(ctx: *mut __sk_buff, at: u32, end: u32) -> u32 {
    offers_http2(Fresh { at, end, gap: false }, &Bytes { ctx: &SkBuffContext::new(ctx), at: 0 }).into()
}

/// A [`Fresh`] as a function can be given one, its places those in the packet.
#[repr(C)]
pub struct Span {
    at: u32,
    end: u32,
    gap: u32,
}

/// [`read_records`]. A global function as well.
///
/// # Safety
/// `ctx` is a program's, and the others are null or point to whole ones.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_records(
    ctx: *mut __sk_buff,
    direction: *mut Direction,
    seen: *const Seen,
    span: *const Span,
) -> u32 {
    // SAFETY: the caller's promise.
    let (direction, seen, span) = unsafe { (direction.as_mut(), seen.as_ref(), span.as_ref()) };
    let (Some(direction), Some(seen), Some(span)) = (direction, seen, span) else { return 0 };
    let fresh = Fresh { at: span.at, end: span.end, gap: span.gap != 0 };
    read_records(direction, *seen, fresh, &Bytes { ctx: &SkBuffContext::new(ctx), at: 0 });
    0
}

/// [`record_in`]. A global function as well.
///
/// # Safety
/// Both are null or point to whole ones.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_record_in(direction: *mut Direction, seen: *const Seen, record: u32) -> u32 {
    // SAFETY: the caller's promise.
    let (Some(direction), Some(seen)) = (unsafe { direction.as_mut() }, unsafe { seen.as_ref() }) else { return 0 };
    record_in(direction, *seen, record);
    0
}

/// [`record_out`], as well.
///
/// # Safety
/// As of [`llb_record_in`].
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_record_out(direction: *mut Direction, seen: *const Seen, record: u32) -> u32 {
    // SAFETY: the caller's promise.
    let (Some(direction), Some(seen)) = (unsafe { direction.as_mut() }, unsafe { seen.as_ref() }) else { return 0 };
    record_out(direction, *seen, record);
    0
}

/// # Safety
/// As of [`llb_frames_in`].
#[inline(always)]
unsafe fn frames(out: bool, ctx: *mut __sk_buff, direction: *mut Direction, fresh: Fresh) -> u32 {
    // SAFETY: the caller's promise.
    let Some(direction) = (unsafe { direction.as_mut() }) else { return 0 };
    read_frames(out, direction, fresh, &Bytes { ctx: &SkBuffContext::new(ctx), at: 0 });
    0
}

/// A cgroup's packets begin with the IP header. Those with IPv4 options, IPv6 extension headers, or headers that are not
/// in the packet's linear part, none of which Linux does unless told to, are read the slow way, or read as nothing.
#[inline(always)]
pub fn segment(ctx: &SkBuffContext) -> Segment {
    // SAFETY: the context is valid during the program's run.
    let (start, end) = unsafe { ((*ctx.skb.skb).data as usize, (*ctx.skb.skb).data_end as usize) };
    if start + IPV4_LEN + TCP_LEN > end {
        return segment_slowly(ctx);
    }
    // SAFETY: each byte lies before `end`, as checked; the verifier checks it again.
    let byte = |at: usize| unsafe { *((start + at) as *const u8) };
    let (protocol, ip_len) = match byte(0) {
        0x45 => (byte(9), IPV4_LEN),
        first if first >> 4 == 6 && start + IPV6_LEN + TCP_LEN <= end => (byte(6), IPV6_LEN),
        _ => return segment_slowly(ctx),
    };
    if protocol != IPPROTO_TCP {
        return other(protocol);
    }
    // Constant offsets in either case: the verifier wants to see them.
    let read = |ip_len: usize| {
        let number = |at: usize| [0, 1, 2, 3].map(|place| byte(ip_len + at + place));
        segment_of(
            ctx,
            ip_len,
            [number(TCP_SEQ_AT), number(TCP_ACK_AT)],
            byte(ip_len + TCP_OFFSET_AT),
            byte(ip_len + TCP_FLAGS_AT),
        )
    };
    if ip_len == IPV4_LEN { read(IPV4_LEN) } else { read(IPV6_LEN) }
}

#[inline(always)]
fn segment_of(ctx: &SkBuffContext, ip_len: usize, numbers: [[u8; 4]; 2], offset: u8, flags: u8) -> Segment {
    let at = ip_len as u32 + u32::from(offset >> 4) * 4;
    let [seq, ack] = numbers.map(u32::from_be_bytes);
    Segment { at, len: ctx.len().saturating_sub(at), seq, ack, reset: flags & TCP_RST != 0 }
}

#[inline(always)]
fn segment_slowly(ctx: &SkBuffContext) -> Segment {
    let Ok(first) = ctx.load::<u8>(0) else { return NOTHING };
    let (protocol_at, ip_len) = if first >> 4 == 4 { (9, usize::from(first & 0xf) * 4) } else { (6, IPV6_LEN) };
    match ctx.load::<u8>(protocol_at) {
        Ok(IPPROTO_TCP) => {}
        Ok(protocol) => return other(protocol),
        Err(_) => return NOTHING,
    }
    match ctx.load::<[u8; TCP_LEN]>(ip_len) {
        Ok([_, _, _, _, a, b, c, d, e, f, g, h, offset, flags, ..]) => {
            segment_of(ctx, ip_len, [[a, b, c, d], [e, f, g, h]], offset, flags)
        }
        _ => NOTHING,
    }
}
