//! Listeners of llb's own, one for each address, in which connections wait while no worker listens there: all have crashed, or
//! the only one is being replaced. When a worker has joined, llb ends such a listener and the kernel gives who waits there to
//! the worker; llb accepts nobody. The selector never chooses one: the kernel's hash comes to it when there is no worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use llb_common::policy::Policy;
use nix::libc;
use socket2::Socket;

use super::Engine;
use crate::{
    config::Config,
    fleet::State,
    line::STANDBY,
    model::{Address, Instant, Seat},
    sys::{born, socket},
};

/// As many wait as the kernel allows (`net.core.somaxconn`).
const BACKLOG: i32 = i32::MAX;

/// The standby listeners of a fleet.
#[derive(Debug)]
pub(super) struct Standby {
    /// How long an address is kept without a worker.
    timeout: Duration,
    open: BTreeMap<Address, Open>,
    /// Addresses that cannot have one.
    without: BTreeSet<Address>,
    /// Connections that have been given to a worker.
    pub(super) given: u64,
}

#[derive(Debug)]
struct Open {
    listener: Socket,
    /// Since when no worker has listened there.
    deserted_since: Option<Instant>,
}

/// What is seen of an address.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Whether a worker listens there.
    is_served: bool,
    /// Whether a worker that serves has its listeners elsewhere: then the address has been given up on purpose.
    is_served_elsewhere: bool,
    /// Connections in the queue.
    waiting: u32,
    deserted_since: Option<Instant>,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Who waits is given to the workers.
    GiveOn,
    /// Nobody is to wait there any longer.
    Close,
}

fn waiting(listener: &Socket) -> u32 {
    socket::accept_queue(listener).map_or(0, |queue| queue.length)
}

fn step(sight: Sight, timeout: Duration, now: Instant) -> Step {
    match sight.deserted_since {
        _ if sight.is_served && sight.waiting > 0 => Step::GiveOn,
        _ if sight.is_served => Step::Nothing,
        _ if sight.is_served_elsewhere => Step::Close,
        Some(since) if now >= since.after(timeout) => Step::Close,
        _ => Step::Nothing,
    }
}

impl Standby {
    /// None where the policy leaves the choice to the kernel's hash: that would choose these listeners too.
    pub(super) fn new(config: &Config) -> Self {
        let timeout = if config.policy == Policy::Hash { Duration::ZERO } else { config.queue_timeout };
        Standby { timeout, open: BTreeMap::new(), without: BTreeSet::new(), given: 0 }
    }

    /// How many wait now.
    pub(super) fn waiting(&self) -> u64 {
        self.open.values().map(|open| u64::from(waiting(&open.listener))).sum()
    }
}

impl Engine {
    /// What is done with every tick.
    pub(super) fn tend_standby(&mut self, now: Instant) {
        if self.standby.timeout.is_zero() {
            return;
        }
        let groups = self.updater.steering().groups();
        let served: BTreeMap<Address, u64> =
            groups.filter_map(|(address, members)| Some((address, members.first()?.cookie))).collect();
        for (address, cookie) in &served {
            if !self.standby.open.contains_key(address) && !self.standby.without.contains(address) {
                self.open_standby(*address, *cookie);
            }
        }
        let is_served_elsewhere = self.lives.workers().any(|worker| {
            worker.state == State::Serving && worker.listeners.iter().any(|listener| listener.seat.is_some())
        });
        let mut steps = Vec::new();
        for (address, open) in &mut self.standby.open {
            let is_served = served.contains_key(address);
            open.deserted_since = if is_served { None } else { open.deserted_since.or(Some(now)) };
            let (waiting, deserted_since) = (waiting(&open.listener), open.deserted_since);
            let sight = Sight { is_served, is_served_elsewhere, waiting, deserted_since };
            steps.push((*address, step(sight, self.standby.timeout, now)));
        }
        for (address, step) in steps {
            match step {
                Step::Nothing => {}
                Step::GiveOn => self.give_on(address, now),
                Step::Close => self.close_standby(address, now),
            }
        }
    }

    /// For the end of the fleet: while there are still workers.
    pub(super) fn end_standby(&mut self, now: Instant) {
        let addresses: Vec<Address> = self.standby.open.keys().copied().collect();
        addresses.into_iter().for_each(|address| self.close_standby(address, now));
        self.standby.timeout = Duration::ZERO;
    }

