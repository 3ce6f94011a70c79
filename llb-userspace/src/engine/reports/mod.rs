//! What the engine reports: events, to the service manager, to a balancer above, and to the next master.

mod headroom;
mod journal;
mod record;
mod service;
mod turns;

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

pub(super) use self::{headroom::answer, record::Keeper, service::Service};
use self::{journal::Journal, turns::Turns};
use super::{Announce, Up, core::Core};
use crate::{
    agent::Headroom,
    fleet::{Kind, Note},
    model::{Instant, Slot},
    observe::{event::Event, log::EVENTS},
    sys::clock::{self, wall_ms},
};

/// How reloads have ended since the master started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reloads {
    pub succeeded: u64,
    pub rolled_back: u64,
}

/// Those that the fleet reports to: the journal of events, systemd, the record for the next master, a balancer above.
pub(super) struct Reports {
    pub started_at: Instant,
    pub journal: Journal,
    pub service: Service,
    pub turns: Turns,
    /// Whether the fleet's state may be another than the service manager was told.
    pub is_outdated: bool,
    pub reloads: Reloads,
    /// What to call when the fleet serves, until it does.
    up: Option<Announce>,
    /// What a balancer above is told; none if there is none.
    pub headroom: Option<Rc<RefCell<Headroom>>>,
    /// What the next master would have to know; nothing if it could not go on with the programs anyway.
    pub record: Option<Keeper>,
}

impl Reports {
    pub(super) fn new(service: Service, up: Announce, now: Instant) -> Self {
        Reports {
            started_at: now,
            journal: Journal::new(),
            service,
            turns: Turns::default(),
            is_outdated: false,
            reloads: Reloads::default(),
            up: Some(up),
            headroom: None,
            record: None,
        }
    }

    /// Tells the service manager how the fleet is, if that has changed.
    pub(super) fn send_state(&mut self, core: &Core) {
        if std::mem::take(&mut self.is_outdated) {
            self.service.status(|| in_one_line(core));
        }
    }

    /// Enters what has come to pass into the journal; `pid` is that of the worker that it is about.
    pub(super) fn enter(&mut self, note: Note, pid: Option<u32>) {
        let Note { kind, slot, generation, cause, .. } = note;
        match kind {
            Kind::Reloading => self.service.reloading(clock::now()),
            Kind::Reloaded => {
                self.reloads.succeeded += 1;
                self.service.ready();
            }
            Kind::RolledBack => {
                self.reloads.rolled_back += 1;
                self.service.ready();
            }
            Kind::Ending => self.service.stopping(),
            _ => {}
        }
        let (slot, event) = (slot.map(|slot| slot.0), kind.name().to_owned());
        tracing::info!(target: EVENTS, event, slot, pid, generation = generation.0, "{cause}");
        self.journal.enter(Event { seq: 0, at_ms: wall_ms(), event, slot, pid, generation: generation.0, cause });
    }

    /// The fleet serves.
    pub(super) fn announce(&mut self, core: &Core) {
        self.service.ready();
        let addresses = core.updater.steering().groups().map(|(address, _)| address.canonical()).collect();
        let udp = core.updater.steering().flow_groups().map(|(address, _)| address.canonical()).collect();
        if let Some(announce) = self.up.take() {
            let serving: BTreeSet<Slot> =
                core.supervisor.workers().filter(|worker| core.serves(worker)).map(|worker| worker.slot).collect();
            announce(&Up { addresses, udp, serving: serving.len() as u32, config: core.config.clone() });
        }
    }
}

/// The fleet's state, for whoever asks systemd.
fn in_one_line(core: &Core) -> String {
    let serving = core.supervisor.workers().filter(|worker| core.serves(worker)).count();
    let steering = core.updater.steering();
    let tcp = steering.groups().map(|(address, _)| address.to_string());
    let addresses: Vec<String> = tcp.chain(steering.flow_groups().map(|(at, _)| format!("udp {at}"))).collect();
    let at = if addresses.is_empty() { String::new() } else { format!(" on {}", addresses.join(", ")) };
    let reload = core.supervisor.reloading().map_or_else(String::new, |new| format!(", generation {new} is starting"));
    format!("{serving} of {} workers serve{at}{reload}", core.supervisor.slot_count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, WorkerId};

    fn note(kind: Kind) -> Note {
        Note { kind, id: Some(WorkerId(1)), slot: Some(Slot(0)), generation: Generation(2), cause: "a cause".into() }
    }

    #[test]
    fn what_comes_to_pass_is_an_event_and_reloads_are_counted() {
        let mut reports = Reports::new(Service::default(), Box::new(|_| {}), Instant(0));
        for (kind, pid) in [(Kind::Reloading, None), (Kind::Exited, Some(7)), (Kind::Reloaded, None)] {
            reports.enter(note(kind), pid);
        }
        reports.enter(note(Kind::RolledBack), None);
        let (events, _) = reports.journal.follow();
        let seen: Vec<_> = events.iter().map(|event| (event.seq, event.event.as_str(), event.pid)).collect();
        let expected =
            [(1, "reloading", None), (2, "exited", Some(7)), (3, "reloaded", None), (4, "rolled_back", None)];
        assert_eq!(seen, expected);
        assert_eq!((reports.reloads.succeeded, reports.reloads.rolled_back), (1, 1));
    }
}
