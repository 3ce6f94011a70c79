//! Where connections wait for a worker: in line while none is free, and at llb's standby listeners while none listens.

mod auto;
mod closing;
mod hand_over;
mod in_line;
mod lengthening;
mod own;
mod serve;
mod shown;
mod standby;
mod stock;

pub(in crate::engine) use self::{
    in_line::{Lines, arrival},
    standby::Standby,
};
use super::core::Core;
use crate::model::Instant;

/// The connections that wait, and llb's own listeners that hold them.
pub(in crate::engine) struct Waiting {
    /// Where clients wait while no worker is free; none if they are to wait at workers.
    pub lines: Option<Lines>,
    /// Where connections wait while no worker listens.
    pub standby: Standby,
}

impl Waiting {
    /// What is done with every tick.
    pub(in crate::engine) fn tick(&mut self, core: &mut Core, now: Instant) {
        self.tend_lines(core, now);
        self.tend_standby(core, now);
    }

    /// For the end of the fleet: while there are still workers.
    pub(in crate::engine) fn close(&mut self, core: &mut Core, now: Instant) {
        self.close_lines(core, now);
        self.end_standby(core, now);
    }
}
