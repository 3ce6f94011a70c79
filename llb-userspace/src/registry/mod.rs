//! Who sits where: one pure structure. What the kernel's maps should hold follows from it (`Desired`); the reconciler brings
//! them there by an ordered difference, and tries again what has failed.
//!
//! No clocks, no sockets, no maps: a fleet's registry is made from its supervisor's workers, a [balancer](crate::balancer) keeps
//! one of its own, and [`crate::updater`] does what it takes.
//!
//! ```
//! use llb::{model::{Address, Seat, Slot, WorkerId}, registry::{Registry, Socket, State}};
//!
//! let (worker, slot, seat) = (WorkerId(7), Slot(0), Seat(3));
//! let mut registry = Registry::default();
//! registry.hold(seat, worker, slot);
//! let address = Address(([127, 0, 0, 1], 80).into());
//! registry.enter(Socket { cookie: 42, address, udp: false, worker, seat: Some(seat), state: State::Joined });
//! assert_eq!(registry.socket(42).map(|socket| socket.state), Some(State::Joined));
//!
//! // It takes no more connections; later it is closed, and the worker ends.
//! registry.withdraw(42);
//! registry.remove(42);
//! registry.release(seat);
//! assert_eq!(registry.sockets().count(), 0);
//! ```

mod desired;
mod held;
mod plan;
mod reconcile;
mod seats;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use llb_common::{
    abi::{SCOPE_UDP, SeatSet},
    set,
};

pub use self::held::Member;
pub(crate) use self::{
    desired::{Desired, Want},
    held::{Group, Held, HeldSocket},
    plan::Step,
    reconcile::{Failed, Failure, Object, Reconciler, Report},
    seats::Seats,
    write::{Error, Maps, Write},
};
use crate::model::{Address, Seat, Slot, WorkerId};

/// Listeners that the kernel has in one group: on one address, and bound to one device, or none (0). Of UDP sockets
/// [`SCOPE_UDP`] is set beside that.
pub(crate) type Key = (Address, u32);

/// Whether a group is one of UDP sockets.
pub(crate) fn is_udp(key: &Key) -> bool {
    key.1 & SCOPE_UDP != 0
}

/// How a socket stands to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its worker is not ready, or there is no seat for it: it is chosen for nobody, and the kernel's hash does not give it
    /// connections past the selector.
    Expected,
    /// It is to be chosen.
    Joined,
    /// Its worker hangs: it is not chosen for a while.
    Aside,
    /// Its worker finishes: a listener is not chosen any more, a UDP socket keeps the flows that it has.
    Draining,
    /// The flows of a UDP socket that drains go to others.
    Parted,
}

/// A listening socket of a worker, or a UDP socket that has bound. An example is [there](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its cookie (`SO_COOKIE`).
    pub cookie: u64,
    /// Where it listens.
    pub address: Address,
    /// Whether it is one of UDP.
    pub udp: bool,
    /// Whose it is.
    pub worker: WorkerId,
    /// Its seat, once it has one.
    pub seat: Option<Seat>,
    /// How it stands to its group.
    pub state: State,
}

/// A seat that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub worker: WorkerId,
    pub slot: Slot,
}

/// Who sits where. An example is [there](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    sockets: BTreeMap<u64, Socket>,
    /// A worker has its seats until it ends, also those whose sockets it has closed: its connections are counted there.
    holders: BTreeMap<Seat, Holder>,
}

impl Registry {
    /// A worker takes a seat.
    pub fn hold(&mut self, seat: Seat, worker: WorkerId, slot: Slot) {
        self.holders.insert(seat, Holder { worker, slot });
    }

    /// A seat is given back.
    pub fn release(&mut self, seat: Seat) {
        self.holders.remove(&seat);
    }

    /// A socket is there, or has another seat or state than before.
    pub fn enter(&mut self, socket: Socket) {
        self.sockets.insert(socket.cookie, socket);
    }

    /// A socket is to be chosen no more. As long as it is open, what waits there may migrate.
    pub fn withdraw(&mut self, cookie: u64) {
        if let Some(socket) = self.sockets.get_mut(&cookie) {
            socket.state = State::Draining;
        }
    }

    /// The same, but that of the listeners that are to be chosen no more those that `is_chosen` names are chosen yet.
    #[must_use]
    pub(crate) fn keeping(mut self, is_chosen: impl Fn(u64) -> bool) -> Self {
        for socket in self.sockets.values_mut().filter(|socket| !socket.udp && socket.state == State::Draining) {
            if socket.seat.is_some() && is_chosen(socket.cookie) {
                socket.state = State::Joined;
            }
        }
        self
    }

    /// A socket is gone.
    pub fn remove(&mut self, cookie: u64) {
        self.sockets.remove(&cookie);
    }

    /// A socket.
    #[must_use]
    pub fn socket(&self, cookie: u64) -> Option<&Socket> {
        self.sockets.get(&cookie)
    }

    /// All of them.
    pub fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.values()
    }

    /// The seats that are taken.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (Seat, Holder)> {
        self.holders.iter().map(|(seat, holder)| (*seat, *holder))
    }

    /// The seats to which connections may be given: one of its listeners is to be chosen, and none is set aside.
    pub(crate) fn taking(&self) -> SeatSet {
        let seats_of = |state: State| {
            let here = self.sockets.values().filter(move |socket| !socket.udp && socket.state == state);
            set::of(here.filter_map(|socket| socket.seat).map(|seat| seat.0))
        };
        let (joined, aside) = (seats_of(State::Joined), seats_of(State::Aside));
        std::array::from_fn(|word| joined[word] & !aside[word])
    }
}
