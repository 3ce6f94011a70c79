//! Addresses, as the programs know them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use llb_common::abi::Endpoint;

use crate::model::Address;

/// An address that is steered; none given means all.
///
/// ```
/// use std::net::Ipv6Addr;
/// use llb::kernel::Limit;
///
/// assert_eq!(Limit { addr: None, port: 8080 }.to_string(), "8080");
/// assert_eq!(Limit { addr: Some(Ipv6Addr::LOCALHOST.into()), port: 80 }.to_string(), "[::1]:80");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Only this local address; none means every one.
    pub addr: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => SocketAddr::new(addr, self.port).fmt(f),
            None => self.port.fmt(f),
        }
    }
}

impl Limit {
    pub(super) fn endpoint(self) -> Endpoint {
        let (addr, scope) = match self.addr {
            Some(IpAddr::V4(v4)) => (v4.to_ipv6_mapped().octets(), 0),
            Some(IpAddr::V6(v6)) => (v6.octets(), 0),
            None => ([0; 16], 1),
        };
        Endpoint { addr, port: self.port.into(), scope }
    }
}

impl Address {
    /// The address of a socket event: IPv4 addresses travel as `::ffff:a.b.c.d`.
    #[must_use]
    pub(crate) fn from_event(addr: [u8; 16], port: u16, ipv4: bool) -> Self {
        let v6 = std::net::Ipv6Addr::from(addr);
        let ip = match v6.to_ipv4_mapped() {
            Some(v4) if ipv4 => IpAddr::V4(v4),
            _ => IpAddr::V6(v6),
        };
        Address((ip, port).into())
    }
}
