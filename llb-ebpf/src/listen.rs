//! Tells userspace of listeners that appear and go.

use aya_ebpf::{
    bindings::{BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_LISTEN, bpf_sock},
    programs::SockOpsContext,
};
use llb_common::abi::{EVENT_CLOSE, EVENT_LISTEN, Endpoint, SocketEvent};

use crate::{bind, kernel, maps, track};

const AF_INET: u32 = 2;

/// A socket begins to listen. One that llb has not tagged is none of its business.
#[inline(always)]
pub fn appeared(ctx: &SockOpsContext) {
    if maps::steered_owner(track::socket(ctx)).is_some() {
        // Without the flag the close is not seen; userspace then learns of it when the worker exits.
        let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
        tell(ctx, EVENT_LISTEN);
    }
}

/// A socket's state changes: true if it was a listener's, which is told when it has stopped to listen.
#[inline(always)]
pub fn left(ctx: &SockOpsContext) -> bool {
    if ctx.arg(0) != BPF_TCP_LISTEN {
        return false;
    }
    tell(ctx, EVENT_CLOSE);
    true
}

#[inline(always)]
fn tell(ctx: &SockOpsContext, kind: u32) {
    let family = ctx.family();
    let addr = local_addr(ctx, family);
    let cookie = kernel::cookie(ctx);
    if kind == EVENT_LISTEN {
        maps::expect(cookie, &Endpoint { addr, port: ctx.local_port(), scope: device(ctx) });
    }
    let event = SocketEvent {
        cookie,
        cgroup: maps::owner(track::socket(ctx)).map_or(0, |owner| owner.cgroup),
        kind,
        port: ctx.local_port(),
        family,
        reserved: 0,
        addr,
    };
    if !maps::send(&event) {
        aya_log_ebpf::error!(ctx, "port {}: an event was lost, the buffer is full", event.port);
    }
}

/// The index of the device that the socket is bound to, or 0.
#[inline(always)]
fn device(ctx: &SockOpsContext) -> u32 {
    let sk = track::socket(ctx).cast::<bpf_sock>();
    // SAFETY: a socket of the context, which the verifier knows as such once it is not null.
    if sk.is_null() { 0 } else { unsafe { kernel::read(&raw const (*sk).bound_dev_if) } }
}

/// Both addresses are read, whatever the family: the verifier takes no pointer into the context that depends on it.
#[inline(always)]
fn local_addr(ctx: &SockOpsContext, family: u32) -> [u8; 16] {
    // SAFETY: fields of the context, which is valid during the program's run; volatile, so that neither read moves
    // into a branch.
    let (ip4, ip6) =
        unsafe { (kernel::read(&raw const (*ctx.ops).local_ip4), kernel::read(&raw const (*ctx.ops).local_ip6)) };
    if family == AF_INET { bind::mapped(ip4) } else { bind::bytes(ip6) }
}
