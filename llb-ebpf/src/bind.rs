//! A worker binds a port: give it `SO_REUSEPORT`, so that its siblings can bind the same one, and tag the socket
//! with the worker, so that the listening callback knows whose it is. A UDP socket that has bound is told of at once. Port 0,
//! multicast addresses and other protocols than TCP and UDP are left alone.
//!
//! Within a worker a port is no more shared than anywhere else: its second socket on an address is not given the option,
//! and the kernel refuses it, unless the program has set it for both. A port that is each worker's own is left alone, or
//! becomes another one in each slot.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock,
    helpers::generated::{
        bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_getsockopt, bpf_setsockopt,
    },
    programs::{SockAddrContext, SockContext},
};
use aya_log_ebpf::warn;
use llb_common::abi::{
    EVENT_BIND, EVENT_RECEIVE, EVENT_RELEASE, Endpoint, MAX_OWN_PORTS, OWNER_ALONE, OWNER_LLB, OWNER_SHARES, OwnPorts,
    Owner, SCOPE_UDP, SocketEvent, TAKEN_UDP,
};

use crate::{kernel, maps};

const SOL_SOCKET: i32 = 1;
const SO_REUSEADDR: i32 = 2;
const SO_REUSEPORT: i32 = 15;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;

/// `ENOMEM`: the kernel has no memory to tag the socket.
const NO_MEMORY: i64 = -12;

/// The highest port.
const LAST_PORT: u32 = 65_535;

/// The address being bound, IPv4.
#[inline(always)]
pub fn endpoint4(ctx: &SockAddrContext) -> Endpoint {
    // SAFETY: the context is valid during the program's run.
    let (ip, port) = unsafe { ((*ctx.sock_addr).user_ip4, (*ctx.sock_addr).user_port) };
    Endpoint { addr: mapped(ip), port: host_order(port), scope: 0 }
}

/// The address being bound, IPv6.
#[inline(always)]
pub fn endpoint6(ctx: &SockAddrContext) -> Endpoint {
    // SAFETY: the context is valid during the program's run.
    let (ip, port) = unsafe { ((*ctx.sock_addr).user_ip6, (*ctx.sock_addr).user_port) };
    Endpoint { addr: bytes(ip), port: host_order(port), scope: 0 }
}

/// Shares the port, if it is one to be steered, and tells userspace, which can then say why a worker that could not
/// bind has failed.
#[inline(always)]
pub fn share(ctx: &SockAddrContext, asked: Endpoint) {
    // SAFETY: the context is valid during the program's run; the socket is a full one, or the verifier refuses.
    let (protocol, sk) = unsafe { ((*ctx.sock_addr).protocol, (*ctx.sock_addr).__bindgen_anon_1.sk) };
    let is_udp = protocol == IPPROTO_UDP;
    if protocol != IPPROTO_TCP && !is_udp {
        return;
    }
    let (full, cookie, cgroup) = (sk, kernel::cookie(ctx), worker());
    let sk = full.cast();
    // It may have tried another port before, which the kernel has refused.
    let before = maps::owner(sk);
    if before.is_some_and(|before| before.flags & OWNER_LLB != 0) {
        return;
    }
    if let Some(before) = before {
        maps::unbind(&before, cookie);
    }
    let (endpoint, alone) = match own_port(asked.port) {
        Some(by_slot) => (shifted(ctx, asked, cgroup, by_slot), OWNER_ALONE),
        None => (asked, 0),
    };
    let is_taken = alone == 0 && maps::is_taken(endpoint.port | if is_udp { TAKEN_UDP } else { 0 });
    let shares = match alone {
        // What is sent to many comes to each that has asked for it.
        0 => endpoint.port != 0 && is_steered(&endpoint) && !is_taken && !(is_udp && is_multicast(&endpoint.addr)),
        // The next worker of the slot binds it while the one before still has it.
        _ => endpoint.port != asked.port || own_port(asked.port) == Some(true),
    };
    // The device only this hook can see, and of TCP the one of a socket that listens.
    // SAFETY: a full socket of the context, as above.
    let scope = if is_udp { SCOPE_UDP | unsafe { kernel::read(&raw const (*full).bound_dev_if) } } else { 0 };
    let owner = Owner { cgroup, endpoint: Endpoint { scope, ..endpoint }, flags: alone };
    let was_ours = before.is_some_and(|before| before.flags & OWNER_SHARES != 0);
    let has_option = has(ctx, SO_REUSEPORT) && !was_ours;
    // With this one several UDP sockets may have an address: those that a program connects must be in one group with the one
    // that it receives with, or the kernel does not look for them.
    let by_program = has_option || (is_udp && has(ctx, SO_REUSEADDR));
    if !shares || !(by_program | is_first(&owner, cookie)) {
        leave(ctx, sk, was_ours || is_taken);
        if is_taken && is_udp {
            // Which is enough for UDP sockets to share one.
            let _ = set(ctx, SO_REUSEADDR, 0);
        }
        if is_taken {
            tell(EVENT_BIND, cookie, &owner);
        }
        return;
    }
    let refused = set_reuseport(ctx, 1);
    let flags = alone | if has_option { 0 } else { OWNER_SHARES };
    if refused != 0 {
        let _ = llb_warn(endpoint.port, refused);
    } else if !maps::set_owner(sk, Owner { flags, ..owner }) {
        let _ = llb_warn(endpoint.port, NO_MEMORY);
        maps::unbind(&owner, cookie);
    }
    if alone == 0 && !is_udp {
        tell(EVENT_BIND, cookie, &owner);
    }
}