    fn open_standby(&mut self, address: Address, cookie: u64) {
        // One that is just going is no pattern; there may be another with the next tick.
        let Some(pattern) = self.owner_of(cookie).and_then(|id| self.copy(id, cookie)) else { return };
        match self.listen_on_standby(address, &pattern) {
            Ok(listener) => {
                self.standby.open.insert(address, Open { listener, deserted_since: None });
            }
            Err(error) => {
                tracing::info!(%address, "connections are refused while no worker listens there: {error:#}");
                self.standby.without.insert(address);
            }
        }
    }

    fn listen_on_standby(&mut self, address: Address, pattern: &OwnedFd) -> anyhow::Result<Socket> {
        let family = if address.0.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let owner = self.config.identity.as_ref().map(|identity| identity.uid);
        let mut made = born::sockets(self.cgroup.entrance()?.as_fd(), family, owner, 1)?;
        let listener = Socket::from(made.remove(0));
        listener.set_reuse_port(true)?;
        socket::inherit(pattern, &listener);
        listener.bind(&address.0.into())?;
        self.updater.steering_mut().disown(&listener);
        listener.listen(BACKLOG)?;
        self.updater.steering_mut().enter_line(address, STANDBY, &listener)?;
        Ok(listener)
    }

    /// Has the kernel give who waits to the workers, and listens again.
    fn give_on(&mut self, address: Address, now: Instant) {
        let mut given = None;
        self.moving(address, now, |engine| {
            let open = engine.standby.open.get(&address);
            given = open.and_then(|open| socket::relisten(&open.listener).ok());
        });
        match given {
            Some(given) => {
                self.standby.given += u64::from(given);
                tracing::debug!(%address, given, "connections that waited for a worker have one");
            }
            // It does not listen any more.
            None => self.close_standby(address, now),
        }
    }

    fn close_standby(&mut self, address: Address, now: Instant) {
        self.moving(address, now, |engine| {
            let Some(Open { listener, .. }) = engine.standby.open.remove(&address) else { return };
            let cookie = socket::cookie(&listener);
            drop(listener);
            if let Ok(cookie) = cookie {
                engine.updater.steering_mut().forget(cookie);
            }
        });
    }

    /// Does what gives connections to the workers of an address. Who is given some is not idle, and not to be ended, before
    /// these are answered.
    pub(super) fn moving(&mut self, address: Address, now: Instant, act: impl FnOnce(&mut Self)) {
        let charges = |engine: &Self| -> Vec<(Seat, u64)> {
            let (members, books) = (engine.updater.steering().members(address), engine.updater.steering().books());
            members.iter().map(|member| (member.seat, books.seat(member.seat).charged)).collect()
        };
        let before = charges(self);
        act(self);
        let after = charges(self);
        for ((seat, _), _) in after.iter().zip(&before).filter(|(after, before)| after != before) {
            self.updater.steering().books().hold(*seat, now.after(self.config.drain_timeout));
            self.wake(address, *seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn deserted(since_ms: u64) -> Sight {
        Sight { is_served: false, is_served_elsewhere: false, waiting: 3, deserted_since: Some(at(since_ms)) }
    }

    #[test]
    fn who_waits_is_given_to_the_first_worker() {
        let sight = Sight { is_served: true, deserted_since: None, ..deserted(0) };
        assert_eq!(step(sight, TIMEOUT, at(9)), Step::GiveOn);
        assert_eq!(step(Sight { waiting: 0, ..sight }, TIMEOUT, at(9)), Step::Nothing);
    }

    #[test]
    fn an_address_is_kept_for_as_long_as_is_asked_for() {
        assert_eq!(step(deserted(1_000), TIMEOUT, at(5_999)), Step::Nothing);
        assert_eq!(step(deserted(1_000), TIMEOUT, at(6_000)), Step::Close);
    }

    #[test]
    fn an_address_that_was_given_up_is_not_kept() {
        let sight = Sight { is_served_elsewhere: true, ..deserted(1_000) };
        assert_eq!(step(sight, TIMEOUT, at(1_001)), Step::Close);
    }
}
