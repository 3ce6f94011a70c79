//! What is looked at with every tick: workers that hang, new code on trial, limits, ports, and the queues of UDP.
//!
//! The decisions are pure, in [`fleet`](crate::fleet). This looks, asks them, and acts.

mod datagrams;
mod ports;
mod recycler;
mod rescue;
mod trial;
mod wake;

pub(in crate::engine) use self::rescue::Rescue;
use self::{datagrams::Udp, ports::Ports, recycler::Recycler, trial::Trial, wake::Waking};
use super::core::Core;
use crate::{
    kernel::Event,
    model::{Instant, WorkerId},
    sys::procnet::Datagrams,
};

/// What is watched, and what is known of it.
#[derive(Default)]
pub(in crate::engine) struct Health {
    pub rescue: Rescue,
    pub udp: Udp,
    pub recycler: Recycler,
    pub trial: Trial,
    waking: Waking,
    ports: Ports,
}

impl Health {
    /// Before costs are published: the workers to which connections have moved.
    pub(in crate::engine) fn begin_tick(&mut self, core: &mut Core) {
        self.waking.wake_targets(core);
    }

    /// After costs are published: what has been read for that says which workers to look at.
    pub(in crate::engine) fn tick(&mut self, core: &mut Core, now: Instant) {
        self.udp.tend_udp(core, now);
        self.rescue.check_suspects(core, now);
        self.recycler.recycle(core, now);
        self.trial.watch_canary(core, now);
        self.ports.warn_of_bound_ports(core, now);
        self.ports.attach_anew_if_bypassed(core, now);
    }

    /// A worker's socket did something.
    pub(in crate::engine) fn on_socket_event(
        &mut self,
        event: &Event,
        id: Option<WorkerId>,
        is_refused: bool,
        now: Instant,
    ) {
        self.ports.on_socket_event(event, id, is_refused, now);
    }

    /// What was seen of the queues of UDP sockets.
    pub(in crate::engine) fn saw_queues(&mut self, core: &mut Core, found: &[Datagrams]) {
        self.udp.saw_queues(core, &self.rescue, found);
    }
}
