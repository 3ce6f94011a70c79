//! Which listeners are in which group: joins and leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

use llb_common::{
    abi::{Conn, Endpoint, Group, Listener, MAX_GROUPS, MAX_SEATS, NO_SEAT, SCOPE_UDP},
    names, set,
    track::Phase,
};

use super::{KernelError, Steering, flows::is_udp, load::map_error, value::Value};
use crate::{
    model::{Address, Seat},
    sys::socket,
};

/// The map's own word for "only if the key is new".
const BPF_NOEXIST: u64 = 1;

/// One listener in a group. An example is [there](super#listeners-of-this-process).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its seat.
    pub seat: Seat,
    /// Its socket's cookie.
    pub cookie: u64,
}

/// Listeners that the kernel has in one group: on one address, and bound to one device, or none (0). Of UDP sockets
/// [`SCOPE_UDP`] is set beside that.
pub(super) type Key = (Address, u32);

/// The groups. One that is empty keeps its index until another needs it.
#[derive(Debug, Default)]
pub(super) struct Groups(pub(super) BTreeMap<Key, (u32, Vec<Member>)>);

impl Steering {
    /// Puts a worker's listener into the group of `address`, from where the selector will choose it. The caller
    /// closes its copy of the socket afterwards: one kept open would keep the listener alive when its worker has
    /// closed it. Returns its cookie (`SO_COOKIE`).
    ///
    /// # Errors
    /// [`KernelError`]; the listener is then not in the group.
    pub fn join(&mut self, address: Address, seat: Seat, socket: impl AsFd) -> Result<u64, KernelError> {
        let socket = socket.as_fd();
        let cookie = socket::cookie(socket).map_err(|source| KernelError::Cookie { address, source })?;
        let key = key_of(address, socket)?;
        let is_udp = is_udp(&key);
        let (index, mut members) = self.find(key)?;
        if members.iter().any(|member| member.seat == seat) {
            return Err(KernelError::SeatTaken { seat, address });
        }
        members.push(Member { seat, cookie });
        if is_udp {
            self.flows.begin(cookie, seat);
            self.flows.set_only_group(self.groups.udp().all(|known| *known == key).then_some(index));
        } else {
            let only = self.groups.tcp().all(|(known, _)| *known == key);
            self.books().set_only_group(only.then_some(index));
        }
        self.endpoints.insert(Value(endpoint(key)), index, 0).map_err(map_error(names::ENDPOINTS))?;

        // First what the selector and the connections need, last the group that makes the seat eligible.
        let listener = Listener { group: index, seat: seat.0 };
        self.listeners.insert(cookie, Value(listener), 0).map_err(map_error(names::LISTENERS))?;
        let fd = socket.as_raw_fd();
        if is_udp {
            self.sign(socket, seat)?;
        } else if let Some(storage) = &mut self.conn {
            // The listener's own packets are nobody's requests; each connection opens its books when it is established.
            let conn = Conn { seat: seat.0, phase: Phase::Closed as u32, ..Conn::default() };
            storage.insert(&fd, Value(conn), 0).map_err(map_error(names::CONN))?;
        }
        // One that was reached after it had left is still there, and the kernel takes none twice.
        let _ = self.sockets.clear_index(&place(index, seat));
        self.sockets.set(place(index, seat), &fd, 0).map_err(map_error(names::SOCKETS))?;
        let selector = self.selector(is_udp)?;
        selector.attach(socket).map_err(|source| KernelError::Select { address, source: Box::new(source) })?;
        let group = if is_udp { group_of(&self.flows.takers(&members)) } else { group_of(&members) };
        self.group_map.set(index, Value(group), 0).map_err(map_error(names::GROUPS))?;
        self.groups.0.insert(key, (index, members));
        Ok(cookie)
    }

