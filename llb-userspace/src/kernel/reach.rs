//! Connections of llb's own to one worker: the selector gives each to the listener that it is meant for, whatever the policy
//! says, as long as it is entered here.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, atomic::Ordering::Release},
};

use aya::maps::{HashMap, Map, MapData};
use llb_common::{
    abi::{Asker, Listener, MAX_SEATS, Reach, Seats},
    names,
    sticky::Source,
};

use super::{KernelError, Steering, error::map_error, groups::place, value::Value};
use crate::{model::Seat, sys::mmap::SharedWords};

const REACHING_WORD: usize = std::mem::offset_of!(Seats, reaching) / 8;

/// A listener's place among the sockets that the selector can choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    place: u32,
    /// Whether it is in its group, and so is there.
    pub is_member: bool,
}

/// The connections that are to reach one worker.
pub(crate) struct Reaches {
    entries: HashMap<MapData, Value<Asker>, Value<Reach>>,
    seats: Arc<SharedWords>,
    count: u64,
}

impl Reaches {
    /// Without the entries that an earlier master has left.
    pub(super) fn of(entries: Map, seats: Arc<SharedWords>) -> Result<Self, KernelError> {
        let entries = entries.try_into().map_err(map_error(names::REACHES))?;
        let mut reaches = Reaches { entries, seats, count: 0 };
        let left: Vec<Value<Asker>> = reaches.entries.keys().filter_map(Result::ok).collect();
        left.iter().for_each(|asker| drop(reaches.entries.remove(asker)));
        reaches.publish();
        Ok(reaches)
    }

    /// Has a connection from `from`, an address and port that are bound, come to one listener only.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn enter(&mut self, from: SocketAddr, to: Joined) -> Result<(), KernelError> {
        let reach = Reach { place: to.place, is_made: 0 };
        self.entries.insert(asker(from), Value(reach), 0).map_err(map_error(names::REACHES))?;
        self.count += 1;
        self.publish();
        Ok(())
    }

    /// Whether the selector has sent it there.
    pub(crate) fn is_made(&self, from: SocketAddr) -> bool {
        self.entries.get(&asker(from), 0).is_ok_and(|Value(reach)| reach.is_made != 0)
    }

    /// The connection has ended.
    pub(crate) fn end(&mut self, from: SocketAddr) {
        // What was entered is there.
        let _ = self.entries.remove(&asker(from));
        self.count -= 1;
        self.publish();
    }

    fn publish(&self) {
        self.seats.words()[REACHING_WORD].store(self.count, Release);
    }
}

impl Steering {
    /// Who is entered, once; later calls return nothing.
    pub(crate) fn take_reaches(&mut self) -> Option<Reaches> {
        self.reaches.take()
    }

    /// Where a listener is that has a seat, or had one before it left its group.
    pub(crate) fn joined(&self, cookie: u64) -> Option<Joined> {
        let Value(Listener { group, seat }) = self.listeners.get(&cookie, 0).ok()?;
        let is_member = self.held.is_member(cookie);
        (seat < MAX_SEATS as u32).then(|| Joined { place: place(group, Seat(seat)), is_member })
    }

    /// Has the selector find a listener that has left its group. It is chosen for nobody, and the kernel takes it out when it
    /// closes.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn admit(&mut self, to: Joined, listener: impl AsFd) -> Result<(), KernelError> {
        // It may be there already, and the kernel takes none twice.
        let _ = self.sockets.clear_index(&to.place);
        self.sockets.set(to.place, &listener.as_fd().as_raw_fd(), 0).map_err(map_error(names::SOCKETS))
    }
}

fn asker(from: SocketAddr) -> Value<Asker> {
    let source = match from.ip() {
        IpAddr::V4(v4) => Source::v4(v4.to_bits()),
        IpAddr::V6(v6) => Source::v6((v6.to_bits() >> 64) as u64, v6.to_bits() as u64),
    };
    Value(Asker { source, port: from.port().into() })
}
