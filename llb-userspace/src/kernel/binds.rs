//! What the programs go by when a worker binds a port: which ports are each worker's own, its slot, and what other fleets have.

use std::{collections::BTreeSet, fmt};

use aya::maps::{Array, HashMap, MapData};
use llb_common::{
    abi::{self, MAX_OWN_PORTS},
    names,
};

use super::{KernelError, Steering, error::map_error, value::Value};
use crate::model::Slot;

/// Ports that are each worker's own: llb does not share them.
///
/// ```
/// use llb::kernel::OwnPorts;
///
/// let metrics = OwnPorts { first: 9100, last: 9100, by_slot: true };
/// let passive = OwnPorts { first: 50_000, last: 50_099, by_slot: false };
/// assert_eq!([metrics, passive].map(|ports| ports.to_string()), ["9100+", "50000-50099"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnPorts {
    /// The first port, not 0.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Whether a worker that binds one of them gets the port that is higher by the number of its slot.
    pub by_slot: bool,
}

impl fmt::Display for OwnPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OwnPorts { first, last, by_slot } = self;
        let plus = if *by_slot { "+" } else { "" };
        if first == last { write!(f, "{first}{plus}") } else { write!(f, "{first}-{last}{plus}") }
    }
}

pub(super) struct Binds {
    pub(super) own_ports: Array<MapData, Value<abi::OwnPorts>>,
    pub(super) slots: HashMap<MapData, u64, u32>,
    pub(super) taken: HashMap<MapData, u32, u32>,
}

impl Steering {
    /// Which ports are each worker's own. Those beyond [`MAX_OWN_PORTS`] are not.
    pub(crate) fn set_own_ports(&mut self, ports: &[OwnPorts]) -> Result<(), KernelError> {
        for (index, OwnPorts { first, last, by_slot }) in (0..MAX_OWN_PORTS as u32).zip(ports) {
            let (first, last, by_slot) = (u32::from(*first), u32::from(*last), u32::from(*by_slot));
            let range = abi::OwnPorts { first, last, by_slot, reserved: 0 };
            self.binds.own_ports.set(index, Value(range), 0).map_err(map_error(names::OWN_PORTS))?;
        }
        Ok(())
    }

    /// In which slot a worker is: before it runs.
    pub(crate) fn set_slot(&mut self, cgroup: u64, slot: Slot) -> Result<(), KernelError> {
        self.binds.slots.insert(cgroup, slot.0, 0).map_err(map_error(names::SLOTS))
    }

    /// A worker is no more.
    pub(crate) fn clear_slot(&mut self, cgroup: u64) {
        // One that is not there is forgotten already.
        let _ = self.binds.slots.remove(&cgroup);
    }

    /// On which ports other fleets listen, and no others: the kernel refuses them to workers.
    pub(crate) fn set_taken(&mut self, ports: &BTreeSet<u32>) -> Result<(), KernelError> {
        let known = self.binds.taken.keys().collect::<Result<Vec<u32>, _>>().map_err(map_error(names::TAKEN))?;
        for gone in known.into_iter().filter(|port| !ports.contains(port)) {
            let _ = self.binds.taken.remove(&gone);
        }
        for port in ports {
            self.binds.taken.insert(*port, 0, 0).map_err(map_error(names::TAKEN))?;
        }
        Ok(())
    }
}
