//! llb's kernel side: entry points only. Every program fails open: whatever goes wrong, the connection goes on as it
//! would without llb.
//!
//! | program | hook | does |
//! |---|---|---|
//! | `llb_bind4`, `llb_bind6` | cgroup/bind4, bind6 | shares the port, tags the socket with its worker: [`bind`] |
//! | `llb_bound4`, `llb_bound6` | cgroup/post_bind4, post_bind6 | tell of UDP sockets: [`bind`] |
//! | `llb_release` | cgroup/sock_release | a worker may bind the socket's address again: [`bind`] |
//! | `llb_sockops` | sock_ops | tells of listeners, opens and closes connections' books: [`listen`], [`track`] |
//! | `llb_ingress`, `llb_egress` | cgroup_skb | requests that begin, and their answers: [`segment`], [`track`] |
//! | `llb_check` | sk_lookup | leads llb's own question to the worker that it is meant for: [`check`] |
//! | `llb_steer` | sk_reuseport/migrate | picks the seat: [`select`], or a place to wait in: [`line`]; or the one that llb itself asks: [`reach`] |
//! | `llb_flow` | sk_reuseport | picks the seat of a datagram: [`flow`], [`quic`] |
#![no_std]
#![no_main]
#![feature(core_intrinsics)]

mod bind;
mod check;
mod flow;
mod kernel;
mod line;
mod listen;
mod maps;
mod quic;
mod reach;
mod segment;
mod select;
mod sticky;
mod track;
mod why;

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_TCP_LISTEN_CB,
        sk_action::{SK_DROP, SK_PASS},
    },
    macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr, sk_lookup, sk_reuseport, sock_ops},
    programs::{SkBuffContext, SkLookupContext, SkReuseportContext, SockAddrContext, SockContext, SockOpsContext},
};

use llb_common::{flow::Fate, outcome::Outcome};
use reach::Reached;

/// What a cgroup program returns to let things go on.
const ALLOW: i32 = 1;

#[cgroup_sock_addr(bind4)]
pub fn llb_bind4(ctx: SockAddrContext) -> i32 {
    bind::share(&ctx, bind::endpoint4(&ctx));
    ALLOW
}

#[cgroup_sock_addr(bind6)]
pub fn llb_bind6(ctx: SockAddrContext) -> i32 {
    bind::share(&ctx, bind::endpoint6(&ctx));
    ALLOW
}

#[cgroup_sock(post_bind4)]
pub fn llb_bound4(ctx: SockContext) -> i32 {
    bind::bound(&ctx);
    ALLOW
}

#[cgroup_sock(post_bind6)]
pub fn llb_bound6(ctx: SockContext) -> i32 {
    bind::bound(&ctx);
    ALLOW
}

#[cgroup_sock(sock_release)]
pub fn llb_release(ctx: SockContext) -> i32 {
    bind::released(&ctx);
    ALLOW
}

#[sock_ops]
pub fn llb_sockops(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_LISTEN_CB => listen::appeared(&ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            if sticky::is_on() {
                sticky::established(&ctx);
            }
            track::established(&ctx);
        }
        BPF_SOCK_OPS_STATE_CB => {
            if !listen::left(&ctx) {
                track::state_changed(&ctx);
            }
        }
        _ => {}
    }
    1
}

#[cgroup_skb(ingress)]
pub fn llb_ingress(ctx: SkBuffContext) -> i32 {
    track::ingress(&ctx);
    ALLOW
}

#[cgroup_skb(egress)]
pub fn llb_egress(ctx: SkBuffContext) -> i32 {
    track::egress(&ctx);
    ALLOW
}

#[sk_lookup]
pub fn llb_check(ctx: SkLookupContext) -> u32 {
    check::direct(&ctx);
    SK_PASS
}

/// `SK_DROP` would answer the client with a reset, so a client's verdict is always `SK_PASS`: without a selected socket the
/// kernel's hash takes over.
#[sk_reuseport(migrate)]
pub fn llb_steer(ctx: SkReuseportContext) -> u32 {
    if select::is_stray(&ctx) {
        return SK_PASS;
    }
    let Some(seats) = maps::seats() else {
        maps::count(Outcome::FallbackMap);
        return SK_PASS;
    };
    // SAFETY: it points into SEATS.
    if unsafe { maps::is_anybody_reaching(seats) } {
        match reach::reach(&ctx) {
            Reached::Nobody => {}
            Reached::Worker => return SK_PASS,
            Reached::Refused => return SK_DROP,
        }
    }
    maps::count(select::steer(&ctx, seats));
    SK_PASS
}

/// As above: what it does not select the kernel's hash does.
#[sk_reuseport]
pub fn llb_flow(ctx: SkReuseportContext) -> u32 {
    let fate = flow::steer(&ctx);
    // What is known is counted where it goes: it is most, and what the seats have besides the others.
    if !matches!(fate, Fate::Known) {
        maps::count_fate(fate);
    }
    SK_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
