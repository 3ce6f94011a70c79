//! From what the maps hold to what they should hold: the steps, in order.
//!
//! What the selector may choose is always complete: a socket is found at its place before its seat is chosen from, and the seat
//! is chosen from no more before its socket leaves its place. What stands in the way of another goes first; indices of groups
//! are given to others last, when all that had them is gone.

use std::collections::BTreeSet;

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
    /// The selector chooses from the takers, which are those of a group's members that get what is new.
    Select { key: Key, members: Vec<Member>, takers: Vec<Member> },
    /// The selector finds a socket no more.
    Clear { cookie: u64, key: Key, seat: Seat },
    /// Nothing is known of a socket any more.
    Forget { cookie: u64 },
}

/// What there is to be done.
pub(super) struct Plan<'a> {
    pub desired: &'a Desired,
    /// Sockets that are not where they should be, and have been found in their workers: their groups.
    pub entering: Vec<(Key, Want)>,
    /// Sockets that may be forgotten.
    pub spent: BTreeSet<u64>,
}

impl<'a> Plan<'a> {
    /// The phases, in order: each is a function of what the maps hold after the one before, whatever has failed there.
    pub(super) const PHASES: [fn(&Plan<'a>, &Held) -> Vec<Step>; 8] = [
        Self::pass_over,
        Self::make_room,
        Self::assign,
        Self::enter,
        Self::say,
        Self::select,
        Self::leave,
        Self::forget,
    ];

    /// What is where a socket is to enter, and what is not where it should be.
    fn in_the_way(&self, held: &Held) -> Vec<(u64, Key, Seat)> {
        let mut room = Vec::new();
        for (key, want) in &self.entering {
            let own = held.sockets.get(&want.cookie).filter(|own| own.placed);
            room.extend(own.and_then(|own| Some((want.cookie, own.key, own.seat?))));
            let other = want.seat.and_then(|seat| Some((held.other_at(key, seat, want.cookie)?, *key, seat)));
            room.extend(other);
        }
        room
    }

    fn pass_over(&self, held: &Held) -> Vec<Step> {
        let selected = self.in_the_way(held).into_iter().filter(|(_, key, seat)| held.is_selected(key, *seat));
        let keys: BTreeSet<Key> = selected.map(|(_, key, _)| key).collect();
        keys.iter().filter_map(|key| held.selection(key, self.desired)).collect()
    }

    fn make_room(&self, held: &Held) -> Vec<Step> {
        self.in_the_way(held).into_iter().map(|(cookie, key, seat)| Step::Clear { cookie, key, seat }).collect()
    }

    fn assign(&self, held: &Held) -> Vec<Step> {
        let new: BTreeSet<Key> = self.entering.iter().map(|(key, _)| *key).collect();
        let mut will_be = held.groups.clone();
        let mut assign = |key: Key| {
            let (index, instead) = held.index_for_another(&will_be)?;
            if let Some(instead) = instead {
                will_be.remove(&instead);
            }
            will_be.insert(key, Group { index, ..Group::default() });
            Some(Step::Assign { key, index, instead })
        };
        new.into_iter().filter(|key| !held.groups.contains_key(key)).filter_map(&mut assign).collect()
    }

    fn enter(&self, held: &Held) -> Vec<Step> {
        let there = self.entering.iter().filter(|(key, _)| held.groups.contains_key(key));
        let steps = there.filter_map(|(key, Want { cookie, seat, .. })| {
            let (key, cookie, seat) = (*key, *cookie, (*seat)?);
            Some([Step::Know { cookie, key, seat: Some(seat) }, Step::Place { cookie, key, seat }])
        });
        steps.flatten().collect()
    }

    /// What is to be known of sockets that the selector need not find.
    fn say(&self, held: &Held) -> Vec<Step> {
        let know = |want: &Want| {
            let (key, seat) = match held.sockets.get(&want.cookie) {
                // It has listened anew: whose it is is entered once more.
                Some(has) if !has.known && !has.placed && held.groups.contains_key(&has.key) => {
                    (has.key, Some(want.seat?))
                }
                Some(_) => return None,
                None if want.udp => return None,
                None => (held.only_at(want)?, None),
            };
            Some(Step::Know { cookie: want.cookie, key, seat })
        };
        self.desired.sockets.values().filter_map(know).collect()
    }

    fn select(&self, held: &Held) -> Vec<Step> {
        held.groups.keys().filter_map(|key| held.selection(key, self.desired)).collect()
    }

    fn leave(&self, held: &Held) -> Vec<Step> {
        let is_to_stay = |cookie: &u64| self.desired.sockets.get(cookie).is_some_and(|want| want.placed);
        let leaves = |(cookie, has): (&u64, &HeldSocket)| {
            let seat = has.seat.filter(|_| has.placed && !is_to_stay(cookie))?;
            Some(Step::Clear { cookie: *cookie, key: has.key, seat })
        };
        held.sockets.iter().filter_map(leaves).collect()
    }

    fn forget(&self, _: &Held) -> Vec<Step> {
        self.spent.iter().map(|cookie| Step::Forget { cookie: *cookie }).collect()
    }
}

impl Held {
    /// The step that makes a group's members and takers what they should be, if they are not.
    fn selection(&self, key: &Key, desired: &Desired) -> Option<Step> {
        let group = self.groups.get(key)?;
        let members = desired.members(self, key);
        let takers = desired.takers(key, &members);
        let is_as_it_should_be = group.members == members && group.selected == seats(&takers);
        (!is_as_it_should_be).then_some(Step::Select { key: *key, members, takers })
    }

    /// Whether a step can be taken: what it rests on has not failed.
    pub(super) fn allows(&self, step: &Step) -> bool {
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
            Step::Select { members, .. } => {
                let stands = |member: &Member| self.sockets.get(&member.cookie).is_some_and(|has| has.placed);
                members.iter().all(stands)
            }
            Step::Clear { key, seat, cookie } => {
                let others = self.other_at(key, *seat, *cookie).is_some();
                self.sockets.contains_key(cookie) && (others || !self.is_selected(key, *seat))
            }
            Step::Forget { cookie } => self.sockets.get(cookie).is_none_or(|has| !has.placed),
        }
    }

    /// A step has been taken.
    pub(super) fn note(&mut self, step: Step) {
        match step {
            Step::Assign { key, index, instead } => {
                if let Some(instead) = instead {
                    self.groups.remove(&instead);
                    // A worker that still listens there, and has left, begins anew.
                    let there = self.sockets.values_mut().filter(|socket| socket.key == instead);
                    there.for_each(|socket| socket.known = false);
                }
                self.groups.insert(key, Group { index, ..Group::default() });
            }
            Step::Know { cookie, key, seat } => {
                self.sockets.insert(cookie, HeldSocket { key, seat, known: true, placed: false });
            }
            Step::Place { cookie, .. } => {
                if let Some(socket) = self.sockets.get_mut(&cookie) {
                    socket.placed = true;
                }
            }
            Step::Select { key, members, takers } => {
                if let Some(group) = self.groups.get_mut(&key) {
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
