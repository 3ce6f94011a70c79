//! Watches workers that start, until they accept connections where they listen.

use std::{path::PathBuf, rc::Rc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc::Sender},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::Processes;
use crate::{
    engine::{core::Core, inbox::Message},
    fleet::acceptance::{Acceptance, WatchedListener, is_waited_at, look},
    model::WorkerId,
};

/// Time between two looks: an eighth of the time that it has listened. So a program is ready soon after it can be, and one
/// that loads its code for a minute is hardly looked at.
const EACH: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(500);

/// Where nobody can see whether a worker accepts, it counts as accepting this long after it listens.
const ASSUMED_AFTER: Duration = Duration::from_secs(1);

/// A worker that has listened for so long and does not accept there may never do so: whether connections wait is looked up.
const LOADS: Duration = Duration::from_millis(200);

/// A worker of several processes is ready when it accepts and its first process is still there this much later: a program that
/// goes to the background exits as soon as it has forked, or as its child is ready.
const FORKED_WITHIN: Duration = Duration::from_millis(20);

/// Workers that are looked at in one moment: a large fleet starts all at once.
pub(in crate::engine) const LOOKERS: usize = 2;

impl Processes {
    /// Looks at a listener of a worker until connections are accepted there.
    pub(in crate::engine) fn watch(&self, core: &mut Core, id: WorkerId, cookie: u64) {
        let (inbox, lookers) = (core.inbox.clone(), self.lookers.clone());
        let patience = core.config.ready_timeout;
        if let Some(running) = core.running.get_mut(&id) {
            let cgroup = running.cgroup.path().to_owned();
            let target = WatchedListener { first: running.pid, is_alone: true, cookie, known: None };
            let watching = watch(id, target, cgroup, lookers, inbox);
            // By then it is ready without, or is to end.
            running.tasks.spawn_local(async move { drop(timeout(patience, watching).await) });
        }
    }
}

async fn watch(
    id: WorkerId,
    mut target: WatchedListener,
    cgroup: PathBuf,
    lookers: Rc<Semaphore>,
    inbox: Sender<Message>,
) {
    let since = Instant::now();
    let (cookie, mut seen_before, mut waited_at) = (target.cookie, false, None);
    loop {
        let lasts = since.elapsed();
        let seen = {
            let _looker = lookers.acquire().await;
            let cgroup = cgroup.clone();
            spawn_blocking(move || {
                let seen = look(&cgroup, &mut target, lasts);
                let looks_on = seen == Acceptance::No && lasts >= LOADS;
                (seen, looks_on.then(|| is_waited_at(&cgroup, &target)).flatten(), target)
            })
            .await
        };
        // Only a runtime that ends gives no answer.
        let Ok((seen, waiting, found)) = seen else { return };
        target = found;
        if let Some(waiting) = waiting.filter(|_| waiting != waited_at) {
            waited_at = Some(waiting);
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Queues { id, cookie, waiting }).await;
        }
        match seen {
            // A first process that has only forked a daemon is about to exit.
            Acceptance::Yes if !target.is_alone && !seen_before => {
                seen_before = true;
                sleep(FORKED_WITHIN).await;
                continue;
            }
            Acceptance::Yes => break,
            Acceptance::Unknown if lasts >= ASSUMED_AFTER => {
                tracing::debug!(worker = %id, cookie, "cannot see whether it accepts connections; takes it that it does");
                break;
            }
            Acceptance::Unknown | Acceptance::No => {}
        }
        sleep((lasts / EACH).clamp(SHORTEST, LONGEST)).await;
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Accepts { id, cookie }).await;
}
