//! Ports that several workers have bound and none listens on. A program that binds a port so that only one copy of it does
//! some work gets what it does not expect: where ports are shared, every copy has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::model::{Address, Instant, WorkerId};

/// Programs listen right after they have bound. Those that load their code in between take as long as that does, and are not
/// ready before.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sockets that workers have bound.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    sockets: BTreeMap<u64, Socket>,
    /// Where somebody listens or has listened, and what has been reported already: no warning is due there.
    settled: BTreeSet<Address>,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    address: Address,
    worker: WorkerId,
    since: Instant,
}

impl Bound {
    /// A worker binds a socket.
    pub(crate) fn binds(&mut self, cookie: u64, worker: WorkerId, address: Address, now: Instant) {
        let address = canonical(address);
        if !self.settled.contains(&address) {
            self.sockets.insert(cookie, Socket { address, worker, since: now });
        }
    }

    /// A worker listens.
    pub(crate) fn listens(&mut self, address: Address) {
        self.settle(canonical(address));
    }

    /// Nobody has the socket open any more.
    pub(crate) fn releases(&mut self, cookie: u64) {
        self.sockets.remove(&cookie);
    }

    /// The addresses to warn of now, each once, with the workers that have bound them; those that are starting
    /// may still listen.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        is_starting: impl Fn(WorkerId) -> bool,
    ) -> Vec<(Address, BTreeSet<WorkerId>)> {
        let mut long: BTreeMap<Address, BTreeSet<WorkerId>> = BTreeMap::new();
        let is_long = |socket: &&Socket| now >= socket.since.after(PATIENCE) && !is_starting(socket.worker);
        for socket in self.sockets.values().filter(is_long) {
            long.entry(socket.address).or_default().insert(socket.worker);
        }
        long.retain(|_, workers| workers.len() > 1);
        long.keys().for_each(|address| self.settle(*address));
        long.into_iter().collect()
    }

    fn settle(&mut self, address: Address) {
        if self.settled.insert(address) {
            self.sockets.retain(|_, socket| socket.address != address);
        }
    }
}

fn canonical(Address(address): Address) -> Address {
    Address((address.ip().to_canonical(), address.port()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Instant = Instant(3_000_000_000);

    fn address(port: u16) -> Address {
        Address(([127, 0, 0, 1], port).into())
    }

    fn ready(_: WorkerId) -> bool {
        false
    }

    #[test]
    fn a_port_is_not_told_of_workers_that_start() {
        let mut bound = Bound::default();
        (1..4).for_each(|cookie| bound.binds(cookie, WorkerId(cookie), address(80), Instant(0)));
        assert_eq!(bound.step(LATER, |id| id != WorkerId(2)), []);
        assert_eq!(bound.step(LATER, ready).len(), 1);
    }

    #[test]
    fn a_port_that_two_bind_is_told_once() {
        let mut bound = Bound::default();
        bound.binds(1, WorkerId(1), address(47_200), Instant(0));
        assert_eq!(bound.step(LATER, ready), [], "one alone has it");
        bound.binds(2, WorkerId(2), Address("[::ffff:127.0.0.1]:47200".parse().unwrap()), Instant(0));
        assert_eq!(bound.step(Instant(0), ready), [], "it may still listen");
        assert_eq!(bound.step(LATER, ready), [(address(47_200), [WorkerId(1), WorkerId(2)].into())]);
        bound.binds(3, WorkerId(3), address(47_200), LATER);
        bound.binds(4, WorkerId(4), address(47_200), LATER);
        assert_eq!(bound.step(Instant(9_000_000_000), ready), []);
    }

    #[test]
    fn a_port_that_one_listens_on_is_not_told() {
        let mut bound = Bound::default();
        (1..4).for_each(|cookie| bound.binds(cookie, WorkerId(cookie), address(80), Instant(0)));
        bound.listens(address(80));
        assert_eq!(bound.step(LATER, ready), []);
    }

    #[test]
    fn a_socket_that_is_closed_does_not_count() {
        let mut bound = Bound::default();
        bound.binds(1, WorkerId(1), address(80), Instant(0));
        bound.binds(2, WorkerId(2), address(80), Instant(0));
        bound.releases(2);
        assert_eq!(bound.step(LATER, ready), []);
    }
}
