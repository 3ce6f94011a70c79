//! What the maps hold, as far as is known: what was written, and at a takeover what was found.

use std::collections::{BTreeMap, BTreeSet};

use llb_common::{
    abi::{MAX_GROUPS, SeatSet},
    set,
};

use super::{Key, Want, is_udp};
use crate::model::Seat;

/// One listener in a group. An example is [there](crate::kernel#listeners-of-this-process).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its seat.
    pub seat: Seat,
    /// Its socket's cookie.
    pub cookie: u64,
}

/// A group as the maps have it. One that is empty keeps its index until another needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub index: u32,
    pub members: Vec<Member>,
    /// The seats that the selector chooses from.
    pub selected: SeatSet,
}

/// A socket as the maps have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldSocket {
    pub key: Key,
    /// Its seat, by its cookie.
    pub seat: Option<Seat>,
    /// Whether that is certain.
    pub known: bool,
    /// Whether the selector can find it at its group's place of that seat.
    pub placed: bool,
}

/// What the maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub groups: BTreeMap<Key, Group>,
    pub sockets: BTreeMap<u64, HeldSocket>,
}

impl HeldSocket {
    /// Whether the selector finds it where it should.
    pub(super) fn stands(&self, want: &Want) -> bool {
        self.placed && self.known && self.seat == want.seat
    }
}

impl Held {
    /// Those of TCP listeners.
    pub(crate) fn tcp(&self) -> impl Iterator<Item = (&Key, &Group)> {
        self.groups.iter().filter(|(key, _)| !is_udp(key))
    }

    /// Those of UDP sockets.
    pub(crate) fn udp(&self) -> impl Iterator<Item = (&Key, &Group)> {
        self.groups.iter().filter(|(key, _)| is_udp(key))
    }

    /// Whether the selector may choose a listener.
    pub(crate) fn is_member(&self, cookie: u64) -> bool {
        let Some(socket) = self.sockets.get(&cookie) else { return false };
        let (Some(group), Some(seat)) = (self.groups.get(&socket.key), socket.seat) else { return false };
        // They are sorted by seat.
        let first = group.members.partition_point(|member| member.seat < seat);
        group.members[first..].iter().take_while(|member| member.seat == seat).any(|member| member.cookie == cookie)
    }

    /// The seats of TCP listeners that the selector may choose.
    pub(crate) fn seats(&self) -> SeatSet {
        set::of(self.tcp().flat_map(|(_, group)| &group.members).map(|member| member.seat.0))
    }

    /// The index of the only group of TCP listeners, or of UDP sockets; none if there are several.
    pub(crate) fn only(&self, udp: bool) -> Option<u32> {
        let mut groups = self.groups.iter().filter(|(key, _)| is_udp(key) == udp);
        let (_, group) = groups.next()?;
        groups.next().is_none().then_some(group.index)
    }

    /// The group of an address, if there is one alone: on which device one that has not joined listens is known to the kernel
    /// side only.
    pub(super) fn only_at(&self, want: &Want) -> Option<Key> {
        let mut here = self.groups.keys().filter(|key| key.0 == want.address && is_udp(key) == want.udp);
        here.next().copied().filter(|_| here.next().is_none())
    }

    /// An index for another group beside these, and the one that is given up for it: one without members, and if it can be without sockets
    /// that are still known.
    pub(super) fn index_for_another(&self, groups: &BTreeMap<Key, Group>) -> Option<(u32, Option<Key>)> {
        let taken: BTreeSet<u32> = groups.values().map(|group| group.index).collect();
        if let Some(free) = (0..MAX_GROUPS as u32).find(|index| !taken.contains(index)) {
            return Some((free, None));
        }
        let known: BTreeSet<Key> = self.sockets.values().map(|socket| socket.key).collect();
        let placed: BTreeSet<Key> =
            self.sockets.values().filter(|socket| socket.placed).map(|socket| socket.key).collect();
        let is_empty = |key: &Key| self.groups.get(key).is_some_and(|group| group.members.is_empty());
        let empty = groups.iter().filter(|(key, _)| is_empty(key) && !placed.contains(key));
        let (key, group) = empty.min_by_key(|(key, group)| (known.contains(key), group.index))?;
        Some((group.index, Some(*key)))
    }

    /// Who else is at a place.
    pub(super) fn other_at(&self, key: &Key, seat: Seat, but: u64) -> Option<u64> {
        let is_there = |socket: &HeldSocket| socket.placed && socket.key == *key && socket.seat == Some(seat);
        self.sockets.iter().find(|(cookie, socket)| **cookie != but && is_there(socket)).map(|(cookie, _)| *cookie)
    }

    /// Whether a group's seat is chosen from.
    pub(super) fn is_selected(&self, key: &Key, seat: Seat) -> bool {
        self.groups.get(key).is_some_and(|group| set::contains(&group.selected, seat.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Address;

    fn key(port: u16) -> Key {
        (Address(([127, 0, 0, 1], port).into()), 0)
    }

    #[test]
    fn an_index_is_used_again_when_its_group_is_gone() {
        let group = |index: u32| {
            let members = vec![Member { seat: Seat(0), cookie: index.into() }];
            (key(index as u16), Group { index, members, ..Group::default() })
        };
        let mut held = Held { groups: (0..MAX_GROUPS as u32).map(group).collect(), sockets: BTreeMap::new() };
        assert_eq!(held.index_for_another(&held.groups), None, "all have members");
        for port in [7, 9] {
            held.groups.get_mut(&key(port)).unwrap().members.clear();
        }
        let known = |port| HeldSocket { key: key(port), seat: None, known: true, placed: false };
        held.sockets.insert(1, known(7));
        assert_eq!(
            held.index_for_another(&held.groups),
            Some((9, Some(key(9)))),
            "not where listeners are still known"
        );
        held.sockets.insert(2, known(9));
        assert_eq!(held.index_for_another(&held.groups), Some((7, Some(key(7)))));
        held.groups.remove(&key(9));
        assert_eq!(held.index_for_another(&held.groups), Some((9, None)));
    }
}
