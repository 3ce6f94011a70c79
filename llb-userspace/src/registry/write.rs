//! One step, written to the maps.

use super::{Held, Key, Member, Step, Want};
use crate::model::Seat;

/// A map, and what to write there. Groups have their indices by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write<'a> {
    /// `only` is the index if no other group of its protocol is there.
    Assign {
        key: Key,
        index: u32,
        instead: Option<Key>,
        only: Option<u32>,
    },
    Know {
        cookie: u64,
        group: u32,
        seat: Option<Seat>,
    },
    Place {
        cookie: u64,
        key: Key,
        group: u32,
        seat: Seat,
    },
    Select {
        group: u32,
        members: &'a [Member],
    },
    Clear {
        group: u32,
        seat: Seat,
    },
    Forget {
        cookie: u64,
    },
}

/// The kernel's maps, or what stands for them.
pub(crate) trait Maps {
    /// Finds a socket that is to enter its group, and says which group that is.
    fn find(&mut self, want: &Want) -> Result<Key, Error>;
    /// Writes; if that fails nothing has changed that matters.
    fn write(&mut self, write: Write<'_>) -> Result<(), Error>;
    /// What to say of a group for which there is no index.
    fn no_room(&self, key: &Key) -> Error;
}

/// Why a map could not be written, or a socket not be found.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Writes a step, if it can be written yet.
pub(super) fn write(step: &Step, held: &Held, maps: &mut impl Maps) -> Result<(), Error> {
    let group_of = |key: &Key| held.groups.get(key).map(|group| group.index);
    match *step {
        Step::Assign { key, index, instead } => {
            let udp = super::is_udp(&key);
            let mut others = held.groups.keys().filter(|other| super::is_udp(other) == udp && Some(**other) != instead);
            let only = others.next().is_none().then_some(index);
            maps.write(Write::Assign { key, index, instead, only })
        }
        Step::Know { cookie, key, seat } => match group_of(&key) {
            Some(group) => maps.write(Write::Know { cookie, group, seat }),
            None => Ok(()),
        },
        Step::Place { cookie, key, seat } => match group_of(&key) {
            Some(group) => maps.write(Write::Place { cookie, key, group, seat }),
            None => Ok(()),
        },
        Step::Select { key, ref takers, .. } => match group_of(&key) {
            Some(group) => maps.write(Write::Select { group, members: takers }),
            None => Ok(()),
        },
        // Where another is found by now nothing is cleared.
        Step::Clear { cookie, key, seat } => match group_of(&key) {
            Some(group) if held.other_at(&key, seat, cookie).is_none() => maps.write(Write::Clear { group, seat }),
            _ => Ok(()),
        },
        Step::Forget { cookie } => maps.write(Write::Forget { cookie }),
    }
}
