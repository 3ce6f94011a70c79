//! What the maps should hold: a pure function of the registry.

use std::collections::BTreeMap;

use llb_common::{
    abi::{SCOPE_UDP, SeatSet},
    set,
};

use super::{Held, Key, Member, Registry, State, is_udp};
use crate::model::{Address, Seat, WorkerId};

/// What the maps should hold of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub cookie: u64,
    pub address: Address,
    pub udp: bool,
    pub worker: WorkerId,
    pub seat: Option<Seat>,
    /// Whether the selector can find it: a listener that is chosen, or a UDP socket that has flows.
    pub placed: bool,
    /// Whether its seat is among those that are chosen from.
    pub chosen: bool,
}

/// What the maps should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    pub sockets: BTreeMap<u64, Want>,
    /// Seats that get no new flows while another in their group takes some.
    pub withheld: SeatSet,
}

impl Registry {
    /// What the maps should hold.
    pub(crate) fn desired(&self, withheld: SeatSet) -> Desired {
        let want = |socket: &super::Socket| {
            let super::Socket { cookie, address, udp, worker, seat, state } = *socket;
            let chosen = state == State::Joined && seat.is_some();
            let placed = chosen || udp && seat.is_some() && matches!(state, State::Draining | State::Aside);
            (cookie, Want { cookie, address, udp, worker, seat, placed, chosen })
        };
        Desired { sockets: self.sockets().map(want).collect(), withheld }
    }
}

impl Want {
    /// The group of a socket that is bound to a device, or none.
    pub(crate) fn key(&self, device: u32) -> Key {
        (self.address, if self.udp { device | SCOPE_UDP } else { device })
    }
}

impl Desired {
    /// The members of a group: of those that are to be chosen, the ones that the selector can find already.
    pub(super) fn members(&self, held: &Held, key: &Key) -> Vec<Member> {
        let is_here = |want: &&Want| {
            want.chosen && held.sockets.get(&want.cookie).is_some_and(|has| has.key == *key && has.stands(want))
        };
        let mut members: Vec<Member> = self
            .sockets
            .values()
            .filter(is_here)
            .filter_map(|want| Some(Member { seat: want.seat?, cookie: want.cookie }))
            .collect();
        members.sort_unstable_by_key(|member| member.seat);
        members
    }

    /// Those of a group's members that get what is new: of UDP sockets all if none of them seems well.
    pub(super) fn takers(&self, key: &Key, members: &[Member]) -> Vec<Member> {
        let well = members.iter().filter(|member| !is_udp(key) || !set::contains(&self.withheld, member.seat.0));
        let well: Vec<Member> = well.copied().collect();
        if well.is_empty() { members.to_vec() } else { well }
    }
}