/// A socket has bound. TCP ones are told of when they listen; a UDP socket that llb shares receives from now on.
#[inline(always)]
pub fn bound(ctx: &SockContext) {
    let sock = ctx.as_ptr().cast::<bpf_sock>();
    // SAFETY: the context is valid during the program's run, and is the socket.
    let (protocol, family) = unsafe { ((*sock).protocol, (*sock).family) };
    if protocol != IPPROTO_UDP {
        return;
    }
    let Some(Owner { cgroup, endpoint, .. }) = maps::steered_owner(ctx.as_ptr()) else { return };
    let cookie = kernel::cookie(ctx);
    maps::expect(cookie, &endpoint);
    let Endpoint { addr, port, .. } = endpoint;
    // A full buffer leaves the socket to the kernel's hash.
    let _ = maps::send(&SocketEvent { cookie, cgroup, kind: EVENT_RECEIVE, port, family, addr, reserved: 0 });
}

/// Nobody has the socket open any more.
#[inline(always)]
pub fn released(ctx: &SockContext) {
    let Some(owner) = maps::owner(ctx.as_ptr()) else { return };
    let cookie = kernel::cookie(ctx);
    maps::unbind(&owner, cookie);
    if owner.flags & OWNER_ALONE == 0 {
        tell(EVENT_RELEASE, cookie, &owner);
    }
}

/// The socket cannot be steered. What is logged is written byte by byte: a global function, so that the verifier follows that once,
/// and not for each way to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_warn(port: u32, error: i64) -> u32 {
    warn!((), "port {}: the kernel refused to share a socket: {} (-12: raise net.core.optmem_max)", port, error);
    0
}

/// A full buffer loses only an explanation.
#[inline(always)]
fn tell(kind: u32, cookie: u64, owner: &Owner) {
    // SAFETY: it lives on this stack until the call returns.
    let _ = unsafe { llb_tell(kind, cookie, &raw const *owner) };
}

/// [`tell`]. A global function as well.
///
/// # Safety
/// `owner` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_tell(kind: u32, cookie: u64, owner: *const Owner) -> u32 {
    // SAFETY: the caller's promise.
    let Some(owner) = (unsafe { owner.as_ref() }) else { return 0 };
    let Owner { cgroup, endpoint: Endpoint { addr, port, .. }, .. } = *owner;
    maps::send(&SocketEvent { cookie, cgroup, kind, port, addr, ..SocketEvent::default() }).into()
}

/// The port is not shared: takes away what the socket was given for another one, and for the port of another fleet also
/// what the program has set, so that the kernel refuses it.
#[inline(always)]
fn leave(ctx: &SockAddrContext, sk: *mut c_void, not_to_share: bool) {
    if not_to_share {
        let _ = set_reuseport(ctx, 0);
    }
    if let Some(owner) = maps::owner_mut(sk) {
        owner.flags = OWNER_ALONE;
    }
}

/// Whether the worker has no other socket there, nor on every address of the port; from now on this is the one.
#[inline(always)]
fn is_first(owner: &Owner, cookie: u64) -> bool {
    // SAFETY: it lives on this stack until the call returns.
    unsafe { llb_is_first(&raw const *owner, cookie) != 0 }
}

