//! Goes on where an earlier master has stopped: which listener is in which group, by the kernel's own maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use aya::maps::MapError;
use llb_common::{
    abi::{Endpoint, Listener, MAX_GROUPS, MAX_SEATS, NO_SEAT},
    names, set,
};

use super::{
    KernelError, Member, Steering,
    flows::is_udp,
    groups::{Key, group_of, key_of, place},
    load::map_error,
    value::Value,
};
use crate::{
    model::{Address, Seat},
    sys::socket,
};

/// A listening socket as the kernel's maps know it. An example is at [`Pins`](super::Pins).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its cookie.
    pub cookie: u64,
    /// Id of the cgroup of the worker that has bound it.
    pub cgroup: u64,
    /// Its seat, if it has one, or had before it left its group: connections in its queue are counted there.
    pub seat: Option<Seat>,
    /// Whether it is in its group.
    pub joined: bool,
}

/// The cookie of a listener, and its place in a group if it is in one: the third says whether that is one of UDP sockets.
pub(crate) type Remembered = (u64, Option<(Address, Seat, bool)>);

impl Steering {
    /// What is known of a socket that listens on `address`; nothing if it is none that is to be steered.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn recall(&self, address: Address, socket: impl AsFd) -> Result<Option<Known>, KernelError> {
        let socket = socket.as_fd();
        let owner = match self.owner.get(&socket.as_raw_fd(), 0) {
            Ok(Value(owner)) => owner,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(map_error("OWNER")(error)),
        };
        let cookie = socket::cookie(socket).map_err(|source| KernelError::Cookie { address, source })?;
        let place = self.place_of(key_of(address, socket)?, cookie)?;
        let (seat, joined) = place.map_or((None, false), |(seat, joined)| (Some(seat), joined));
        Ok(Some(Known { cookie, cgroup: owner.cgroup, seat, joined }))
    }

    /// Every listener that the maps know, by cookie, and its place in a group if it is in one: for workers that cannot be
    /// looked into. Which of them still listen is not said.
    pub(crate) fn remembered(&self) -> Result<Vec<Remembered>, KernelError> {
        let mut keys: Vec<Key> = Vec::new();
        for entry in self.endpoints.iter() {
            let (Value(endpoint), _) = entry.map_err(map_error(names::ENDPOINTS))?;
            keys.extend(address_of(endpoint).map(|address| (address, endpoint.scope)));
        }
        let mut remembered = Vec::new();
        for entry in self.listeners.iter() {
            let (cookie, _) = entry.map_err(map_error(names::LISTENERS))?;
            let mut place = None;
            for key in &keys {
                let here = self.place_of(*key, cookie)?.filter(|(_, joined)| *joined);
                place = place.or(here.map(|(seat, _)| (key.0, seat, is_udp(key))));
            }
            remembered.push((cookie, place));
        }
        Ok(remembered)
    }

    fn place_of(&self, key: Key, cookie: u64) -> Result<Option<(Seat, bool)>, KernelError> {
        let Some(Listener { group, seat }) = found(self.listeners.get(&cookie, 0), names::LISTENERS)? else {
            return Ok(None);
        };
        let index = match self.endpoints.get(&Value(super::groups::endpoint(key)), 0) {
            Ok(index) => index,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(map_error(names::ENDPOINTS)(error)),
        };
        if index != group || group as usize >= MAX_GROUPS || seat as usize >= MAX_SEATS {
            return Ok(None);
        }
        let Value(group) = self.group_map.get(&group, 0).map_err(map_error(names::GROUPS))?;
        Ok(Some((Seat(seat), set::contains(&group.members, seat))))
    }

    /// Makes the groups anew: of the listeners that are in them, and no others. `living` are the cookies of all
    /// listeners that there are. Returns the cookies of those that are gone, for [`forget`](Self::forget).
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn resume(&mut self, members: &[(Address, Member)], living: &BTreeSet<u64>) -> Result<Vec<u64>, KernelError> {
        let mut groups: BTreeMap<Key, (u32, Vec<Member>)> = BTreeMap::new();
        for entry in self.endpoints.iter() {
            let (Value(endpoint), index) = entry.map_err(map_error(names::ENDPOINTS))?;
            let Some(address) = address_of(endpoint).filter(|_| (index as usize) < MAX_GROUPS) else { continue };
            let is_here = |cookie: u64| self.listeners.get(&cookie, 0).is_ok_and(|Value(known)| known.group == index);
            let here = members.iter().filter(|(at, member)| *at == address && is_here(member.cookie));
            groups.insert((address, endpoint.scope), (index, here.map(|(_, member)| *member).collect()));
        }
        let gone = self.clear_places(&groups, living)?;
        for (index, members) in groups.values() {
            let group = group_of(members);
            let Value(old) = self.group_map.get(index, 0).map_err(map_error(names::GROUPS))?;
            if old.members != group.members {
                self.group_map.set(*index, Value(group), 0).map_err(map_error(names::GROUPS))?;
            }
        }
        self.groups.0 = groups;
        let mut tcp = self.groups.tcp().map(|(_, (index, _))| *index);
        let only = tcp.next().filter(|_| tcp.next().is_none());
        self.books().set_only_group(only);
        let mut udp = self.groups.0.iter().filter(|(key, _)| is_udp(key)).map(|(_, (index, _))| *index);
        let only = udp.next().filter(|_| udp.next().is_none());
        self.flows.set_only_group(only);
        Ok(gone)
    }

    /// A master that died in the midst of a join or a leave may have left a listener in a place where it is no member.
    fn clear_places(
        &mut self,
        groups: &BTreeMap<Key, (u32, Vec<Member>)>,
        living: &BTreeSet<u64>,
    ) -> Result<Vec<u64>, KernelError> {
        let known: Result<Vec<(u64, Value<Listener>)>, MapError> = self.listeners.iter().collect();
        let mut gone = Vec::new();
        for (cookie, Value(Listener { group, seat })) in known.map_err(map_error(names::LISTENERS))? {
            if !living.contains(&cookie) {
                gone.push(cookie);
                continue;
            }
            // A UDP socket that is not a member any more has flows yet.
            if seat != NO_SEAT && groups.iter().any(|(key, (index, _))| *index == group && is_udp(key)) {
                self.flows.keep(cookie, group, Seat(seat));
                continue;
            }
            let mut members = groups.values().filter(|(index, _)| *index == group).flat_map(|(_, members)| members);
            if seat != NO_SEAT && members.all(|member| member.seat.0 != seat) {
                // An empty place is as good.
                let _ = self.sockets.clear_index(&place(group, Seat(seat)));
            }
        }
        Ok(gone)
    }
}

fn found<V>(value: Result<Value<V>, MapError>, map: &'static str) -> Result<Option<V>, KernelError> {
    match value {
        Ok(Value(value)) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(map_error(map)(error)),
    }
}

/// IPv4 addresses are entered as `::ffff:a.b.c.d`.
fn address_of(endpoint: Endpoint) -> Option<Address> {
    let v6 = Ipv6Addr::from(endpoint.addr);
    let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
    Some(Address((ip, u16::try_from(endpoint.port).ok()?).into()))
}
