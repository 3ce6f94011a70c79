//! One worker, as the supervisor knows it.

mod state;

use std::collections::{BTreeMap, BTreeSet};

pub use self::state::{Holding, Sight, State};
use crate::{
    model::{Address, Generation, Instant, Seat, Slot, WorkerId},
    registry::{self, Registry},
};

/// A listening socket of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its cookie.
    pub cookie: u64,
    /// Its address.
    pub address: Address,
    /// Its seat, once its worker is ready and there is one for it.
    pub seat: Option<Seat>,
}

impl Listener {
    /// One that has not joined.
    #[must_use]
    pub fn new(cookie: u64, address: Address) -> Self {
        Listener { cookie, address, seat: None }
    }
}

/// One worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Whose life this is.
    pub id: WorkerId,
    /// The slot that it fills.
    pub slot: Slot,
    /// The generation that it belongs to.
    pub generation: Generation,
    /// Where it stands.
    pub state: State,
    /// When it was spawned.
    pub started_at: Instant,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its UDP sockets.
    pub udp: Vec<Listener>,
    /// The address that it last tried to bind.
    pub bound: Option<Address>,
    /// Every seat that one of its listeners has had.
    pub(super) held: Vec<Seat>,
    /// Those of its listeners at which it has been seen to accept connections, by cookie.
    pub(super) accepts: BTreeSet<u64>,
    /// Whether it is asked if it is ready, and what it has answered.
    pub(super) is_asked: bool,
    pub(super) answer: Option<String>,
    /// When it was first seen to accept anywhere, and of the listeners where it was not whether connections wait there.
    pub(super) accepts_since: Option<Instant>,
    pub(super) queues: BTreeMap<u64, bool>,
    /// Whether it has a process by now.
    pub(super) is_spawned: bool,
    pub(super) said_ready: bool,
    pub(super) spoke: bool,
    pub(super) was_ready: bool,
    /// When it closed its last listener, while it served.
    pub(super) deserted_at: Option<Instant>,
    /// Whether it has ended by its own design, after it had served.
    pub(super) is_done: bool,
    /// Whether it had not become ready in time.
    pub(super) late: bool,
    /// Why it is to be replaced, if it is. One that is not ready yet is so when it is.
    pub(super) asked_to_leave: Option<String>,
    /// Whether its replacement has been ordered.
    pub(super) leaving: bool,
    /// Whether it is to be replaced as it has reached a limit, and its replacement has not been started.
    pub(super) is_recycled: bool,
    /// Whether it hangs, so that it need not stay if its replacement cannot start beside it.
    pub(super) hangs: bool,
    /// When its flows were given to others, while it drains.
    pub(super) parted_at: Option<Instant>,
}

impl Worker {
    /// How its sockets stand to their groups, but those that are set aside.
    fn socket_state(&self, udp: bool, seat: Option<Seat>) -> registry::State {
        match self.state {
            State::Serving if seat.is_some() => registry::State::Joined,
            State::Starting { .. } | State::Serving => registry::State::Expected,
            _ if udp && self.parted_at.is_some() => registry::State::Parted,
            State::Draining { .. } | State::Stopping { .. } | State::Killed => registry::State::Draining,
        }
    }

    /// Enters its sockets and seats into the registry; `is_aside` says which listeners are not to be chosen as it hangs.
    pub(crate) fn enter(&self, registry: &mut Registry, is_aside: impl Fn(u64) -> bool) {
        self.seats().for_each(|seat| registry.hold(seat, self.id, self.slot));
        let sockets = self.listeners.iter().map(|tcp| (tcp, false)).chain(self.udp.iter().map(|udp| (udp, true)));
        for (Listener { cookie, address, seat }, udp) in sockets.map(|(socket, udp)| (*socket, udp)) {
            let state = match self.socket_state(udp, seat) {
                registry::State::Joined if is_aside(cookie) => registry::State::Aside,
                state => state,
            };
            registry.enter(registry::Socket { cookie, address, udp, worker: self.id, seat, state });
        }
    }

    pub(super) fn new(id: WorkerId, slot: Slot, generation: Generation, state: State, started_at: Instant) -> Self {
        Worker {
            id,
            slot,
            generation,
            state,
            started_at,
            listeners: Vec::new(),
            udp: Vec::new(),
            bound: None,
            held: Vec::new(),
            accepts: BTreeSet::new(),
            is_asked: false,
            answer: None,
            accepts_since: None,
            queues: BTreeMap::new(),
            is_spawned: false,
            said_ready: false,
            spoke: false,
            was_ready: false,
            deserted_at: None,
            is_done: false,
            late: false,
            asked_to_leave: None,
            leaving: false,
            is_recycled: false,
            hangs: false,
            parted_at: None,
        }
    }

    /// The seats that it holds until it exits, in the order in which it got them.
    pub fn seats(&self) -> impl Iterator<Item = Seat> {
        self.held.iter().copied()
    }

    /// Whether new connections may be given to it through `seat`.
    #[must_use]
    pub fn takes(&self, seat: Seat) -> bool {
        self.state == State::Serving && self.listeners.iter().any(|listener| listener.seat == Some(seat))
    }

    /// Whether it accepts connections wherever it listens.
    pub(super) fn accepts_everywhere(&self) -> bool {
        !self.listeners.is_empty() && self.listeners.iter().all(|listener| self.accepts.contains(&listener.cookie))
    }

    /// Whether it has UDP sockets only, and waits at one of them.
    pub(super) fn awaits_datagrams(&self) -> bool {
        self.listeners.is_empty() && self.udp.iter().any(|socket| self.accepts.contains(&socket.cookie))
    }

    /// Its listeners, by cookie and address, at which it has not been seen to accept.
    pub(super) fn without_accept(&self) -> impl Iterator<Item = (u64, Address)> {
        let without = self.listeners.iter().filter(|listener| !self.accepts.contains(&listener.cookie));
        without.map(|listener| (listener.cookie, listener.address))
    }

    /// Why it is to be replaced, if it is.
    #[must_use]
    pub fn is_to_leave(&self) -> Option<&str> {
        self.asked_to_leave.as_deref()
    }

    /// Whether it is to be replaced.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.asked_to_leave.is_some()
    }

    /// Whether it is to be replaced as it has reached a limit, and its replacement has not been started.
    #[must_use]
    pub fn is_recycled(&self) -> bool {
        self.is_recycled
    }

    /// Whether nobody else is to fill its slot.
    pub(super) fn is_current(&self) -> bool {
        match self.state {
            State::Starting { .. } => true,
            State::Serving => !self.leaving,
            State::Draining { .. } | State::Stopping { .. } | State::Killed => false,
        }
    }
}