/// [`is_first`]. A global function as well.
///
/// # Safety
/// `owner` is null or points to a whole one.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn llb_is_first(owner: *const Owner, cookie: u64) -> u32 {
    // SAFETY: the caller's promise.
    let Some(owner) = (unsafe { owner.as_ref() }) else { return 0 };
    let addr = if is_mapped(&owner.endpoint.addr) { mapped(0) } else { [0; 16] };
    let anywhere = Owner { endpoint: Endpoint { addr, ..owner.endpoint }, ..*owner };
    (maps::holds(&anywhere, cookie) && maps::bind(owner, cookie)).into()
}

/// Whether a port is each worker's own, and then whether it depends on the slot.
#[inline(always)]
fn own_port(port: u32) -> Option<bool> {
    match black_box(llb_own_port(port)) {
        ALIKE => Some(false),
        BY_SLOT => Some(true),
        _ => None,
    }
}

/// What [`llb_own_port`] says of a port that is the same one in each worker, and of one that is not.
const ALIKE: u32 = 1;
const BY_SLOT: u32 = 2;

/// [`own_port`], as a number. A global function: the verifier takes the loop for itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn llb_own_port(port: u32) -> u32 {
    for index in 0..MAX_OWN_PORTS as u32 {
        let Some(OwnPorts { first, last, by_slot, .. }) = maps::own_ports(index) else { return 0 };
        if first == 0 {
            return 0;
        }
        if first <= port && port <= last {
            return if by_slot != 0 { BY_SLOT } else { ALIKE };
        }
    }
    0
}

/// Has the worker bind the port of its slot instead. One that would be too high stays as it is.
#[inline(always)]
fn shifted(ctx: &SockAddrContext, asked: Endpoint, cgroup: u64, by_slot: bool) -> Endpoint {
    let slot = if by_slot { maps::slot(cgroup).unwrap_or(0) } else { 0 };
    let port = asked.port + slot;
    if slot == 0 || port > LAST_PORT {
        return asked;
    }
    // SAFETY: the context is valid during the program's run; the kernel lets these programs write this field.
    unsafe { kernel::write(&raw mut (*ctx.sock_addr).user_port, u32::from((port as u16).to_be())) };
    Endpoint { port, ..asked }
}

#[inline(always)]
fn has(ctx: &SockAddrContext, option: i32) -> bool {
    let mut on: i32 = 0;
    // SAFETY: the option's value is an int on this stack. A kernel that refuses to tell leaves it 0.
    let refused =
        unsafe { bpf_getsockopt(ctx.as_ptr(), SOL_SOCKET, option, (&raw mut on).cast(), size_of::<i32>() as i32) };
    refused == 0 && on != 0
}

#[inline(always)]
fn set_reuseport(ctx: &SockAddrContext, on: i32) -> i64 {
    set(ctx, SO_REUSEPORT, on)
}

#[inline(always)]
fn set(ctx: &SockAddrContext, option: i32, on: i32) -> i64 {
    // SAFETY: the option's value is an int on this stack.
    unsafe {
        bpf_setsockopt(ctx.as_ptr(), SOL_SOCKET, option, (&raw const on).cast_mut().cast(), size_of::<i32>() as i32)
    }
}

/// The worker's cgroup: that of the process, or, as a worker may make cgroups of its own, its ancestor at the level
/// that userspace knows of. In a cgroup namespace it knows of none.
#[inline(always)]
fn worker() -> u64 {
    let level = maps::cgroup_level();
    // SAFETY: neither takes a pointer.
    unsafe { if level == 0 { bpf_get_current_cgroup_id() } else { bpf_get_current_ancestor_cgroup_id(level as i32) } }
}

#[inline(always)]
fn is_steered(endpoint: &Endpoint) -> bool {
    !maps::limited()
        || maps::steered(endpoint)
        || maps::steered(&Endpoint { addr: [0; 16], port: endpoint.port, scope: 1 })
}

#[inline(always)]
fn host_order(port: u32) -> u32 {
    u32::from(u16::from_be(port as u16))
}

/// `::ffff:a.b.c.d` of an address in network order.
#[inline(always)]
pub fn mapped(ip4: u32) -> [u8; 16] {
    bytes([0, 0, 0xffff_u32.to_be(), ip4])
}

#[inline(always)]
fn is_mapped(addr: &[u8; 16]) -> bool {
    addr[0] == 0 && addr[10] == 0xff && addr[11] == 0xff
}

/// 224.0.0.0/4 and ff00::/8.
#[inline(always)]
fn is_multicast(addr: &[u8; 16]) -> bool {
    if is_mapped(addr) { addr[12] >> 4 == 0xe } else { addr[0] == 0xff }
}

/// The bytes of an address whose words are in network order.
#[inline(always)]
pub fn bytes(words: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = words.map(u32::to_ne_bytes);
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}
