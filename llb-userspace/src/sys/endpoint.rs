//! Where others can reach a socket of this machine.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The number that `socket:[...]` in /proc/PID/fd shows.
    pub inode: u64,
    /// What it waits on.
    pub endpoint: Endpoint,
}

/// Where others can reach a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A listening TCP socket.
    Tcp(SocketAddr),
    /// A bound UDP socket.
    Udp(SocketAddr),
    /// A listening unix socket; an abstract one begins with `@`.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "tcp {address}"),
            Endpoint::Udp(address) => write!(f, "udp {address}"),
            Endpoint::Unix(path) => write!(f, "unix socket {}", path.display()),
        }
    }
}
