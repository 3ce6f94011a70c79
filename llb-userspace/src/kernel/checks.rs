//! Leads connections of llb's own to single listeners, to ask whether their workers are ready.

use std::{fs::File, io, net::SocketAddr, os::fd::AsRawFd};

use aya::{
    maps::{MapData, SockHash},
    programs::{SkLookup, sk_lookup::SkLookupLink},
};
use llb_common::{abi::Endpoint, names};

use super::{
    KernelError, Options,
    error::map_error,
    object::{load_program, object},
    value::Value,
};

/// The network namespace that we are in.
const OWN: &str = "/proc/self/ns/net";

/// The program, attached to our network namespace until this is dropped. It runs once for each connection that is made there.
pub(crate) struct Checks {
    listeners: SockHash<MapData, Value<Endpoint>>,
    _link: SkLookupLink,
}

impl Checks {
    /// Loads and attaches it. A takeover does not continue it: the next master makes its own.
    ///
    /// # Errors
    /// [`KernelError`] naming the map or program that the kernel refused.
    pub(crate) fn attach() -> Result<Self, KernelError> {
        let name = names::CHECK;
        let mut ebpf = object(&Options { cgroup_level: None, limits: Vec::new(), keeps_books: false, sticky: None })?;
        load_program(&mut ebpf, name)?;
        let failed = |error| KernelError::Attach { name, source: error };
        let program = ebpf.program_mut(name).ok_or(KernelError::Missing { what: "program", name })?;
        let program: &mut SkLookup = program.try_into().map_err(|error| failed(io::Error::other(error)))?;
        let link = program.attach(File::open(OWN).map_err(failed)?).and_then(|link| program.take_link(link));
        let link = link.map_err(|error| failed(io::Error::other(error)))?;
        let map = ebpf.take_map(names::CHECKS).ok_or(KernelError::Missing { what: "map", name: names::CHECKS })?;
        Ok(Checks { listeners: map.try_into().map_err(map_error(names::CHECKS))?, _link: link })
    }

    /// Has a connection from `from` to port `to` come to this listener. While it does, the listener cannot join a group.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn direct(&mut self, from: SocketAddr, to: u16, listener: impl AsRawFd) -> Result<(), KernelError> {
        self.listeners.insert(key(from, to), listener, 0).map_err(map_error(names::CHECKS))
    }

    /// Ends that.
    pub(crate) fn end(&mut self, from: SocketAddr, to: u16) {
        // A listener that has closed has left by itself.
        let _ = self.listeners.remove(&key(from, to));
    }
}

fn key(from: SocketAddr, to: u16) -> Value<Endpoint> {
    let addr = match from {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
        SocketAddr::V6(v6) => *v6.ip(),
    };
    Value(Endpoint { addr: addr.octets(), port: from.port().into(), scope: to.into() })
}
