//! From what the maps hold to what they should hold: the steps, in order.
//!
//! What the selector may choose is always complete: a socket is found at its place before its seat is chosen from, and the seat
//! is chosen from no more before its socket leaves its place. What stands in the way of another goes first; indices of groups
//! are given to others last, when all that had them is gone.

use std::collections::{BTreeMap, BTreeSet};

use llb_common::{abi::SeatSet, set};

use super::{Desired, Group, Held, HeldSocket, Key, Member, Want};
use crate::model::Seat;

/// One change of the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A group gets an index, that of a group that is given up for it if there is one.
    Assign { key: Key, index: u32, instead: Option<Key> },
    /// Connections that come by way of a socket find its group, and those that migrate from it its seat.
    Know { cookie: u64, key: Key, seat: Option<Seat> },
    /// The selector can find a socket.
    Place { cookie: u64, key: Key, seat: Seat },
    /// The selector chooses from those members of a group that should be chosen from, and that it can find.
    Select { key: Key },
    /// The selector finds a socket no more.
    Clear { cookie: u64, key: Key, seat: Seat },
    /// Nothing is known of a socket any more.
    Forget { cookie: u64 },
}

/// The steps. `found` are the groups of sockets that have been found in their workers, `spent` are sockets that may be forgotten.
pub(crate) fn diff(desired: &Desired, held: &Held, found: &BTreeMap<u64, Key>, spent: &BTreeSet<u64>) -> Vec<Step> {
    let mut plan = Plan { desired, held: held.clone(), steps: Vec::new() };
    let stands = |want: &Want| held.sockets.get(&want.cookie).is_some_and(|has| has.stands(want));
    let entering: Vec<(Key, Want)> = (desired.sockets.values().filter(|want| want.placed && !stands(want)))
        .filter_map(|want| Some((*found.get(&want.cookie)?, *want)))
        .collect();
    plan.make_room(&entering);
    plan.assign(&entering);
    plan.enter(&entering);
    plan.say();
    plan.select();
    plan.leave(spent);
    plan.steps
}

struct Plan<'a> {
    desired: &'a Desired,
    /// As the maps will be.
    held: Held,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn step(&mut self, step: Step) {
        self.held.note(&step, self.desired);
        self.steps.push(step);
    }

    /// Takes out what is where a socket is to enter, and what is not where it should be.
    fn make_room(&mut self, entering: &[(Key, Want)]) {
        let mut room: Vec<(u64, Key, Seat)> = Vec::new();
        for (key, want) in entering {
            let own = self.held.sockets.get(&want.cookie).filter(|own| own.placed);
            room.extend(own.and_then(|own| Some((want.cookie, own.key, own.seat?))));
            if let Some(seat) = want.seat
                && let Some(other) = self.held.other_at(key, seat, want.cookie)
            {
                room.push((other, *key, seat));
            }
        }
        let selected = room.iter().filter(|(_, key, seat)| self.held.is_selected(key, *seat));
        let keys: BTreeSet<Key> = selected.map(|(_, key, _)| *key).collect();
        for key in keys {
            self.step(Step::Select { key });
        }
        for (cookie, key, seat) in room {
            self.step(Step::Clear { cookie, key, seat });
        }
    }

    fn assign(&mut self, entering: &[(Key, Want)]) {
        for (key, _) in entering {
            if !self.held.groups.contains_key(key)
                && let Some((index, instead)) = self.held.index_for_another()
            {
                self.step(Step::Assign { key: *key, index, instead });
            }
        }
    }

    fn enter(&mut self, entering: &[(Key, Want)]) {
        for (key, Want { cookie, seat, .. }) in entering.iter().copied() {
            if let Some(seat) = seat.filter(|_| self.held.groups.contains_key(&key)) {
                self.step(Step::Know { cookie, key, seat: Some(seat) });
                self.step(Step::Place { cookie, key, seat });
            }
        }
    }

    /// What is to be known of sockets that the selector need not find.
    fn say(&mut self) {
        for want in self.desired.sockets.values() {
            let know = match self.held.sockets.get(&want.cookie) {
                // It has listened anew: whose it is is entered once more.
                Some(has) if !has.known && !has.placed && self.held.groups.contains_key(&has.key) => {
                    want.seat.map(|seat| (has.key, Some(seat)))
                }
                Some(_) => None,
                None if want.udp => None,
                None => self.held.only_at(want).map(|key| (key, None)),
            };
            if let Some((key, seat)) = know {
                self.step(Step::Know { cookie: want.cookie, key, seat });
            }
        }
    }

    fn select(&mut self) {
        for key in self.held.groups.keys().copied().collect::<Vec<_>>() {
            if self.held.selection(&key, self.desired).is_some() {
                self.step(Step::Select { key });
            }
        }
    }

    fn leave(&mut self, spent: &BTreeSet<u64>) {
        let is_to_stay = |cookie: &u64| self.desired.sockets.get(cookie).is_some_and(|want| want.placed);
        let leaves = |(cookie, has): (&u64, &HeldSocket)| Some((*cookie, has.key, has.seat.filter(|_| has.placed)?));
        let leaving: Vec<(u64, Key, Seat)> =
            self.held.sockets.iter().filter(|(cookie, _)| !is_to_stay(cookie)).filter_map(leaves).collect();
        for (cookie, key, seat) in leaving {
            self.step(Step::Clear { cookie, key, seat });
        }
        for cookie in spent {
            if self.held.sockets.contains_key(cookie) {
                self.step(Step::Forget { cookie: *cookie });
            }
        }
    }
}

