//! Listeners of llb's own, one for each address, in which connections wait while no worker listens there: all have crashed, or
//! the only one is being replaced. When a worker has joined, llb ends such a listener and the kernel gives who waits there to
//! the worker; llb accepts nobody. The selector chooses one when there is no worker. So that nothing is lost at the moment in which
//! the last worker dies, it listens already beside that one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Shutdown,
    os::fd::OwnedFd,
    time::Duration,
};

use llb_common::{line::STANDBY, policy::Policy};
use socket2::Socket;

use super::Waiting;
use crate::{
    config::Config,
    engine::core::Core,
    fleet::{State, find},
    model::{Address, Instant},
    sys::socket::{self, Heritage},
};

/// As many wait as the kernel allows (`net.core.somaxconn`).
const BACKLOG: i32 = i32::MAX;

/// The standby listeners of a fleet.
#[derive(Debug)]
pub(in crate::engine) struct Standby {
    /// How long an address is kept without a worker.
    timeout: Duration,
    open: BTreeMap<Address, Open>,
    /// Addresses that cannot have one.
    without: BTreeSet<Address>,
    /// Connections that have been given to a worker.
    pub(in crate::engine) given: u64,
}

#[derive(Debug)]
struct Open {
    /// Bound at all times, so that it can listen at once.
    socket: Socket,
    listens: bool,
    /// Since when no worker has listened there.
    deserted_since: Option<Instant>,
}

/// What is seen of an address.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Workers that listen there.
    workers: usize,
    /// Whether a worker that serves has its listeners elsewhere: then the address has been given up on purpose.
    is_served_elsewhere: bool,
    deserted_since: Option<Instant>,
}

/// Whether to listen. Beside several workers not: the kernel's hash would choose this listener too where the selector fails,
/// and they do not all end in one moment.
fn is_wanted(sight: Sight, timeout: Duration, now: Instant) -> bool {
    match sight.workers {
        0 => !sight.is_served_elsewhere && sight.deserted_since.is_none_or(|since| now < since.after(timeout)),
        workers => workers == 1,
    }
}

impl Standby {
    /// None where the policy leaves the choice to the kernel's hash: that would choose these listeners too.
    pub(in crate::engine) fn new(config: &Config) -> Self {
        let timeout = if config.policy == Policy::Hash { Duration::ZERO } else { config.queue_timeout };
        Standby { timeout, open: BTreeMap::new(), without: BTreeSet::new(), given: 0 }
    }

    /// How many wait now.
    pub(in crate::engine) fn waiting(&self) -> u64 {
        self.open.values().map(|open| u64::from(open.waiting())).sum()
    }
}

impl Open {
    fn waiting(&self) -> u32 {
        if self.listens { socket::accept_queue(&self.socket).map_or(0, |queue| queue.length) } else { 0 }
    }
}

impl Waiting {
    /// Whether an address has no worker, as far as was seen.
    pub(in crate::engine) fn has_deserted_address(&self) -> bool {
        self.standby.open.values().any(|open| open.deserted_since.is_some())
    }

    /// What is done with every tick, when a listener has closed, and when a worker has joined where there was none.
    pub(in crate::engine) fn tend_standby(&mut self, core: &mut Core, now: Instant) {
        if self.standby.timeout.is_zero() {
            return;
        }
        let groups = core.updater.steering().groups();
        let served: BTreeMap<Address, (u64, usize)> =
            groups.filter_map(|(address, members)| Some((address, (members.first()?.cookie, members.len())))).collect();
        for (address, (cookie, _)) in &served {
            if !self.standby.open.contains_key(address) && !self.standby.without.contains(address) {
                self.open_standby(core, *address, *cookie);
            }
        }
        let is_served_elsewhere = core.supervisor.workers().any(|worker| {
            worker.state == State::Serving && worker.listeners.iter().any(|listener| listener.seat.is_some())
        });
        let timeout = self.standby.timeout;
        let mut due = Vec::new();
        for (address, open) in &mut self.standby.open {
            let workers = served.get(address).map_or(0, |(_, workers)| *workers);
            open.deserted_since = if workers > 0 { None } else { open.deserted_since.or(Some(now)) };
            let sight = Sight { workers, is_served_elsewhere, deserted_since: open.deserted_since };
            let is_wanted = is_wanted(sight, timeout, now);
            let gives = workers > 0 && open.waiting() > 0;
            if is_wanted != open.listens || gives {
                let taker = served.get(address).filter(|_| gives).map(|(cookie, _)| *cookie);
                due.push((*address, is_wanted, taker));
            }
        }
        for (address, is_wanted, taker) in due {
            // While we have a copy of its listener too, what it is given is not lost if it dies in this moment: the end of the
            // copy brings that back.
            let copy = taker.and_then(|cookie| core.copy_of(cookie));
            if taker.is_some_and(|cookie| !takes(core, cookie, copy.as_ref())) {
                continue;
            }
            self.stand_by(core, address, is_wanted, now);
        }
    }

