//! A worker binds a TCP port: give it `SO_REUSEPORT`, so that its siblings can bind the same one, and tag the socket
//! with the worker, so that the listening callback knows whose it is. Port 0 and other protocols are left alone.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_setsockopt},
    programs::SockAddrContext,
};
use aya_log_ebpf::warn;
use llb_common::abi::{EVENT_BIND, Endpoint, Owner, SocketEvent};

use crate::{kernel, maps};

const SOL_SOCKET: i32 = 1;
const SO_REUSEPORT: i32 = 15;
const IPPROTO_TCP: u32 = 6;

/// The address being bound, IPv4.
#[inline(always)]
pub fn endpoint4(ctx: &SockAddrContext) -> Endpoint {
    // SAFETY: the context is valid during the program's run.
    let (ip, port) = unsafe { ((*ctx.sock_addr).user_ip4, (*ctx.sock_addr).user_port) };
    Endpoint { addr: mapped(ip), port: host_order(port), any: 0 }
}

/// The address being bound, IPv6.
#[inline(always)]
pub fn endpoint6(ctx: &SockAddrContext) -> Endpoint {
    // SAFETY: the context is valid during the program's run.
    let (ip, port) = unsafe { ((*ctx.sock_addr).user_ip6, (*ctx.sock_addr).user_port) };
    Endpoint { addr: bytes(ip), port: host_order(port), any: 0 }
}

/// Shares the port, if it is one to be steered, and tells userspace, which can then say why a worker that could not
/// bind has failed.
#[inline(always)]
pub fn share(ctx: &SockAddrContext, endpoint: Endpoint) {
    // SAFETY: the context is valid during the program's run.
    let protocol = unsafe { (*ctx.sock_addr).protocol };
    if protocol != IPPROTO_TCP || endpoint.port == 0 || !is_steered(&endpoint) {
        return;
    }
    let on: i32 = 1;
    // SAFETY: the option's value is an int on this stack.
    let refused = unsafe {
        bpf_setsockopt(
            ctx.as_ptr(),
            SOL_SOCKET,
            SO_REUSEPORT,
            (&raw const on).cast_mut().cast(),
            size_of::<i32>() as i32,
        )
    };
    let cgroup = worker();
    // SAFETY: the context is valid during the program's run; the socket is a full one, or the verifier refuses.
    let sk = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    if refused != 0 {
        warn!(ctx, "port {}: the kernel refused SO_REUSEPORT: {}", endpoint.port, refused);
    } else if !maps::set_owner(sk.cast(), Owner { cgroup }) {
        warn!(ctx, "port {}: no memory to tag the socket (net.core.optmem_max)", endpoint.port);
    }
    // A full buffer loses only the explanation.
    let _ = maps::send(&SocketEvent {
        cookie: kernel::cookie(ctx),
        cgroup,
        kind: EVENT_BIND,
        port: endpoint.port,
        addr: endpoint.addr,
        ..SocketEvent::default()
    });
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
        || maps::steered(&Endpoint { addr: [0; 16], port: endpoint.port, any: 1 })
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

/// The bytes of an address whose words are in network order.
#[inline(always)]
pub fn bytes(words: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = words.map(u32::to_ne_bytes);
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}
