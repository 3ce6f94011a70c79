//! What connections inherit from their listener.

use std::os::fd::AsFd;

use nix::libc;

use super::options::{int_option, set_int_option};

/// Options of a listener that its connections inherit, and one that says which addresses it takes.
const INHERITED: [(libc::c_int, libc::c_int); 14] = [
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
];

/// Sizes of buffers, inherited too. The kernel doubles what is asked for.
const BUFFERS: [libc::c_int; 2] = [libc::SO_RCVBUF, libc::SO_SNDBUF];

/// What connections inherit from a listener that a new socket of its family does not have.
#[derive(Clone, Debug, Default)]
pub struct Heritage(Vec<(libc::c_int, libc::c_int, libc::c_int)>);

impl Heritage {
    /// What differs between the two, as far as the kernel has it: a default that is set would count as a wish.
    pub fn of(listener: impl AsFd, new: impl AsFd) -> Self {
        let differs = |level: libc::c_int, option: libc::c_int| match (
            int_option(&listener, level, option),
            int_option(&new, level, option),
        ) {
            (Ok(theirs), Ok(ours)) if theirs != ours => Some(theirs),
            _ => None,
        };
        let options = INHERITED.iter().filter_map(|(level, option)| Some((*level, *option, differs(*level, *option)?)));
        let buffer = |option: &libc::c_int| {
            let size = differs(libc::SOL_SOCKET, *option)?;
            Some((libc::SOL_SOCKET, *option, size / 2))
        };
        Heritage(options.chain(BUFFERS.iter().filter_map(buffer)).collect())
    }

    /// Gives it to a new socket. What cannot be had is not inherited.
    pub fn give(&self, socket: impl AsFd) {
        for (level, option, value) in &self.0 {
            let _ = set_int_option(&socket, *level, *option, *value);
        }
    }
}