    /// The group's index and members. One that is new takes an index that none has, or that of an empty group.
    fn find(&mut self, key: Key) -> Result<(u32, Vec<Member>), KernelError> {
        if let Some((index, members)) = self.groups.0.get(&key) {
            return Ok((*index, members.clone()));
        }
        if let Some(index) = self.groups.unused() {
            return Ok((index, Vec::new()));
        }
        let known = self.listeners.iter().filter_map(Result::ok).map(|(_, Value(listener))| listener.group);
        let Some((empty, index)) = self.groups.to_give_up(&known.collect()) else {
            return Err(KernelError::TooManyGroups { address: key.0 });
        };
        self.groups.0.remove(&empty);
        // Nobody listens there, or who does begins anew.
        let _ = self.endpoints.remove(&Value(endpoint(empty)));
        Ok((index, Vec::new()))
    }

    /// Attaches the selector to the group of a listener that has joined, where somebody else may have replaced it.
    pub(crate) fn attach_anew(&self, address: Address, socket: impl AsFd) -> Result<(), KernelError> {
        let selector = self.selector(false)?;
        selector.attach(socket).map_err(|source| KernelError::Select { address, source: Box::new(source) })?;
        Ok(())
    }

    /// Makes a listener known that has not joined: connections that the kernel's hash would give to it go through the
    /// selector all the same. The kernel side does so itself for one that begins to listen where a group is already.
    pub fn expect(&mut self, address: Address, cookie: u64) {
        // Which device it is bound to is not known here; the kernel side, which knows, has entered most of them.
        let mut groups = self.groups.tcp().filter(|((known, _), _)| *known == address);
        if let (Some((_, (index, _))), None) = (groups.next(), groups.next()) {
            let listener = Listener { group: *index, seat: NO_SEAT };
            // What is known already is known better. A full map leaves the connections of this one to the hash.
            let _ = self.listeners.insert(cookie, Value(listener), BPF_NOEXIST);
        }
    }

    /// Takes a listener out of its group: it is no longer chosen. Connections that wait in it stay. The listener is
    /// still known by its cookie, for those that migrate from it, until [`forget`](Self::forget). A UDP socket keeps the flows
    /// that it has.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub fn leave(&mut self, cookie: u64) -> Result<(), KernelError> {
        let Some((key, index, seat)) = self.groups.remove(cookie) else { return Ok(()) };
        let members = self.groups.0.get(&key).map_or(&[][..], |(_, members)| members);
        let group = if is_udp(&key) { group_of(&self.flows.takers(members)) } else { group_of(members) };
        self.group_map.set(index, Value(group), 0).map_err(map_error(names::GROUPS))?;
        if is_udp(&key) {
            self.flows.keep(cookie, index, seat);
            return Ok(());
        }
        // The kernel clears the place itself when the listener closes, so an empty one is as good.
        let _ = self.sockets.clear_index(&place(index, seat));
        Ok(())
    }

    /// Notes anew whose a listener is that has left and listens again: the kernel side has just entered it as one that has
    /// never joined, and connections that migrate from it would not take their counts along.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(crate) fn remember(&mut self, address: Address, seat: Seat, cookie: u64) -> Result<(), KernelError> {
        let entered = self.listeners.get(&cookie, 0).ok().map(|Value(listener)| listener.group);
        let of_address = || self.groups.tcp().find(|((known, _), _)| *known == address).map(|(_, (index, _))| *index);
        let Some(group) = entered.or_else(of_address) else { return Ok(()) };
        let listener = Listener { group, seat: seat.0 };
        self.listeners.insert(cookie, Value(listener), 0).map_err(map_error(names::LISTENERS))
    }

    /// The members of the group of an address. Of listeners that are bound to several devices, which are several groups, it
    /// has one group; [`groups`](Self::groups) has them all.
    ///
    /// ```no_run
    /// use llb::{kernel::{KernelError, Steering}, model::{Address, Seat}};
    ///
    /// /// Takes a seat's listener out of a group, and returns its cookie.
    /// fn leave(steering: &mut Steering, address: Address, seat: Seat) -> Result<Option<u64>, KernelError> {
    ///     let member = steering.members(address).iter().find(|member| member.seat == seat).copied();
    ///     member.map(|member| steering.leave(member.cookie).map(|()| member.cookie)).transpose()
    /// }
    /// ```
    #[must_use]
    pub fn members(&self, address: Address) -> &[Member] {
        let of_address = self.groups.tcp().find(|((known, _), _)| *known == address);
        of_address.map_or(&[], |(_, (_, members))| members.as_slice())
    }

    /// Forgets a listener that has left, when nothing can migrate from it any more.
    pub fn forget(&mut self, cookie: u64) {
        // One that is not there is forgotten already.
        let _ = self.listeners.remove(&cookie);
        self.flows.forget(cookie);
    }

    /// The addresses and members of the groups of TCP listeners.
    pub fn groups(&self) -> impl Iterator<Item = (Address, &[Member])> {
        self.groups.tcp().map(|((address, _), (_, members))| (*address, members.as_slice()))
    }
}

