//! What every part of the engine looks at and acts on: what the fleet is to be, the supervisor of its workers, their processes,
//! and where they sit in the kernel's maps. The parts have what they alone know; they are given this.

mod copies;
mod marks;
mod residents;
mod running;
mod seating;
mod sockets;
mod sums;

use std::collections::HashMap;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;

pub(in crate::engine) use self::{
    copies::Copied,
    marks::{HeldPort, Outsider, signal_to},
    running::{ExitRecord, Running, reap},
    sockets::Sockets,
    sums::{add_usage, usage},
};
use super::inbox::Message;
use crate::{
    config::Config,
    fleet::{FleetCgroup, Supervisor, Worker, totals::Totals},
    kernel::Member,
    model::{Address, Seat, Slot, WorkerId},
    observe::{status::GroupStatus, stderr},
    updater::Updater,
};

/// The fleet as all parts share it.
pub(in crate::engine) struct Core {
    pub config: Config,
    pub supervisor: Supervisor,
    pub updater: Updater,
    /// The processes of the workers that have not been reaped.
    pub running: HashMap<WorkerId, Running>,
    pub sockets: Sockets,
    /// What workers that are gone have counted.
    pub totals: Totals,
    /// Whether something has changed that the next master would have to know.
    pub is_changed: bool,
    /// For the tasks beside the loop.
    pub inbox: mpsc::Sender<Message>,
    /// Last: with it go the programs.
    pub cgroup: FleetCgroup,
}

impl Core {
    /// What workers are sent to end.
    pub(in crate::engine) fn stop_signal(&self) -> Signal {
        self.config.stop_signal.unwrap_or_default().signal()
    }

    /// The slot of a worker that has not been reaped.
    pub(in crate::engine) fn slot(&self, id: WorkerId) -> Slot {
        self.supervisor.worker(id).map_or(Slot(u32::MAX), |worker| worker.slot)
    }

    /// The worker whose cgroup has this id, as the kernel's events name it.
    pub(in crate::engine) fn worker_in(&self, cgroup: u64) -> Option<WorkerId> {
        self.running.iter().find(|(_, running)| running.cgroup.id() == cgroup).map(|(id, _)| *id)
    }

    /// The workers that have been started, by slot and age.
    pub(in crate::engine) fn by_slot(&self) -> Vec<&Worker> {
        let mut workers: Vec<_> =
            self.supervisor.workers().filter(|worker| self.running.contains_key(&worker.id)).collect();
        workers.sort_by_key(|worker| (worker.slot, worker.id));
        workers
    }

    /// A group as it is shown.
    pub(in crate::engine) fn group(&self, (address, members): (Address, &[Member])) -> GroupStatus {
        let holds = |worker: &Worker| worker.seats().map(|seat| (seat, worker.slot)).collect::<Vec<_>>();
        let holders: HashMap<Seat, Slot> = self.supervisor.workers().flat_map(holds).collect();
        let mut slots: Vec<u32> =
            members.iter().filter_map(|member| holders.get(&member.seat)).map(|slot| slot.0).collect();
        slots.sort_unstable();
        slots.dedup();
        GroupStatus { address: address.to_string(), slots }
    }

    /// Whose the seat is, if it may be given connections.
    pub(in crate::engine) fn taker(&self, seat: Seat) -> Option<WorkerId> {
        self.supervisor.workers().find(|worker| worker.takes(seat)).map(|worker| worker.id)
    }

    /// Whose seat that is.
    pub(in crate::engine) fn slot_of(&self, seat: Seat) -> Option<Slot> {
        self.supervisor.workers().find(|worker| worker.seats().any(|held| held == seat)).map(|worker| worker.slot)
    }

    /// Says it on standard error and among the events.
    pub(in crate::engine) fn warn(&mut self, cause: String) {
        stderr::line(&format!("llb: {cause}"));
        self.supervisor.warn(cause);
    }
}
