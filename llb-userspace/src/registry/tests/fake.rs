//! Maps of plain memory, which check that no seat is chosen from whose socket is not at its place.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Maps of plain memory; some writes fail.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) endpoints: BTreeMap<Key, u32>,
    pub(super) listeners: BTreeMap<u64, (u32, Option<Seat>)>,
    pub(super) places: BTreeMap<(u32, Seat), u64>,
    pub(super) groups: BTreeMap<u32, BTreeSet<Seat>>,
    /// Writes that succeed before one fails; none: none fails.
    pub(super) fails_after: Option<u32>,
    pub(super) writes: usize,
    /// What was written, by the name of the step.
    pub(super) told: Vec<&'static str>,
}

impl Fake {
    fn try_one(&mut self) -> Result<(), Error> {
        match &mut self.fails_after {
            Some(0) => return Err("no memory".into()),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes += 1;
        Ok(())
    }

    fn check(&self) {
        for (group, seats) in &self.groups {
            for seat in seats {
                let cookie = self.places.get(&(*group, *seat)).unwrap_or_else(|| panic!("nobody at {seat} of {group}"));
                assert_eq!(self.listeners.get(cookie), Some(&(*group, Some(*seat))), "{cookie}");
            }
        }
    }
}

impl Maps for Fake {
    fn find(&mut self, want: &Want) -> Result<Key, Error> {
        self.try_one()?;
        // Every seventh is bound to a device.
        Ok(want.key(u32::from(want.cookie.is_multiple_of(7))))
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), Error> {
        self.try_one()?;
        self.told.push(match write {
            Write::Assign { .. } => "Assign",
            Write::Know { .. } => "Know",
            Write::Place { .. } => "Place",
            Write::Select { .. } => "Select",
            Write::Clear { .. } => "Clear",
            Write::Forget { .. } => "Forget",
        });
        match write {
            Write::Assign { key, index, instead, only } => {
                if let Some(instead) = instead {
                    self.endpoints.remove(&instead);
                }
                assert!(!self.endpoints.values().any(|taken| *taken == index), "two groups have index {index}");
                let is_only = !self.endpoints.keys().any(|other| is_udp(other) == is_udp(&key));
                assert_eq!(only.is_some(), is_only);
                self.endpoints.insert(key, index);
                self.groups.insert(index, BTreeSet::new());
            }
            Write::Know { cookie, group, seat } => drop(self.listeners.insert(cookie, (group, seat))),
            Write::Place { cookie, group, seat, .. } => {
                assert_eq!(self.places.insert((group, seat), cookie), None, "two at one place");
            }
            Write::Select { group, members } => {
                self.groups.insert(group, members.iter().map(|member| member.seat).collect());
            }
            Write::Clear { group, seat } => drop(self.places.remove(&(group, seat))),
            Write::Forget { cookie } => drop(self.listeners.remove(&cookie)),
        }
        self.check();
        Ok(())
    }

    fn no_room(&self, key: &Key) -> Error {
        format!("no room for {key:?}").into()
    }
}
