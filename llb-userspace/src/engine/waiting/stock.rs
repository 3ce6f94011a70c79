//! Sockets for places in line, made before they are needed: a hand-over ends one.
//!
//! A listener that has ended may listen again, but the kernel then looks for conflicts among all sockets that are bound to its
//! address, and those of closed connections are some ten thousand. A new socket that shares the port is spared that.

use socket2::Socket;

use crate::{engine::core::Core, model::Address};

/// How many there are of each family. The next tick makes what has been taken, so that is seven thousand hand-overs a second; what
/// is more listens again.
const STOCK: usize = 64;

/// Sockets that are bound to nothing.
#[derive(Debug, Default)]
pub(super) struct Stock {
    ipv4: Vec<Socket>,
    ipv6: Vec<Socket>,
}

impl Stock {
    fn of(&mut self, address: Address) -> &mut Vec<Socket> {
        if address.0.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 }
    }

    /// One for an address, if there is one.
    pub(super) fn take(&mut self, address: Address) -> Option<Socket> {
        self.of(address).pop()
    }

    /// Makes sockets of an address's family once half of them are gone: all at once, as each time takes a process.
    pub(super) fn refill(&mut self, core: &Core, address: Address) {
        let stock = self.of(address);
        if stock.len() > STOCK / 2 {
            return;
        }
        match core.make_own(address, STOCK - stock.len()) {
            Ok(made) => stock.extend(made),
            Err(error) => tracing::debug!("no sockets in stock, listeners listen again: {error:#}"),
        }
    }
}