impl Held {
    /// The members and takers of a group, if they are not those that it has.
    pub(super) fn selection(&self, key: &Key, desired: &Desired) -> Option<(Vec<Member>, Vec<Member>)> {
        let group = self.groups.get(key)?;
        let members = desired.members(self, key);
        let takers = desired.takers(key, &members);
        let is_as_it_should_be = group.members == members && group.selected == seats(&takers);
        (!is_as_it_should_be).then_some((members, takers))
    }

    /// Whether a step can be taken: what it rests on has not failed.
    pub(super) fn allows(&self, step: &Step, desired: &Desired) -> bool {
        match step {
            Step::Assign { index, instead, .. } => {
                self.groups.iter().all(|(key, group)| group.index != *index || Some(*key) == *instead)
            }
            Step::Know { cookie, key, .. } => {
                self.groups.contains_key(key) && self.sockets.get(cookie).is_none_or(|has| !has.placed)
            }
            Step::Place { cookie, key, seat } => {
                let is_known =
                    |has: &HeldSocket| has.known && has.key == *key && has.seat == Some(*seat) && !has.placed;
                self.sockets.get(cookie).is_some_and(is_known)
                    && !self.is_selected(key, *seat)
                    && self.other_at(key, *seat, *cookie).is_none()
            }
            Step::Select { key } => self.selection(key, desired).is_some(),
            Step::Clear { key, seat, cookie } => {
                let others = self.other_at(key, *seat, *cookie).is_some();
                self.sockets.contains_key(cookie) && (others || !self.is_selected(key, *seat))
            }
            Step::Forget { cookie } => self.sockets.get(cookie).is_some_and(|has| !has.placed),
        }
    }

    /// A step has been taken.
    pub(super) fn note(&mut self, step: &Step, desired: &Desired) {
        match *step {
            Step::Assign { key, index, instead } => {
                if let Some(instead) = instead {
                    self.groups.remove(&instead);
                    // Whoever listens there still, and has left, begins anew.
                    let there = self.sockets.values_mut().filter(|socket| socket.key == instead);
                    there.for_each(|socket| socket.known = false);
                }
                self.groups.insert(key, Group { index, ..Group::default() });
            }
            Step::Know { cookie, key, seat } => {
                let placed = self.sockets.get(&cookie).is_some_and(|has| has.placed);
                self.sockets.insert(cookie, HeldSocket { key, seat, known: true, placed });
            }
            Step::Place { cookie, .. } => {
                if let Some(socket) = self.sockets.get_mut(&cookie) {
                    socket.placed = true;
                }
            }
            Step::Select { key } => {
                if let Some((members, takers)) = self.selection(&key, desired)
                    && let Some(group) = self.groups.get_mut(&key)
                {
                    (group.selected, group.members) = (seats(&takers), members);
                }
            }
            Step::Clear { cookie, .. } => {
                if let Some(socket) = self.sockets.get_mut(&cookie) {
                    socket.placed = false;
                }
            }
            Step::Forget { cookie } => {
                self.sockets.remove(&cookie);
            }
        }
    }
}

fn seats(members: &[Member]) -> SeatSet {
    set::of(members.iter().map(|member| member.seat.0))
}
