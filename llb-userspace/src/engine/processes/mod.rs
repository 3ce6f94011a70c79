//! The workers as processes: started, watched until they are ready, drained, ended and reaped.

mod asked;
mod diagnose;
mod drain;
mod end;
mod listening;
mod ordered;
mod orphans;
mod outside;
mod ready_check;
mod said_ready;
mod spawning;

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use tokio::sync::{
    Semaphore,
    mpsc::{Sender, UnboundedSender},
};

use self::outside::Suspect;
pub(in crate::engine) use self::{
    drain::{looked, sight},
    ordered::Ordered,
    orphans::{Orphans, pass_on},
    outside::found_outside,
    ready_check::{Checker, reached_by},
    said_ready::{listen, open, random},
    spawning::not_ready,
};
use super::{RunError, core::ExitRecord, inbox::Message};
use crate::{
    fleet::{NotifySocket, Others, graceful::Graceful},
    kernel::Connections,
    model::{Slot, WorkerId},
    sys::deaf::NoBytes,
};

/// What is known of the workers' processes beside each one's own.
pub(in crate::engine) struct Processes {
    pub exit_records: BTreeMap<Slot, ExitRecord>,
    pub ordered: Ordered,
    /// Why workers could not be started, until that is reported.
    unspawned: BTreeMap<WorkerId, (Slot, RunError)>,
    /// What other fleets listen on.
    pub others: Others,
    /// Whether that is being looked up.
    is_looking_for_others: bool,
    /// Asked from the threads that look at connections.
    connections: Option<Arc<Connections>>,
    /// Whose processes are looked for outside their cgroup.
    suspects: UnboundedSender<Suspect>,
    /// Keeps requests out of connections that are closed.
    filter: Option<Arc<NoBytes>>,
    /// How many looks at starting workers may run at once.
    lookers: Rc<Semaphore>,
    /// How workers that start are asked whether they are ready; none if they are not.
    checker: Option<Checker>,
    /// Where workers say by sd_notify(3) that they are ready, and how often somebody else has.
    pub notify: Rc<NotifySocket>,
    pub unknown_senders: u64,
    pub orphans: Orphans,
    /// Whether workers that are asked to end themselves drop what they have.
    graceful: Graceful,
}

impl Processes {
    pub(in crate::engine) fn new(
        connections: Option<Connections>,
        checker: Option<Checker>,
        notify: NotifySocket,
        inbox: Sender<Message>,
    ) -> Self {
        Processes {
            exit_records: BTreeMap::new(),
            ordered: Ordered::default(),
            unspawned: BTreeMap::new(),
            others: Others::default(),
            is_looking_for_others: false,
            connections: connections.map(Arc::new),
            suspects: outside::watch_outside(inbox),
            filter: load_filter().map(Arc::new),
            lookers: Rc::new(Semaphore::new(listening::LOOKERS)),
            checker,
            notify: Rc::new(notify),
            unknown_senders: 0,
            orphans: Orphans::default(),
            graceful: Graceful::default(),
        }
    }

    /// Why a worker could not be started, if it could not.
    pub(in crate::engine) fn spawn_failure(&mut self, id: WorkerId) -> Option<RunError> {
        self.unspawned.remove(&id).map(|(_, error)| error)
    }
}

/// Before llb gives up the rights that this takes.
fn load_filter() -> Option<NoBytes> {
    let filter = NoBytes::load();
    if let Err(error) = &filter {
        tracing::warn!(%error, "a request may be lost that crosses with the end of a connection which llb closes");
    }
    filter.ok()
}