impl Groups {
    /// The lowest index that no group has.
    fn unused(&self) -> Option<u32> {
        (0..MAX_GROUPS as u32).find(|index| self.0.values().all(|(taken, _)| taken != index))
    }

    /// A group without members, and its index: one that none of the listeners in `known` belongs to, if there is one.
    fn to_give_up(&self, known: &BTreeSet<u32>) -> Option<(Key, u32)> {
        let empty = self.0.iter().filter(|(_, (_, members))| members.is_empty());
        let (key, (index, _)) = empty.min_by_key(|(_, (index, _))| known.contains(index))?;
        Some((*key, *index))
    }

    /// Those of TCP listeners.
    pub(super) fn tcp(&self) -> impl Iterator<Item = (&Key, &(u32, Vec<Member>))> {
        self.0.iter().filter(|(key, _)| !is_udp(key))
    }

    /// Those of UDP sockets.
    pub(super) fn udp(&self) -> impl Iterator<Item = &Key> {
        self.0.keys().filter(|key| is_udp(key))
    }

    fn remove(&mut self, cookie: u64) -> Option<(Key, u32, Seat)> {
        for (key, (index, members)) in &mut self.0 {
            if let Some(at) = members.iter().position(|member| member.cookie == cookie) {
                let member = members.swap_remove(at);
                return Some((*key, *index, member.seat));
            }
        }
        None
    }
}

/// The group of a socket.
pub(super) fn key_of(address: Address, socket: impl AsFd) -> Result<Key, KernelError> {
    let failed = |source| KernelError::Cookie { address, source };
    let device = socket::device(&socket).map_err(failed)?;
    let is_udp = socket::is_udp(&socket).map_err(failed)?;
    Ok((address, if is_udp { device | SCOPE_UDP } else { device }))
}

pub(super) fn group_of(members: &[Member]) -> Group {
    let set = set::of(members.iter().map(|member| member.seat.0));
    let mut group = Group { members: set, count: members.len() as u32, reserved: 0, seats: [0; MAX_SEATS] };
    for (place, member) in group.seats.iter_mut().zip(members) {
        *place = member.seat.0 as u8;
    }
    group
}

pub(super) fn endpoint((Address(address), device): Key) -> Endpoint {
    let addr = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Endpoint { addr: addr.octets(), port: address.port().into(), scope: device }
}

pub(super) fn place(group: u32, seat: Seat) -> u32 {
    group * MAX_SEATS as u32 + seat.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> Key {
        (Address(([127, 0, 0, 1], port).into()), 0)
    }

    fn full() -> Groups {
        let group = |index: u32| (key(index as u16), (index, vec![Member { seat: Seat(0), cookie: index.into() }]));
        Groups((0..MAX_GROUPS as u32).map(group).collect())
    }

    #[test]
    fn an_index_is_used_again_when_its_group_is_gone() {
        let mut groups = full();
        assert_eq!((groups.unused(), groups.to_give_up(&BTreeSet::new())), (None, None), "all have members");
        groups.remove(7);
        groups.remove(9);
        assert_eq!(groups.unused(), None, "an empty group keeps its index as long as nobody needs it");
        assert_eq!(groups.to_give_up(&[7].into()), Some((key(9), 9)), "not where listeners are still known");
        assert_eq!(groups.to_give_up(&[7, 9].into()), Some((key(7), 7)));
        groups.0.remove(&key(9));
        assert_eq!(groups.unused(), Some(9));
    }
}