    /// Listens, or does not. What waits there goes to the workers; without any it is reset.
    fn stand_by(&mut self, core: &mut Core, address: Address, is_wanted: bool, now: Instant) {
        let mut given = 0;
        let mut failed = None;
        core.moving(address, now, |core| {
            let Some(open) = self.standby.open.get_mut(&address) else { return };
            given = open.waiting();
            if open.listens {
                let ended = socket::let_nobody_in([&open.socket]).and_then(|()| open.socket.shutdown(Shutdown::Read));
                failed = ended.err();
            }
            if is_wanted && failed.is_none() {
                failed = open.socket.listen(BACKLOG).err();
                if let Some(group) = core.updater.steering().group_index(address) {
                    // Where the selector does not find it, the kernel's hash does.
                    let _ = core.updater.steering_mut().listen_in_line(group, STANDBY, &open.socket);
                }
            }
            open.listens = is_wanted;
        });
        if given > 0 && !core.updater.steering().members(address).is_empty() {
            self.standby.given += u64::from(given);
            tracing::debug!(%address, given, "connections that waited for a worker have one");
        }
        if let Some(error) = failed {
            tracing::info!(%address, %error, "connections are refused while no worker listens there");
            self.close_standby(core, address, now);
            self.standby.without.insert(address);
        }
    }

    /// For the end of the fleet: while there are still workers.
    pub(in crate::engine) fn end_standby(&mut self, core: &mut Core, now: Instant) {
        let addresses: Vec<Address> = self.standby.open.keys().copied().collect();
        addresses.into_iter().for_each(|address| self.close_standby(core, address, now));
        self.standby.timeout = Duration::ZERO;
    }

    fn open_standby(&mut self, core: &mut Core, address: Address, cookie: u64) {
        // One that is just going is no pattern; there may be another with the next tick.
        let Some(pattern) = core.copy_of(cookie) else { return };
        match bind_standby(core, address, &pattern) {
            Ok(socket) => {
                self.standby.open.insert(address, Open { socket, listens: false, deserted_since: None });
            }
            Err(error) => {
                tracing::info!(%address, "connections are refused while no worker listens there: {error:#}");
                self.standby.without.insert(address);
            }
        }
    }

    fn close_standby(&mut self, core: &mut Core, address: Address, now: Instant) {
        core.moving(address, now, |core| {
            if let Some(Open { socket, .. }) = self.standby.open.remove(&address) {
                // One that does not listen lets nobody in anyway.
                let _ = socket::let_nobody_in([&socket]);
                core.close_own(socket);
            }
        });
    }
}

/// Whether a member of a group, of whose listener this is a copy if one can be had, still takes connections: its worker may have
/// closed it or died, and the group not know that yet.
fn takes(core: &Core, cookie: u64, copy: Option<&OwnedFd>) -> bool {
    if let Some(copy) = copy {
        return socket::is_listening(copy).unwrap_or(true);
    }
    // A worker that may not be looked into has no copy.
    let running = core.owner_of(cookie).and_then(|id| core.running.get(&id));
    running.is_some_and(|running| match running.cgroup.processes() {
        Ok(all) => !matches!(find::listener(&all, cookie), Err(find::FindError::Gone { .. })),
        Err(_) => true,
    })
}

fn bind_standby(core: &mut Core, address: Address, pattern: &OwnedFd) -> anyhow::Result<Socket> {
    let socket = core.make_own(address, 1)?.remove(0);
    core.bind_own(address, &socket, &Heritage::of(pattern, &socket))?;
    core.updater.steering_mut().own_line(address, STANDBY, &socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn deserted(since_ms: u64) -> Sight {
        Sight { workers: 0, is_served_elsewhere: false, deserted_since: Some(at(since_ms)) }
    }

    #[test]
    fn llb_stands_by_while_at_most_one_worker_listens() {
        let with = |workers| is_wanted(Sight { workers, deserted_since: None, ..deserted(0) }, TIMEOUT, at(9));
        assert_eq!([0, 1, 2, 256].map(with), [true, true, false, false]);
    }

    #[test]
    fn an_address_is_kept_for_as_long_as_is_asked_for() {
        assert!(is_wanted(deserted(1_000), TIMEOUT, at(5_999)));
        assert!(!is_wanted(deserted(1_000), TIMEOUT, at(6_000)));
    }

    #[test]
    fn an_address_that_was_given_up_is_not_kept() {
        assert!(!is_wanted(Sight { is_served_elsewhere: true, ..deserted(1_000) }, TIMEOUT, at(1_001)));
    }
}
